"""The progress bar of a sweep."""

import threading
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from unrolled.console.terminal import progress_bar, say
from unrolled.sweeps.progress import Outcome, Progress

_SECONDS_BETWEEN_LOOKS = 0.5


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
        if outcome.failure is not None:
            text.append(f"FAILED  {outcome.error}", style="red")
        say.print(text)
