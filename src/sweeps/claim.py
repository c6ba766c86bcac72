"""Folders that only one process at a time may use."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOCK = "lock"
_SECONDS_BETWEEN_TRIES = 0.2


class InUseError(RuntimeError):
    """Raised for a folder that another process uses; the message names the process."""


@contextlib.contextmanager
def claimed(directory: Path, patience: float = 0.0) -> Iterator[None]:
    """A context in which no other process can claim the folder.

    The operating system ends the claim when the process ends, for whatever reason.

    Args:
        directory: created if it does not exist.
        patience: seconds to wait for another process to release it.

    Raises:
        InUseError: if another process still uses it then.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / LOCK, "a+") as file:
        _lock(file, directory, time.monotonic() + patience)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(file, directory, deadline):
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                file.seek(0)
                raise InUseError(
                    f"{directory}: is in use by process {file.read()}. Wait for it to finish, "
                    "or stop it."
                ) from error
        time.sleep(_SECONDS_BETWEEN_TRIES)
