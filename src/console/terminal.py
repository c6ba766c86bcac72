"""The console, with tables, progress bars, and suppressed log output."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.text import Text

from unrolled.console.printable import printable
from unrolled.console.refusals import RefusedError
from unrolled.console.tables import Columns, as_rich, split_columns

QUICK = "budget=quick: a smoke test; the results are not meaningful."


class Terminal(Console):
    """A console that does not interpret markup, and whose text cannot control the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        # All output passes through here.
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


say = Terminal()


def show_table(
    columns: Columns, title: str | None, caption: str | None = None, names: int = 1
) -> None:
    """Prints a table, split into parts if it is too wide.

    Args:
        columns, title, names: see `tables.as_rich`.
        caption: text below the table, as wide as the terminal.
    """
    columns = {printable(head): [*map(printable, cells)] for head, cells in columns.items()}
    parts = split_columns(columns, names, say.width)
    for part in parts:
        part_title = title if part is parts[0] else None
        say.print(as_rich(part, part_title, names))
    if caption:
        say.print(Text(f"{caption}\n"))


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Imports TensorFlow without the output of its libraries that bypasses Python's logging.

    Some of it is written before any log level can be set, so the file descriptor is redirected. The
    output is printed if the import fails.

    Raises:
        RefusedError: if another Keras backend is selected, or a temporary file cannot be created.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    with _temporary_file() as captured:
        saved = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            _check_backend()
            yield
        except BaseException:
            captured.seek(0)
            os.write(saved, captured.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise RefusedError(
            f"Temporary files cannot be created ({error.strerror}). Set TMPDIR to a folder that "
            "this user can write to."
        ) from error


def _check_backend() -> None:
    """Imports `layers`, which rejects other Keras backends, before anything else imports Keras."""
    try:
        from unrolled import layers  # noqa: F401
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        if error.name != "keras":
            raise
        raise RefusedError(str(error)) from None


def progress_bar() -> Bar:
    """Returns a progress bar with the elapsed and the remaining time, erased at its end."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=say,
        transient=True,
        speed_estimate_period=600,
    )
