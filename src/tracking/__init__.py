"""Everything that knows MLflow: where runs are kept, how one is written, how a sweep is read."""

from tracking.abandoned import fail_abandoned_runs
from tracking.addresses import how_to_browse, page
from tracking.errors import NoSuchRunError, StoreError, TrackingError
from tracking.reading import (
    RunRecord,
    SweepRecord,
    files_of,
    latest_run,
    latest_sweep,
    read_run,
    read_sweep,
)
from tracking.store import connect, require_writable
from tracking.writing import REPORT, RunWriter, TrackedRun, start_sweep

__all__ = [
    "REPORT",
    "NoSuchRunError",
    "RunRecord",
    "RunWriter",
    "StoreError",
    "SweepRecord",
    "TrackedRun",
    "TrackingError",
    "connect",
    "fail_abandoned_runs",
    "files_of",
    "how_to_browse",
    "latest_run",
    "latest_sweep",
    "page",
    "read_run",
    "read_sweep",
    "require_writable",
    "start_sweep",
]
