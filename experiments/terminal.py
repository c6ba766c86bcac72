"""What one sees on the terminal: one bar over the sweep, a line a run, no noise."""

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.text import Text

from experiments.entry import RefusedError
from experiments.printable import printable
from experiments.progress import Outcome, Progress
from experiments.tables import Columns, as_rich, blocks

_SECONDS_BETWEEN_LOOKS = 0.5
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
        import layers  # noqa: F401
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


class SweepBar:
    """One bar over all runs of a sweep, and a line for each run as it ends.

    A context: a thread looks at the runs' folders, so that it makes no difference whether they run
    in this process or, with one of Hydra's launchers, in others.

    Args:
        folders: of each run, where it keeps its files.
    """

    def __init__(self, folders: Sequence[Path]):
        self._runs = [Progress(folder) for folder in folders]
        self.outcomes = {}
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._bar = progress_bar()
        self._task = self._bar.add_task("", total=len(folders))

    def __enter__(self) -> "SweepBar":
        self._bar.start()
        self._watcher.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._watcher.join()
        self.look()
        self._bar.stop()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN_LOOKS):
            self.look()

    def look(self) -> None:
        """Read how far the runs are, and print a line for each that has ended since."""
        for number, run in enumerate(self._runs):
            if number not in self.outcomes and (outcome := run.outcome) is not None:
                self.outcomes[number] = outcome
                self._say_how_it_ended(outcome)
        shares = [1.0 if n in self.outcomes else run.share for n, run in enumerate(self._runs)]
        done = f"{len(self.outcomes)} of {len(self._runs)} runs"
        self._bar.update(self._task, completed=sum(shares), description=done)

    def _say_how_it_ended(self, outcome: Outcome) -> None:
        text = Text(f"  {outcome.name:<32} {outcome.seconds:6.0f} s   ")
        text.append(outcome.summary)
        if outcome.error is not None:
            text.append(f"FAILED  {outcome.error}", style="red")
        say.print(text)
