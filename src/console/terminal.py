"""What one sees on the terminal: tables, progress bars, no noise."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.text import Text

from unrolled.console.printable import printable
from unrolled.console.refusals import RefusedError
from unrolled.console.tables import Columns, as_rich, blocks

QUICK = "budget=quick: this shows that it works, and nothing else."


class Terminal(Console):
    """A console on which no text is taken for markup, and none can steer the terminal."""

    def __init__(self, **options):
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        # Everything printed passes here, so no program has to remember it.
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


say = Terminal()


def show_table(
    columns: Columns, title: str | None, caption: str | None = None, names: int = 1
) -> None:
    """Print a table, in parts where it is too wide.

    Args:
        columns, title, names: see `tables.as_rich`.
        caption: what stands below, as wide as the terminal.
    """
    columns = {printable(head): [*map(printable, cells)] for head, cells in columns.items()}
    parts = blocks(columns, names, say.width)
    for part in parts:
        above = title if part is parts[0] else None
        say.print(as_rich(part, above, names))
    if caption:
        say.print(Text(f"{caption}\n"))


@contextlib.contextmanager
def quiet_start():
    """Import TensorFlow without what its libraries write past Python's logging.

    Some of it is written before any level can be set, so it is caught at the file descriptor; it
    is shown after all if the import fails.

    Raises:
        RefusedError: if another Keras backend is chosen, or no temporary file can be made.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    with _temporary_file() as caught:
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            _check_backend()
            yield
        except BaseException:
            caught.seek(0)
            os.write(saved, caught.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def _temporary_file():
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise RefusedError(
            f"Temporary files cannot be made ({error.strerror}). Set TMPDIR to a folder that this "
            "user may write to."
        ) from error


def _check_backend() -> None:
    """Import `layers`, which refuses other Keras backends, before anything else imports Keras."""
    try:
        from unrolled import layers  # noqa: F401
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        if error.name != "keras":
            raise
        raise RefusedError(str(error)) from None


def progress_bar() -> Bar:
    """A bar with the time gone and the time left, which leaves nothing behind."""
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
