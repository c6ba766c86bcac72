"""Runs whose process died without a word."""

import os
import socket

from tracking.patience import PatientClient
from tracking.writing import RunWriter


def fail_abandoned_runs() -> int:
    """Mark runs FAILED whose process on this machine was killed (kill -9, power).

    Returns:
        How many there were.
    """
    client = PatientClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000)
    abandoned = [run for run in running if _is_gone(run.data.tags.get("process"))]
    for run in abandoned:
        RunWriter(run.info.run_id).fail("its process ended without a word; killed?")
    return len(abandoned)


def _is_gone(process: str | None) -> bool:
    """Whether the process of a tag, as `TrackedRun` writes it, ran here and runs no more."""
    host, _, pid = (process or "").rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # It runs, and belongs to somebody else.
        pass
    except (ValueError, OverflowError):  # Whatever the tag is, nobody is known to have died.
        pass
    return False
