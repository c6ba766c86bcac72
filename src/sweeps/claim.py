"""Folders that one process at a time may work in."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOCK = "lock"
_SECONDS_BETWEEN_TRIES = 0.2


class InUseError(RuntimeError):
    """A folder in which another process works; the message names the process."""


@contextlib.contextmanager
def claimed(directory: Path, patience: float = 0.0) -> Iterator[None]:
    """Have a folder for this process alone.

    The operating system ends the claim with the process, however that ends.

    Args:
        directory: made if it is not there.
        patience: seconds to wait for another process to leave it.

    Raises:
        InUseError: if another process still has it then.
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
