"""Interrupts by the user, and the end of workers whose sweep has ended.

Python raises KeyboardInterrupt in whatever code is running. In a function that TensorFlow calls
from C++, while it traces or reads data, the interrupt turns into another error or is lost. So the
signal is recorded as well as raised.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

from unrolled.console.program import INTERRUPTED
from unrolled.system.processes import is_running

_stopped = False


def watch() -> None:
    """Let SIGINT (Ctrl-C) and SIGTERM raise KeyboardInterrupt, and record them.

    A second signal ends the process at once. The next command marks its runs as failed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _record)


def _record(number: int, frame: FrameType | None) -> None:
    global _stopped
    if _stopped:
        os._exit(INTERRUPTED)
    _stopped = True
    signal.default_int_handler(number, frame)


def check() -> None:
    """Raise KeyboardInterrupt if a signal was recorded."""
    if _stopped:
        raise KeyboardInterrupt


@contextlib.contextmanager
def reraised() -> Iterator[None]:
    """Raise KeyboardInterrupt in place of whatever error an interrupt has turned into inside."""
    try:
        yield
    except Exception as error:
        if _stopped:
            raise KeyboardInterrupt from error
        raise
    check()


_SECONDS_BETWEEN_LOOKS = 0.5


def end_with(sweep: int | None, host: str | None) -> None:
    """End this process, a worker of a sweep, soon after the process of the sweep ends.

    Otherwise a worker would go on training after its sweep was killed, and write to the same
    folders as the workers of the resumed sweep.

    Args:
        sweep: the process id of the sweep.
        host: the machine of that process. A worker on another machine does not watch it.
    """
    if sweep is None or host != socket.gethostname() or sweep in (os.getpid(), *_watched):
        return
    if not is_running(sweep):  # The sweep may have been killed while this process started.
        os._exit(1)
    _watched.add(sweep)
    threading.Thread(target=_end_after, args=(sweep,), daemon=True).start()


_watched: set[int] = set()


def _end_after(sweep: int) -> None:
    was_parent = os.getppid() == sweep
    while is_running(sweep) and not (was_parent and os.getppid() != sweep):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
