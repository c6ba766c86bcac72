"""Everything that knows MLflow: where runs are kept, how one is written, how a sweep is read."""

from tracking.reading import RunRecord, Sweep, latest_sweep, read_sweep
from tracking.store import connect, fail_abandoned_runs, tracking_uri
from tracking.ui import page
from tracking.writing import RunWriter, TrackedRun, start_sweep

__all__ = [
    "RunRecord",
    "RunWriter",
    "Sweep",
    "TrackedRun",
    "connect",
    "fail_abandoned_runs",
    "latest_sweep",
    "page",
    "read_sweep",
    "start_sweep",
    "tracking_uri",
]
