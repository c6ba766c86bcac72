"""MLflow: where runs are stored, how a run is written, and how a sweep is read."""

import os

# MLflow would report every call to its makers. Who wants that sets the variable to "false".
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from unrolled.tracking.abandoned import fail_abandoned_runs, fail_runs_on
from unrolled.tracking.addresses import how_to_browse, page
from unrolled.tracking.errors import (
    DeletedError,
    NoSuchRunError,
    StoreError,
    TrackingError,
    UnreadableRecordError,
)
from unrolled.tracking.failure import FAILURE, Failure, failure_of
from unrolled.tracking.files import Files
from unrolled.tracking.reading import (
    RunRecord,
    SweepRecord,
    files_of,
    fractions_of_runs,
    latest_run,
    latest_sweep,
    read_run,
    read_sweep,
    run_of_sweep,
    status_of,
    stopped_after,
)
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import (
    check_experiment,
    connect,
    is_on_this_machine,
    refuse_other_machines,
    refuse_secrets,
    require_writable,
)
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
    "Files",
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
    "fail_runs_on",
    "failure_of",
    "files_of",
    "fractions_of_runs",
    "how_to_browse",
    "is_on_this_machine",
    "latest_run",
    "latest_sweep",
    "masked",
    "page",
    "read_run",
    "read_sweep",
    "refuse_other_machines",
    "refuse_secrets",
    "require_writable",
    "run_of_sweep",
    "start_sweep",
    "status_of",
    "stopped_after",
]
