"""Everything that knows MLflow: where runs are kept, how one is written, how a sweep is read."""

from tracking.abandoned import fail_abandoned_runs
from tracking.addresses import how_to_browse, page
from tracking.errors import (
    DeletedError,
    NoSuchRunError,
    StoreError,
    TrackingError,
    UnreadableRecordError,
)
from tracking.reading import (
    RunRecord,
    SweepRecord,
    files_of,
    is_there,
    latest_run,
    latest_sweep,
    read_run,
    read_sweep,
)
from tracking.secrets import masked
from tracking.store import check_experiment, connect, refuse_secrets
from tracking.writing import REPORT, RunWriter, TrackedRun, start_sweep

__all__ = [
    "REPORT",
    "DeletedError",
    "NoSuchRunError",
    "RunRecord",
    "RunWriter",
    "StoreError",
    "SweepRecord",
    "TrackedRun",
    "TrackingError",
    "UnreadableRecordError",
    "check_experiment",
    "connect",
    "fail_abandoned_runs",
    "files_of",
    "how_to_browse",
    "is_there",
    "latest_run",
    "latest_sweep",
    "masked",
    "page",
    "read_run",
    "read_sweep",
    "refuse_secrets",
    "start_sweep",
]
