"""Addresses of runs in the MLflow UI."""

import mlflow

from unrolled.tracking.secrets import masked
from unrolled.tracking.store import is_default

HOST, PORT = "127.0.0.1", 5000
# Without this, the UI opens the pages for traces of language models.
VIEW = "workflowType=machine_learning"


def page(experiment_id: str, run_id: str | None = None) -> str:
    """Returns the address of an experiment, or of one run, in the UI of the current store."""
    uri = mlflow.get_tracking_uri()
    server = uri.rstrip("/") if uri.startswith("http") else f"http://{HOST}:{PORT}"
    run = f"/{run_id}" if run_id else ""
    return f"{server}/#/experiments/{experiment_id}/runs{run}?{VIEW}"


def how_to_browse(experiment_id: str, run_id: str | None = None) -> str:
    """Returns how to see an experiment, or one run: its address, after the command for a database.

    A server has its own UI, at the address of the store.
    """
    uri, address = mlflow.get_tracking_uri(), page(experiment_id, run_id)
    if uri.startswith("http"):
        return address
    command = "make ui" if is_default(uri) else f"MLFLOW_TRACKING_URI={masked(uri)} make ui"
    return f"{command}, then\n{address}"
