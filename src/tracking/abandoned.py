"""Runs whose process was killed before it could record its end."""

import socket

from unrolled.system.processes import is_running
from unrolled.tracking.patience import PatientClient
from unrolled.tracking.writing import RunWriter


def fail_abandoned_runs() -> int:
    """Mark runs FAILED whose process on this machine was killed (kill -9, power).

    Returns:
        How many there were.
    """
    client = PatientClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000)
    gone = [run.info.run_id for run in running if _is_gone(run.data.tags.get("process"))]
    # Read again: a run may have ended well, or been resumed, between the search and the check.
    abandoned = [run_id for run_id in gone if _is_abandoned(client.get_run(run_id))]
    for run_id in abandoned:
        RunWriter(run_id).fail("its process ended unexpectedly (killed?)")
    return len(abandoned)


def _is_abandoned(run) -> bool:
    return run.info.status == "RUNNING" and _is_gone(run.data.tags.get("process"))


def _is_gone(process: str | None) -> bool:
    """Whether the process of a tag, as `TrackedRun` writes it, was on this machine and has ended.

    False for a tag that names no process.
    """
    host, _, pid = (process or "").rpartition(":")
    try:
        return host == socket.gethostname() and not is_running(int(pid))
    except (ValueError, OverflowError):
        return False
