"""Where the MLflow UI shows what was tracked."""

import mlflow

from unrolled.tracking.secrets import masked
from unrolled.tracking.store import is_default

HOST, PORT = "127.0.0.1", 5000
# The UI opens on pages for language-model traces unless it is told otherwise.
VIEW = "workflowType=machine_learning"


def page(experiment_id: str, run_id: str | None = None) -> str:
    """Where the UI shows an experiment's runs, or one run, of the store in use."""
    uri = mlflow.get_tracking_uri()
    server = uri.rstrip("/") if uri.startswith("http") else f"http://{HOST}:{PORT}"
    run = f"/{run_id}" if run_id else ""
    return f"{server}/#/experiments/{experiment_id}/runs{run}?{VIEW}"


def how_to_browse() -> str:
    """The command that opens the UI over the store in use."""
    uri = mlflow.get_tracking_uri()
    return "make ui" if is_default(uri) else f"MLFLOW_TRACKING_URI={masked(uri)} make ui"
