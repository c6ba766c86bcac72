"""Runs whose process was killed before it could record its end."""

import socket

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from unrolled.system.processes import is_running
from unrolled.tracking.failure import Failure
from unrolled.tracking.patience import PatientClient
from unrolled.tracking.writing import RunWriter


def fail_abandoned_runs(
    reason: str = "its process ended unexpectedly (killed?)", sweep: str | None = None
) -> int:
    """Marks runs FAILED whose process on this machine was killed (kill -9, power loss).

    Args:
        reason: for people.
        sweep: the parent run whose runs are marked; None for all runs of the store.

    Returns:
        The number of such runs.
    """
    client = PatientClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    condition = "attributes.status = 'RUNNING'"
    if sweep is not None:
        condition += f" and tags.`{MLFLOW_PARENT_RUN_ID}` = '{sweep}'"
    running = client.search_runs(experiments, condition, max_results=1000)
    ended = [run.info.run_id for run in running if _has_ended(run.data.tags.get("process"))]
    # Read again, because a run may finish or be resumed between the search and the check.
    abandoned = [run_id for run_id in ended if _is_abandoned(client.get_run(run_id))]
    for run_id in abandoned:
        RunWriter(run_id).fail(reason, Failure.INTERRUPTED)
    return len(abandoned)


def _is_abandoned(run: Run) -> bool:
    return run.info.status == "RUNNING" and _has_ended(run.data.tags.get("process"))


def _has_ended(process: str | None) -> bool:
    """Whether the process of a tag, written by `TrackedRun`, ran on this machine and has ended.

    False if the tag is not a process.
    """
    host, _, pid = (process or "").rpartition(":")
    try:
        return host == socket.gethostname() and not is_running(int(pid))
    except (ValueError, OverflowError):
        return False
