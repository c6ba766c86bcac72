"""How every program here begins and ends: its exit codes, and a reader that stops reading.

Runs on any Python 3.11, before anything is installed.
"""

import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from unrolled.console.refusals import RefusedError, print_refusal

FAILED, REFUSED, INTERRUPTED = 1, 2, 130


def run(program: Callable[[list[str]], int], *, goes_on: bool = False) -> NoReturn:
    """Run a program on the arguments of this process, and exit with the code that it returns.

    A RefusedError is printed without a traceback and exits with REFUSED, Ctrl-C with INTERRUPTED.

    Args:
        program: takes the arguments and returns an exit code.
        goes_on: whether the program does more than print. If so, it continues in silence once
            nobody reads its output, as in `make experiment ... | head`. If not, it ends there with
            exit code 0: the reader has all that it wanted.
    """
    output, errors = (
        # None: whoever started the process has closed it.
        _Stream(stream or open(os.devnull, "w"), goes_on)  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr)
    )
    sys.stdout, sys.stderr = output.text(), errors.text()
    errors.goes_on = True
    try:
        _have_a_home()
        code = program(sys.argv[1:])
        sys.stdout.flush()
    except RefusedError as refused:
        print_refusal(refused)
        code = REFUSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        output.goes_on = True  # What is left to print does not change how the program ended.
        sys.stdout.flush()
    sys.exit(code)


def _have_a_home() -> None:
    """Where nobody says what the user's home is, as in some containers, take the temporary folder.

    Keras does the same where it cannot write to the home; MLflow cannot be imported without one.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()


class _Stream(io.FileIO):
    """A standard stream, without BrokenPipeError once its reader has closed the pipe.

    SIGPIPE would do the same with less, but it would also end a process whose tracking server
    closes a connection.

    Args:
        stream: the text stream that it replaces, on the same descriptor.
        goes_on: see `run`.
    """

    def __init__(self, stream: io.TextIOWrapper, goes_on: bool):
        super().__init__(stream.fileno(), "w", closefd=False)
        self._stream = stream
        self.goes_on = goes_on

    def text(self) -> io.TextIOWrapper:
        """The stream for text, encoded and buffered like the one that it replaces."""
        old = self._stream
        return io.TextIOWrapper(
            io.BufferedWriter(self),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=old.line_buffering or old.write_through,
        )

    def write(self, data) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if self.goes_on:
                return len(data)
            raise SystemExit(0) from None
