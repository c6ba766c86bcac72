"""Being stopped by the user, which must not get lost on the way.

Python raises KeyboardInterrupt wherever it happens to be. Where that is a function that TensorFlow
calls from C++, as it does while it traces or reads data, the interrupt comes out as some other
error, or not at all; so the signal is remembered as well as raised.
"""

import contextlib
import signal
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
