"""One run of a sweep, as Hydra's launchers call it.

A worker imports this module before it redirects its output, so nothing slow or noisy is imported
at its top.
"""

import logging
import os
import socket
import time
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from unrolled.project import CONFIGURATION
from unrolled.sweeps import cluster, interruption
from unrolled.sweeps.claim import claimed
from unrolled.sweeps.output import output_to
from unrolled.sweeps.progress import Outcome, Progress
from unrolled.sweeps.shared import shared_with
from unrolled.sweeps.sweep import Sweep

_PATIENCE = 30.0
"""Seconds; a job that was queued again may start while its earlier process is ending."""


@hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name="config")
def job(config: DictConfig) -> None:
    """One run of a sweep, called by Hydra's launchers. It records how it ended, and never raises.

    An error must not end the other runs of the sweep. A search with halving calls this for every
    run in each of its rounds; a run that ended in an earlier round stays as it is.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    shared, progress = shared_with(directory.parent), Progress(directory)
    if shared.is_stopped() or progress.outcome is not None:
        return
    this_process = os.getpid(), socket.gethostname()
    log = directory / f"{HydraConfig.get().job.name}.log"
    sweep = None
    try:
        sweep = shared.sweep()
        interruption.end_with(sweep.process, sweep.host)
        with (
            cluster.watched(directory.parents[0 if sweep.stage is None else 1]),
            output_to(log, is_worker=(sweep.process, sweep.host) != this_process),
        ):
            outcome = _outcome(config, directory, sweep)
    except Exception as problem:
        outcome = _failed(directory.name, problem, 0.0)
    if outcome is None:
        return
    if config.stop_at_first_failure and _stops(outcome, sweep):
        shared.stop()
    if sweep is not None and sweep.until is not None:  # Also if it failed before that epoch.
        progress.report(sweep.until / config.budget.epochs)
    shared.finish(directory.name, outcome, log)


def _outcome(config: DictConfig, directory: Path, sweep: Sweep) -> Outcome | None:
    """How the run has ended; None if it is to go on in a later round of the search."""
    from unrolled.sweeps.memory import freeze_imports
    from unrolled.sweeps.provenance import identity_of
    from unrolled.sweeps.run import run, run_until
    from unrolled.sweeps.stored_runs import take_over

    freeze_imports()
    name, start = directory.name, time.perf_counter()
    try:
        tuned = sweep.tuned(config)
        if tuned is not config:  # Hydra has saved the configuration without the value.
            folder = HydraConfig.get().output_subdir
            assert folder is not None  # conf/config.yaml names it.
            OmegaConf.save(tuned, directory / folder / "config.yaml")
        name, until = sweep.run_name(tuned), sweep.until or tuned.budget.epochs
        with claimed(directory, _PATIENCE):
            if sweep.resumed:
                take_over(tuned, directory, sweep)
            outcome = _ended_before(tuned, directory, sweep)
            if outcome is None and until < tuned.budget.epochs:
                run_until(until, tuned, directory, sweep)
            elif outcome is None:
                result = run(tuned, directory, sweep)
                outcome = Outcome(name, time.perf_counter() - start, result.summary)
                Progress(directory).ended_well(identity_of(tuned, sweep), result.run_id, outcome)
        return outcome
    except Exception as problem:
        return _failed(name, problem, time.perf_counter() - start)


def _stops(outcome: Outcome, sweep: Sweep | None) -> bool:
    """Whether the failure of a run stops the sweep, if the user wants that."""
    from unrolled.tracking import Failure

    if sweep is not None and sweep.stage is not None and outcome.failure == Failure.DIVERGED:
        return False  # That is what a search is to find out.
    return outcome.failure is not None


def _failed(name: str, problem: Exception, seconds: float) -> Outcome:
    """The outcome of a run that raised an error, which is logged."""
    from unrolled import tracking

    # On a full disk it cannot be logged either: logging would print a traceback of its own.
    logging.raiseExceptions = False
    said = tracking.masked("".join(traceback.format_exception(problem)))
    logging.getLogger(__name__).error("%s failed\n%s", name, said)
    error = tracking.masked(f"{type(problem).__name__}: {problem}")
    return Outcome(name, seconds, "", error, tracking.failure_of(problem))


def _ended_before(config: DictConfig, directory: Path, sweep: Sweep) -> Outcome | None:
    """The outcome of this run if it was complete before the sweep was interrupted, else None.

    MLflow decides: the process may have been killed after the run was marked finished there, or the
    run may have been deleted since.
    """
    from unrolled import tracking
    from unrolled.sweeps.provenance import identity_of

    begun = Progress(directory).begun(identity_of(config, sweep))
    if begun is None:
        return None
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    if tracking.status_of(begun.run_id) != "FINISHED":
        return None
    if tracking.stopped_after(begun.run_id) is not None:  # It may go on.
        return None
    return begun.outcome or Outcome(sweep.run_name(config), 0.0, "ended before")
