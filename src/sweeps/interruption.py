"""Being stopped by the user, which must not get lost on the way.

Python raises KeyboardInterrupt wherever it happens to be. Where that is a function that TensorFlow
calls from C++, as it does while it traces or reads data, the interrupt comes out as some other
error, or not at all; so the signal is remembered as well as raised.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

_stopped = False


def watch() -> None:
    """From now on SIGINT (Ctrl-C) and SIGTERM raise KeyboardInterrupt and are remembered."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _remember)


def _remember(number, frame) -> None:
    global _stopped
    _stopped = True
    signal.default_int_handler(number, frame)


def check() -> None:
    """Raise KeyboardInterrupt if this process was told to stop."""
    if _stopped:
        raise KeyboardInterrupt


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Lets an interrupt out as what it is, whatever it became inside."""
    try:
        yield
    except Exception as error:
        if _stopped:
            raise KeyboardInterrupt from error
        raise
    check()


_SECONDS_BETWEEN_LOOKS = 0.5


def end_with(sweep: int | None, host: str | None) -> None:
    """End this process, a worker of a sweep, soon after the sweep's own process, for any reason.

    A worker whose sweep was killed would train on, and write to folders in which the sweep, once
    resumed, lets another work.

    Args:
        sweep: the id of the sweep's process.
        host: its machine; on any other, where a launcher may have put this one, it is not watched.
    """
    if host != socket.gethostname() or sweep in (None, os.getpid(), *_watched):
        return
    if _is_gone(sweep):  # The sweep may have been killed while this process started.
        os._exit(1)
    _watched.add(sweep)
    threading.Thread(target=_end_after, args=(sweep,), daemon=True).start()


_watched = set()


def _end_after(sweep: int) -> None:
    was_parent = os.getppid() == sweep
    while not _is_gone(sweep) and not (was_parent and os.getppid() != sweep):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # It runs, and belongs to somebody else.
        pass
    return False
