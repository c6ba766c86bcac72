"""The runs of a sweep: in a folder that is the sweep's alone, launched through Hydra."""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from unrolled.comparison.variants import STAGE
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.sweeps import interruption
from unrolled.sweeps.bar import SweepBar
from unrolled.sweeps.claim import claimed
from unrolled.sweeps.plan import Plan, Search, check_is_new, forced, quoted
from unrolled.sweeps.progress import Outcome, Progress
from unrolled.sweeps.sweep import Sweep

PROJECT = CONFIGURATION.parent
_OUTPUTS = PROJECT / "outputs"
_DIRECTORY = "hydra.sweep.dir="
_PATIENCE = 10.0  # Seconds; workers of a sweep that was killed end sooner.


class Folder:
    """Where the runs of a sweep keep their files, in a folder that no other sweep has.

    It is the folder of the interrupted sweep, or the one that the command line names; otherwise a
    new one, named after the time and the parent run.

    Args:
        plan: of the sweep.
        left: the folder of the interrupted sweep that goes on.

    Attributes:
        started: when this was made.
    """

    def __init__(self, plan: Plan, left: Path | None):
        self.started = datetime.now()
        self._plan = plan
        self._left = left
        self._named = left or plan.directory

    def of(self, run_id: str) -> Path:
        """The folder, once the id of the parent run is known."""
        above = _OUTPUTS / self._plan.name
        return self._named or above / f"{self.started:%Y-%m-%d_%H-%M-%S}_{run_id}"

    def claim(self, claims: contextlib.ExitStack) -> None:
        """Before anything is made: have the folder, if it is known, and be able to write there.

        Raises:
            InUseError: if another process works in it.
            RefusedError: if the command line names a folder that has files in it, or an earlier
                version of this project began the sweep.
            OSError: if it cannot be written to.
        """
        if self._named is None:
            above = self.of("").parent
            above.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=above):
                return
        claims.enter_context(claimed(self._named))
        if self._left is None:
            check_is_new(self._named)
        for folder in folders(self._plan, self._named):
            if Progress(folder).is_of_an_earlier_version:
                raise RefusedError(
                    f"{folder}: an earlier version of this project began this run, and this one "
                    "cannot continue it. Compare the runs that ended (make compare), or start the "
                    "sweep again: make experiment name=..."
                )
            if folder.exists():  # Workers of the sweep that was killed may not have ended yet.
                with claimed(folder, _PATIENCE):
                    pass

    def made_for(self, run_id: str, claims: contextlib.ExitStack) -> Path:
        """The folder, which is there from now on."""
        directory = self.of(run_id)
        if self._named is None:
            directory.mkdir()
            claims.enter_context(claimed(directory))
        return directory


def in_project(path: Path) -> Path:
    """Relative to the project if it is in there, so that it is found after the project moved."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def without_directory(arguments: list[str]) -> list[str]:
    """A command line without the folder that it names."""
    return [each for each in arguments if not each.startswith(_DIRECTORY)]


def folders(plan: Plan, directory: Path) -> list[Path]:
    """Of all runs, those of the stage before the sweep first."""
    searches = [directory / STAGE / str(number) for number in range(plan.search_runs)]
    return searches + [directory / str(number) for number in range(plan.runs)]


def run_all(plan: Plan, arguments: list[str], directory: Path, parent_run_id: str) -> str | None:
    """Launch the runs; returns why the sweep is not whole, None if it is.

    A run that diverges in the search for a key's values is part of what the search finds; after any
    other failure there the values are not chosen.

    Args:
        plan: of the sweep.
        arguments: its command line.
        directory: its folder.
        parent_run_id: MLflow's id of its parent run.

    Raises:
        KeyboardInterrupt: if the user stops it.
        concurrent.futures.BrokenExecutor: if one of its worker processes is killed.
        OSError: if its files cannot be written.
    """
    sweep = Sweep(
        plan.name, parent_run_id, list(plan.axes), process=os.getpid(), host=socket.gethostname()
    )
    all_folders = folders(plan, directory)
    for folder in all_folders:
        Progress(folder).forget_outcome()
    with SweepBar(all_folders) as bar:
        if plan.search is not None:
            sweep = replace(sweep, searched=plan.search.key)
            overrides = [*arguments, *plan.search.overrides]
            _launch(replace(sweep, stage=STAGE), overrides, directory / STAGE)
            bar.look()
            others = _failed_otherwise(bar.outcomes.get(n) for n in range(plan.search_runs))
            if others:
                return f"{others} of the runs that choose {plan.search.key} did not end"
            sweep = replace(sweep, chosen=_chosen(plan.search, parent_run_id))
        _launch(sweep, arguments, directory)
    ended = [bar.outcomes.get(number) for number in range(plan.search_runs, len(all_folders))]
    good = sum(outcome is not None and outcome.failure is None for outcome in ended)
    return None if good == plan.runs else f"{plan.runs - good} of {plan.runs} runs failed"


def _failed_otherwise(outcomes: Iterable[Outcome | None]) -> int:
    """How many runs did not end well for a reason that says nothing of their unit."""
    from unrolled.tracking import Failure

    return sum(each is None or each.failure not in (None, Failure.DIVERGED) for each in outcomes)


def _launch(sweep: Sweep, overrides: list[str], directory: Path) -> None:
    """The runs of one stage, in folders 0, 1, ... of `directory`."""
    from unrolled.sweeps.run import job

    sweep.hand_over(directory)
    given = forced(without_directory(overrides))
    sys.argv = ["unrolled", "--multirun", *given, f"{_DIRECTORY}{quoted(str(directory))}"]
    with _errors_raised():
        job()
    interruption.check()


@contextlib.contextmanager
def _errors_raised() -> Iterator[None]:
    """Has Hydra raise what goes wrong, where it would print it and exit."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _chosen(asked: Search, parent_run_id: str) -> list[tuple[dict[str, Any], Any]]:
    """The value of each variant that did best in the stage that has ended."""
    from unrolled.comparison.search import choices, chosen
    from unrolled.tracking import read_sweep

    return chosen(choices(read_sweep(parent_run_id).runs, asked.key, asked.values))
