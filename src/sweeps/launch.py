"""Launches the runs of a sweep through Hydra, in a folder of the sweep's own."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from unrolled.comparison.variants import STAGE
from unrolled.console.refusals import RefusedError
from unrolled.project import CONFIGURATION
from unrolled.sweeps import cluster, interruption, ray_cluster
from unrolled.sweeps.bar import SweepBar
from unrolled.sweeps.claim import claimed
from unrolled.sweeps.hydra_arguments import forced
from unrolled.sweeps.hydra_keys import check_is_new
from unrolled.sweeps.launchers import RAY, is_of_submitit
from unrolled.sweeps.overrides import without
from unrolled.sweeps.plan import Plan
from unrolled.sweeps.progress import Outcome, Progress
from unrolled.sweeps.search import Search
from unrolled.sweeps.shared import (
    DIRECTORY,
    RunInStore,
    Shared,
    SharedFolder,
    SharedStore,
    runs_in_store,
)
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.workers import Workers

PROJECT = CONFIGURATION.parent
OUTPUTS = PROJECT / "outputs"
_PATIENCE = 10.0  # Seconds; workers of a sweep that was killed end sooner.


class Folder:
    """The folder with the files of a sweep's runs; no two sweeps share one.

    It is the folder of the interrupted sweep or the one that the command line names. Otherwise it
    is a new folder, named after the time and the parent run.

    Args:
        plan: of the sweep.
        interrupted: the folder of the sweep that is resumed; None for a new sweep.

    Attributes:
        started: when this object was created.
    """

    def __init__(self, plan: Plan, interrupted: Path | None):
        self.started = datetime.now()
        self._plan = plan
        self._interrupted = interrupted
        self._named = interrupted or plan.directory

    def of(self, run_id: str) -> Path:
        """The folder, once the id of the parent run is known."""
        above = OUTPUTS / self._plan.name
        return self._named or above / f"{self.started:%Y-%m-%d_%H-%M-%S}_{run_id}"

    def claim(self, claims: contextlib.ExitStack) -> None:
        """Claim the folder if its name is known, and check that files can be written to it.

        Raises:
            InUseError: if another process uses it.
            RefusedError: if the command line names a folder that is not empty, or an earlier
                version of this project began the sweep.
            OSError: if it cannot be written to.
        """
        if self._named is None:
            above = self.of("").parent
            above.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=above):
                return
        claims.enter_context(claimed(self._named))
        if self._interrupted is None:
            check_is_new(self._named)
        else:
            cluster.stop_jobs(self._named)  # Those of a sweep that was killed.
        for folder in folders(self._plan, self._named):
            if Progress(folder).is_of_an_earlier_version:
                raise RefusedError(
                    f"{folder}: an earlier version of this project began this run, and this one "
                    "cannot continue it. Compare the runs that ended (make compare), or start the "
                    "sweep again: make experiment name=..."
                )
            if folder.exists():  # Workers of the killed sweep may still be ending.
                with claimed(folder, _PATIENCE):
                    pass

    def made_for(self, run_id: str, claims: contextlib.ExitStack) -> Path:
        """Create the folder if it is new, claim it, and return it."""
        directory = self.of(run_id)
        if self._named is None:
            directory.mkdir()
            claims.enter_context(claimed(directory))
        return directory


def in_project(path: Path) -> Path:
    """The path relative to the project if it is inside, so that the project can be moved."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def without_directory(arguments: list[str]) -> list[str]:
    """A command line without the override of the folder."""
    return [each for each in arguments if not each.startswith(DIRECTORY)]


def folders(plan: Plan, directory: Path) -> list[Path]:
    """The folders of all runs, those of the search stage first."""
    searches = [directory / STAGE / str(number) for number in range(plan.search_runs)]
    return searches + [directory / str(number) for number in range(plan.runs)]


def run_all(
    plan: Plan, arguments: list[str], directory: Path, sweep: Sweep, workers: Workers
) -> str | None:
    """Launch the runs of a sweep, after those of its search stage.

    A run that diverges in the search stage is a result of the search. After any other failure there
    no values are chosen, and the sweep stops.

    Args:
        plan: of the sweep.
        arguments: its command line.
        directory: its folder.
        sweep: what its runs share.
        workers: how many runs train at once.

    Returns:
        Why the sweep is not complete, for people; None if it is.

    Raises:
        KeyboardInterrupt: if the user stops it.
        concurrent.futures.BrokenExecutor: if one of its worker processes is killed.
        JobError: if its jobs cannot be submitted, or one of them is killed.
        OSError: if its files cannot be written.
    """
    all_folders, of_launcher = folders(plan, directory), workers.overrides(plan.launcher)
    for folder in all_folders:
        Progress(folder).forget_outcome()
    jobs: contextlib.AbstractContextManager = contextlib.nullcontext()
    if is_of_submitit(plan.launcher):
        jobs = cluster.jobs_of(directory, all_folders)
    elif plan.launcher == RAY:
        jobs = ray_cluster.errors()
    halved = 0 if plan.search is None or plan.search.halving is None else plan.search_runs
    progress = _progress_of(plan, sweep, all_folders)
    with SweepBar(progress, halved, plan.trained_runs) as bar, jobs:
        if plan.search is not None:
            sweep = replace(sweep, searched=plan.search.key)
            launch = partial(
                _launch,
                overrides=[*without("seed", arguments), *plan.search.overrides],
                shared=_shared(plan, sweep, directory / STAGE),
                of_launcher=of_launcher,
            )
            of_search = all_folders[: plan.search_runs]
            others = _run_search(plan.search, replace(sweep, stage=STAGE), launch, of_search, bar)
            if others:
                return f"{others} of the runs that choose {plan.search.key} did not end"
            sweep = replace(sweep, chosen=_chosen(plan.search, sweep))
            bar.expect(plan.runs)
        _launch(sweep, arguments, _shared(plan, sweep, directory), of_launcher)
    ended = [bar.outcomes.get(number) for number in range(plan.search_runs, len(all_folders))]
    return _incomplete(ended)


