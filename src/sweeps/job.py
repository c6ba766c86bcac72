"""One run of a sweep, as Hydra's launchers call it."""

import logging
import time
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from unrolled import tracking
from unrolled.project import CONFIGURATION
from unrolled.sweeps import interruption
from unrolled.sweeps.claim import claimed
from unrolled.sweeps.progress import Outcome, Progress
from unrolled.sweeps.provenance import identity_of
from unrolled.sweeps.run import run
from unrolled.sweeps.sweep import Sweep


@hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name="config")
def job(config: DictConfig) -> None:
    """One run of a sweep, called by Hydra's launchers. It records how it ended, and never raises.

    An error must not end the other runs of the sweep.
    """
    directory = Path(HydraConfig.get().runtime.output_dir)
    start = time.perf_counter()
    name = directory.name
    try:
        sweep = Sweep.load(directory.parent)
        interruption.end_with(sweep.process, sweep.host)
        tuned = sweep.tuned(config)
        if tuned is not config:  # Hydra has saved the configuration without the value.
            folder = HydraConfig.get().output_subdir
            assert folder is not None  # conf/config.yaml names it.
            OmegaConf.save(tuned, directory / folder / "config.yaml")
        name = sweep.run_name(tuned)
        with claimed(directory):
            outcome = _ended_before(tuned, directory, sweep)
            if outcome is None:
                result = run(tuned, directory, sweep)
                outcome = Outcome(name, time.perf_counter() - start, result.summary)
                Progress(directory).ended_well(identity_of(tuned, sweep), result.run_id, outcome)
    except Exception as problem:
        # On a full disk it cannot be logged either: logging would print a traceback of its own.
        logging.raiseExceptions = False
        said = tracking.masked("".join(traceback.format_exception(problem)))
        logging.getLogger(__name__).error("%s failed\n%s", name, said)
        error = tracking.masked(f"{type(problem).__name__}: {problem}")
        seconds, failure = time.perf_counter() - start, tracking.failure_of(problem)
        outcome = Outcome(name, seconds, "", error, failure)
    Progress(directory).finish(outcome)


def _ended_before(config: DictConfig, directory: Path, sweep: Sweep) -> Outcome | None:
    """The outcome of this run if it was complete before the sweep was interrupted, else None.

    MLflow decides: the process may have been killed after the run was marked finished there, or the
    run may have been deleted since.
    """
    begun = Progress(directory).begun(identity_of(config, sweep))
    if begun is None:
        return None
    tracking.connect(config.tracking.uri, config.tracking.patience, wait=True)
    if tracking.status_of(begun.run_id) != "FINISHED":
        return None
    return begun.outcome or Outcome(sweep.run_name(config), 0.0, "ended before")
