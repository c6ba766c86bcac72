"""Runs whose process was killed before it could record its end."""

import socket

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from unrolled.system.processes import is_running
from unrolled.tracking.failure import Failure
from unrolled.tracking.patience import PatientClient
from unrolled.tracking.writing import RunWriter


def fail_abandoned_runs(
    reason: str = "its process ended unexpectedly (killed?)",
    sweep: str | None = None,
    on_all_machines: bool = False,
) -> int:
    """Marks runs FAILED whose process on this machine was killed (kill -9, power loss).

    Args:
        reason: for people.
        sweep: the parent run whose runs are marked; None for all runs of the store.
        on_all_machines: whether those whose process was on another machine are marked too. The
            caller knows that it has ended.

    Returns:
        The number of such runs.
    """
    client = PatientClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    condition = "attributes.status = 'RUNNING'"
    if sweep is not None:
        condition += f" and tags.`{MLFLOW_PARENT_RUN_ID}` = '{sweep}'"
    running = client.search_runs(experiments, condition, max_results=1000)
    ended = [run.info.run_id for run in running if _is_abandoned(run, on_all_machines)]
    # Read again, because a run may finish or be resumed between the search and the check.
    abandoned = [each for each in ended if _is_abandoned(client.get_run(each), on_all_machines)]
    for run_id in abandoned:
        RunWriter(run_id).fail(reason, Failure.INTERRUPTED)
    return len(abandoned)


def fail_runs_on(machine: str, sweep: str) -> int:
    """Marks a sweep and its runs FAILED if their process was on a machine that has failed.

    Args:
        machine: its name.
        sweep: the sweep's parent run.

    Returns:
        The number of such runs, the parent run included.
    """
    client = PatientClient()
    parent = client.get_run(sweep)
    condition = f"attributes.status = 'RUNNING' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{sweep}'"
    runs = client.search_runs([parent.info.experiment_id], condition, max_results=10_000)
    if parent.info.status == "RUNNING":
        runs = [*runs, parent]
    lost = [each for each in runs if _machine_of(each) == machine]
    for run in lost:
        RunWriter(run.info.run_id).fail(f"the machine {machine} has failed", Failure.INTERRUPTED)
    return len(lost)


def _machine_of(run: Run) -> str:
    return run.data.tags.get("process", "").rpartition(":")[0]


def _is_abandoned(run: Run, on_all_machines: bool) -> bool:
    return run.info.status == "RUNNING" and _has_ended(
        run.data.tags.get("process"), on_all_machines
    )


def _has_ended(process: str | None, on_all_machines: bool) -> bool:
    """Whether the process of a tag, written by `TrackedRun`, has ended.

    False if it is on another machine, unless all of those have ended, and if the tag is not a
    process.
    """
    host, _, pid = (process or "").rpartition(":")
    if on_all_machines and host and host != socket.gethostname():
        return True
    try:
        return host == socket.gethostname() and not is_running(int(pid))
    except (ValueError, OverflowError):
        return False
