"""Everything that knows MLflow: where runs are kept, how one is written, how a sweep is read."""

from tracking.addresses import how_to_browse, page
from tracking.reading import NoSuchRunError, RunRecord, Sweep, latest_sweep, read_sweep
from tracking.store import connect, fail_abandoned_runs, tracking_uri
from tracking.writing import RunWriter, TrackedRun, start_sweep

__all__ = [
    "NoSuchRunError",
    "RunRecord",
    "RunWriter",
    "Sweep",
    "TrackedRun",
    "connect",
    "fail_abandoned_runs",
    "how_to_browse",
    "latest_sweep",
    "page",
    "read_sweep",
    "start_sweep",
    "tracking_uri",
]
