"""Where runs are kept."""

import logging
import os
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from tracking import relocation
from tracking.errors import StoreError

_PROJECT = Path(__file__).resolve().parents[2]
_DEFAULT = f"sqlite:///{_PROJECT / 'mlflow.db'}"


def tracking_uri(uri: str | None = None) -> str:
    """`uri`, else MLFLOW_TRACKING_URI, else the SQLite file mlflow.db in the project's folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT


def is_default(uri: str) -> bool:
    """Whether runs go into the project's own database."""
    return uri == _DEFAULT


def connect(uri: str | None = None) -> str:
    """Use a store, made if it is not there, for all that follows in this process.

    Returns:
        The store's URI.

    Raises:
        ConnectionError: if the store does not answer.
    """
    # MLflow reports every database migration of a new file at this level.
    for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = tracking_uri(uri)
    if uri.startswith("http"):
        # By default MLflow tries an absent server for minutes before it gives up.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if (database := sqlite_file(uri)) is not None:
        relocation.follow(database, artifacts_of(database))
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise ConnectionError(
            f"The MLflow store {uri} does not answer: {error}\n"
            "Start it, or name another with MLFLOW_TRACKING_URI or tracking.uri; "
            "without either, runs go to mlflow.db in the project's folder."
        ) from error
    return uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for other stores."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///")).absolute()


def require_writable() -> None:
    """Check that runs can be added to the store in use, before any time is spent on one.

    Reading works where they cannot.

    Raises:
        StoreError: if its SQLite file, or the folder of its runs' files, cannot be written to.
    """
    database = sqlite_file(mlflow.get_tracking_uri())
    if database is None:
        return
    for path in (database.parent, database, database.parent / "mlruns"):
        if path.exists() and not os.access(path, os.W_OK):
            raise StoreError(
                f"{path}: cannot be written to by this user, so no run can be tracked. Change its "
                "permissions, or name another database with "
                "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
            )


def artifacts_of(path: Path) -> str:
    """Where runs of a database keep their files: beside it.

    MLflow's own choice is ./mlruns of wherever the process runs.
    """
    return (path.parent / "mlruns").as_uri()


def experiment_id(name: str) -> str:
    """The id of the MLflow experiment `name`, made if it is not there."""
    experiment = mlflow.get_experiment_by_name(name)
    if experiment is not None:
        return experiment.experiment_id
    database = sqlite_file(mlflow.get_tracking_uri())
    location = database and artifacts_of(database)
    # Without this tag the UI takes every experiment for one with language-model traces.
    kind = {"mlflow.experimentKind": "custom_model_development"}
    return mlflow.create_experiment(name, artifact_location=location, tags=kind)
