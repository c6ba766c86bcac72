"""MLflow: where runs are stored, how a run is written, and how a sweep is read."""

import os

# MLflow would report every call to its makers. Who wants that sets the variable to "false".
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from unrolled.tracking.abandoned import fail_abandoned_runs
from unrolled.tracking.addresses import how_to_browse, page
from unrolled.tracking.errors import (
    DeletedError,
    NoSuchRunError,
    StoreError,
    TrackingError,
    UnreadableRecordError,
)
from unrolled.tracking.failure import FAILURE, Failure, failure_of
from unrolled.tracking.reading import (
    RunRecord,
    SweepRecord,
    files_of,
    latest_run,
    latest_sweep,
    read_run,
    read_sweep,
    status_of,
    stopped_after,
)
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import check_experiment, connect, refuse_secrets, require_writable
from unrolled.tracking.writing import (
    BASELINES,
    REPORT,
    SETTINGS,
    STOPPED_AFTER,
    RunWriter,
    TrackedRun,
    start_sweep,
)

__all__ = [
    "BASELINES",
    "FAILURE",
    "REPORT",
    "SETTINGS",
    "STOPPED_AFTER",
    "DeletedError",
    "Failure",
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
    "failure_of",
    "files_of",
    "how_to_browse",
    "latest_run",
    "latest_sweep",
    "masked",
    "page",
    "read_run",
    "read_sweep",
    "refuse_secrets",
    "require_writable",
    "start_sweep",
    "status_of",
    "stopped_after",
]
