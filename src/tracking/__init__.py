"""Everything that knows MLflow: where runs are kept, how one is written, how a sweep is read."""

from tracking.abandoned import fail_abandoned_runs
from tracking.addresses import how_to_browse, page
from tracking.reading import (
    NoSuchRunError,
    RunRecord,
    SweepRecord,
    files_of,
    latest_run,
    latest_sweep,
    read_run,
    read_sweep,
    status_of,
)
from tracking.record import UnreadableRecordError
from tracking.store import connect
from tracking.writing import REPORT, RunWriter, TrackedRun, start_sweep

__all__ = [
    "REPORT",
    "NoSuchRunError",
    "RunRecord",
    "RunWriter",
    "SweepRecord",
    "TrackedRun",
    "UnreadableRecordError",
    "connect",
    "fail_abandoned_runs",
    "files_of",
    "how_to_browse",
    "latest_run",
    "latest_sweep",
    "page",
    "read_run",
    "read_sweep",
    "start_sweep",
    "status_of",
]
