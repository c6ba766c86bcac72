"""Being stopped by the user, which must not get lost on the way.

Python raises KeyboardInterrupt wherever it happens to be. Where that is a function that TensorFlow
calls from C++, as it does while it traces or reads data, the interrupt comes out as some other
error, or not at all; so the signal is remembered as well as raised.
"""

import contextlib
import os
import signal
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


def end_with(parent: int | None) -> None:
    """End this process soon after its parent, however that one ends.

    A worker whose sweep was killed would train on, and write to folders in which the sweep, once
    resumed, lets another work.

    Args:
        parent: the id of the process that started this one; any other is not watched, such as that
            of a launcher on another machine.
    """
    if parent == os.getppid() and parent not in _watched:
        _watched.add(parent)
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


_watched = set()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
