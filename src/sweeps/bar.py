"""The progress bar of a sweep."""

import threading
from collections.abc import Sequence

from rich.text import Text

from unrolled.console.terminal import progress_bar, say
from unrolled.sweeps.progress import Outcome, Progress
from unrolled.sweeps.shared import RunInStore

_SECONDS_BETWEEN_UPDATES = 0.5


class SweepBar:
    """A context with one progress bar for all runs of a sweep, and a line for each run that ends.

    A thread reads the progress of the runs. So it makes no difference whether they run in this
    process or, with one of Hydra's launchers, in others.

    Args:
        runs: the progress of each run.
        halved: how many runs, the first ones, a search may stop early. Of these the bar counts what
            is trained of each.
        total: what will be trained, in runs; None for all of every run.
    """

    def __init__(
        self, runs: Sequence[Progress | RunInStore], halved: int = 0, total: float | None = None
    ):
        self._runs = runs
        self.outcomes: dict[int, Outcome] = {}
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._bar = progress_bar()
        self._halved = halved
        self._task = self._bar.add_task("", total=len(runs) if total is None else total)

    def __enter__(self) -> "SweepBar":
        self._bar.start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watcher.join()
        self.update(now=True)
        self._bar.stop()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN_UPDATES):
            self.update()

    def update(self, now: bool = False) -> None:
        """Read the progress of the runs, and print a line for each that has ended since.

        Args:
            now: whether to ask the tracking store, too, if it was asked seconds ago.
        """
        for run in self._runs:
            if now and isinstance(run, RunInStore):
                run.expire()
        for number, run in enumerate(self._runs):
            if number not in self.outcomes and (outcome := run.outcome) is not None:
                self.outcomes[number] = outcome
                self._say_how_it_ended(outcome)
        done = f"{len(self.outcomes)} of {len(self._runs)} runs"
        self._bar.update(self._task, completed=self._trained(), description=done)

    def expect(self, runs: int) -> None:
        """Correct the total: so many runs are still to be trained."""
        self._bar.update(self._task, total=self._trained() + runs)

    def _trained(self) -> float:
        """What has been trained, in runs."""
        return sum(
            1.0 if number in self.outcomes and number >= self._halved else run.fraction
            for number, run in enumerate(self._runs)
        )

    def _say_how_it_ended(self, outcome: Outcome) -> None:
        text = Text(f"  {outcome.name:<32} {outcome.seconds:6.0f} s   ")
        text.append(outcome.summary)
        if outcome.failure is not None:
            text.append(f"FAILED  {outcome.error}", style="red")
        say.print(text)
