"""Runs whose process was killed before it could record its end."""

import os
import socket
from pathlib import Path

from mlflow.entities import Run

from unrolled.tracking.patience import PatientClient
from unrolled.tracking.writing import RunWriter


def fail_abandoned_runs() -> int:
    """Marks runs FAILED whose process on this machine was killed (kill -9, power loss).

    Returns:
        The number of such runs.
    """
    client = PatientClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000)
    ended = [run.info.run_id for run in running if _has_ended(run.data.tags.get("process"))]
    # Read again, because a run may finish or be resumed between the search and the check.
    abandoned = [run_id for run_id in ended if _is_abandoned(client.get_run(run_id))]
    for run_id in abandoned:
        RunWriter(run_id).fail("its process ended unexpectedly (killed?)")
    return len(abandoned)


def _is_abandoned(run: Run) -> bool:
    return run.info.status == "RUNNING" and _has_ended(run.data.tags.get("process"))


def _has_ended(process: str | None) -> bool:
    """Whether the process of a tag, written by `TrackedRun`, ran here and has ended."""
    host, _, pid = (process or "").rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
        return _is_zombie(int(pid))
    except ProcessLookupError:
        return True
    except PermissionError:  # It is running, as another user.
        pass
    except (ValueError, OverflowError):  # The tag is not a process id.
        pass
    return False


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended, but its parent has not read its exit code yet.

    Such a process still accepts signals. False on systems without /proc, such as macOS.
    """
    try:
        # "pid (name) state ..."; the name may contain parentheses.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False