def _shared(plan: Plan, sweep: Sweep, directory: Path) -> Shared:
    """What the runs of a stage share with the sweep, whose folder nodes of Ray do not see."""
    if plan.launcher != RAY:
        return SharedFolder(directory)
    assert sweep.parent_run_id is not None  # It is no single run.
    return SharedStore(sweep.parent_run_id, directory)


def _progress_of(
    plan: Plan, sweep: Sweep, all_folders: Sequence[Path]
) -> Sequence[Progress | RunInStore]:
    if plan.launcher != RAY:
        return [Progress(folder) for folder in all_folders]
    assert sweep.parent_run_id is not None
    return runs_in_store(sweep.parent_run_id, all_folders)


def _run_search(
    asked: Search,
    sweep: Sweep,
    launch: Callable[[Sweep], None],
    search_folders: Sequence[Path],
    bar: SweepBar,
) -> int:
    """Launch the runs of the search, round by round; returns how many of them did not end.

    Each round launches all of them. Those that have ended, or are there already, return at once.
    """
    rungs = [None] if asked.halving is None else asked.halving.rungs
    for number, rung in enumerate(rungs):
        launch(replace(sweep, until=rung))
        bar.update(now=True)
        outcomes = [bar.outcomes.get(run) for run in range(len(search_folders))]
        is_last = number == len(rungs) - 1
        others = _failed_otherwise(outcomes if is_last else filter(None, outcomes))
        if others:
            return others
        if not is_last:
            _end_stopped(asked, number, sweep, search_folders)
    return 0


def _end_stopped(asked: Search, number: int, sweep: Sweep, search_folders: Iterable[Path]) -> None:
    """Record the end of the runs whose values do not go on after a round."""
    from unrolled.comparison.search import stopped
    from unrolled.sweeps.checkpoint import Checkpoint
    from unrolled.sweeps.run import forget_training
    from unrolled.tracking import STOPPED_AFTER, read_sweep

    assert sweep.parent_run_id is not None
    found = stopped(read_sweep(sweep.parent_run_id).runs, asked, number)
    by_id = {run.run_id: run for run in found}
    for folder in search_folders:
        progress = Progress(folder)
        run = by_id.get(progress.run_id or "")
        if run is None or progress.outcome is not None:  # It goes on, or has failed.
            continue
        said = f"stopped after epoch {run.tags[STOPPED_AFTER]}"
        progress.finish(Outcome(run.name, run.metrics["seconds"], said))
        forget_training(Checkpoint(folder, run.run_id))


def _incomplete(outcomes: Sequence[Outcome | None]) -> str | None:
    """Why a sweep is not complete, from the outcomes of its runs; None if it is."""
    started = [each for each in outcomes if each is not None]
    failed = sum(each.failure is not None for each in started)
    missing = len(outcomes) - len(started)
    if not failed and not missing:
        return None
    not_started = f", {missing} did not start" if missing else ""
    return f"{failed} of {len(outcomes)} runs failed{not_started}"


def _failed_otherwise(outcomes: Iterable[Outcome | None]) -> int:
    """The number of runs that failed for a reason other than their unit."""
    from unrolled.tracking import Failure

    return sum(each is None or each.failure not in (None, Failure.DIVERGED) for each in outcomes)


def _launch(sweep: Sweep, overrides: list[str], shared: Shared, of_launcher: list[str]) -> None:
    """Launch the runs of one stage, each in a folder with its number as its name."""
    from unrolled.sweeps.job import job

    shared.begin(sweep)
    given = [*forced(without_directory(overrides)), *of_launcher]
    sys.argv = ["unrolled", "--multirun", *given, *shared.overrides()]
    # With this variable Hydra raises errors instead of printing them and exiting.
    with _environment("HYDRA_FULL_ERROR", "1"), _silent_joblib():
        job()
    interruption.check()


@contextlib.contextmanager
def _silent_joblib() -> Iterator[None]:
    """A context without warnings of joblib on the terminal, from this process or its helpers."""
    # A process of joblib cleans up after a sweep that was killed, and warns of what it cleans up.
    rule = "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker"
    rules = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), rule]))
    with _environment("PYTHONWARNINGS", rules), warnings.catch_warnings():
        # Each time that it replaces a worker whose memory has grown.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        yield


@contextlib.contextmanager
def _environment(variable: str, value: str) -> Iterator[None]:
    """A context in which an environment variable has another value."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _chosen(asked: Search, sweep: Sweep) -> list[tuple[dict[str, Any], Any]]:
    """The best value for each variant, from the runs of the search stage."""
    from unrolled.comparison.search import choices, chosen
    from unrolled.tracking import read_sweep

    assert sweep.parent_run_id is not None  # It is no single run.
    return chosen(choices(read_sweep(sweep.parent_run_id).runs, asked))
