"""How every program starts and ends: its exit codes, and its behavior if the output is closed.

Runs on any Python 3.11 or later, without installed packages.
"""

import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from unrolled.console.refusals import RefusedError, print_refusal

FAILED, REFUSED, INTERRUPTED = 1, 2, 130


def run(program: Callable[[list[str]], int], *, goes_on: bool = False) -> NoReturn:
    """Runs a program with the arguments of this process, and exits with the code that it returns.

    A RefusedError is printed without a traceback and exits with REFUSED, Ctrl-C with INTERRUPTED.

    Args:
        program: function from arguments to an exit code.
        goes_on: whether the program does more than print. If so, it continues silently after its
            output is closed, as in `make experiment ... | head`. If not, it then exits with code 0.
    """
    output, errors = (
        # The stream is None if the parent process closed it, and otherwise a TextIOWrapper.
        _Stream(stream or open(os.devnull, "w"), goes_on)  # type: ignore[arg-type] # noqa: SIM115
        for stream in (sys.stdout, sys.stderr)
    )
    sys.stdout, sys.stderr = output.text(), errors.text()
    errors.goes_on = True
    try:
        _ensure_home()
        code = program(sys.argv[1:])
        sys.stdout.flush()
    except RefusedError as refused:
        print_refusal(refused)
        code = REFUSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        output.goes_on = True  # Remaining output does not change the exit code.
        sys.stdout.flush()
    sys.exit(code)


def _ensure_home() -> None:
    """Uses the temporary folder if the user has no home folder, as in some containers.

    Keras does the same if the home is not writable; MLflow cannot be imported without a home.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()


class _Stream(io.FileIO):
    """A standard stream without BrokenPipeError after its reader closes the pipe.

    SIGPIPE would be simpler, but would also end a process whose tracking server closes a
    connection.

    Args:
        stream: the text stream that it replaces, with the same file descriptor.
        goes_on: see `run`.
    """

    def __init__(self, stream: io.TextIOWrapper, goes_on: bool) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._stream = stream
        self.goes_on = goes_on

    def text(self) -> io.TextIOWrapper:
        """Returns a text stream with the encoding and buffering of the original one."""
        original = self._stream
        return io.TextIOWrapper(
            io.BufferedWriter(self),
            encoding=original.encoding,
            errors=original.errors,
            line_buffering=original.line_buffering or original.write_through,
        )

    def write(self, data: Any) -> int:  # A buffer, for which Python 3.11 has no type.
        try:
            return super().write(data)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if self.goes_on:
                return len(data)
            raise SystemExit(0) from None
