"""Runs whose process was killed before it could record its end."""

import os
import socket
from pathlib import Path

from unrolled.tracking.failure import Failure
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
        RunWriter(run_id).fail("its process ended unexpectedly (killed?)", Failure.INTERRUPTED)
    return len(abandoned)


def _is_abandoned(run) -> bool:
    return run.info.status == "RUNNING" and _is_gone(run.data.tags.get("process"))


def _is_gone(process: str | None) -> bool:
    """Whether the process of a tag, as `TrackedRun` writes it, ran here and runs no more."""
    host, _, pid = (process or "").rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
        return _is_zombie(int(pid))
    except ProcessLookupError:
        return True
    except PermissionError:  # It runs, and belongs to somebody else.
        pass
    except (ValueError, OverflowError):  # Whatever the tag is, nobody is known to have died.
        pass
    return False


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and its parent has not yet read its exit code.

    Such a process still takes signals. False where there is no /proc, as on macOS.
    """
    try:
        # "pid (name) state ..."; the name may contain parentheses.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False
