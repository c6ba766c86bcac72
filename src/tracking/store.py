"""Where runs are kept."""

import logging
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _tracking_store_registry

from unrolled.project import PROJECT
from unrolled.tracking import relocation
from unrolled.tracking.errors import DeletedError, StoreError
from unrolled.tracking.patience import PatientClient, patience
from unrolled.tracking.secrets import has_secret, masked, without_credentials

_DEFAULT = f"sqlite:///{PROJECT / 'mlflow.db'}"
_SQLITE = re.compile(r"sqlite(\+\w+)?://")
_DATABASES = ("postgresql", "mysql", "mssql")
_EXPECTED = (
    "Expected sqlite:////absolute/path/mlflow.db, or the address of an MLflow server such as "
    "http://localhost:5000, in MLFLOW_TRACKING_URI or tracking.uri; without either, runs go to "
    "mlflow.db in the project's folder."
)


def tracking_uri(uri: str | None = None) -> str:
    """`uri`, else MLFLOW_TRACKING_URI, else the SQLite file mlflow.db in the project's folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT


def is_default(uri: str) -> bool:
    """Whether runs go into the project's own database."""
    return uri == _DEFAULT


def connect(uri: str | None = None, seconds: float = 0.0, *, wait: bool = False) -> str:
    """Use a store, made if it is not there, for all that follows in this process.

    Args:
        uri: as in conf/tracking; see `tracking_uri`.
        seconds: how long each later call waits for a store that stops answering.
        wait: whether this one waits, too.

    Returns:
        The store's URI. User and password of an http address move from it to
        MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

    Raises:
        StoreError: for a URI that names no store, a store that cannot be used, and one that does
            not answer.
    """
    # MLflow reports every database migration of a new file at this level.
    for noisy in ("alembic", "mlflow.tracking.fluent"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It logs each error of a database with a traceback, and raises it as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    _mask_logs()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    refuse_secrets(uri)
    uri = tracking_uri(uri)
    check(uri)
    if uri.startswith("http"):
        # MLflow tries an absent server for minutes, in silence; `patience` says what it waits for.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        uri = without_credentials(uri)
    if (path := sqlite_file(uri)) is not None:
        from unrolled.tracking.database import (
            make_once,  # Slow to import, and of no use to other stores.
        )

        make_once(path, uri)
        relocation.follow(path, artifacts_of(path))
    mlflow.set_tracking_uri(uri)
    if wait:
        patience.seconds = seconds  # Not if the store was given up: the next run of a sweep fails.
    else:
        patience.begin(0.0)
    try:
        PatientClient().search_experiments(max_results=1)
    except StoreError:
        raise
    except (MlflowException, OSError, ImportError) as error:
        said = " ".join(masked(str(error)).split())  # A server that is not MLflow's sends a page.
        raise StoreError(
            f"The MLflow store {masked(uri)} cannot be used: {said[:400]} {_EXPECTED}"
        ) from None
    patience.seconds = seconds
    return uri


class _Masking(logging.Filter):
    """Changes what is logged so that it holds no password."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return True


def _mask_logs() -> None:
    """MLflow logs errors of databases with all that these say."""
    for handler in logging.getLogger("mlflow").handlers:
        if not any(isinstance(each, _Masking) for each in handler.filters):
            handler.addFilter(_Masking())


def refuse_secrets(uri: str | None) -> None:
    """A URI of the configuration, or the command line, which each run stores, has no password.

    Args:
        uri: it, or an argument of the command line that may contain one.

    Raises:
        StoreError: if it has one.
    """
    if uri is not None and has_secret(uri):
        raise StoreError(
            f"tracking.uri: expected a URI without a password or token, got {masked(uri)}; the "
            "configuration is stored with every run. Put the URI in the environment variable "
            "MLFLOW_TRACKING_URI, or a password in MLFLOW_TRACKING_PASSWORD."
        )


def check(uri: str) -> None:
    """Whether a URI names a store that this project can use.

    Raises:
        StoreError: if it does not; the message says what would.
    """
    scheme = uri.partition(":")[0] if re.match(r"[a-zA-Z][\w+.\-]+:", uri) else ""
    if _SQLITE.match(uri):
        _check_sqlite(uri)
    elif scheme in ("http", "https"):
        _check_server(uri)
    elif uri == "databricks" or scheme.startswith("databricks") or scheme == "uc":
        raise StoreError(
            f"The MLflow store {masked(uri)} is on Databricks, which is not supported: it names "
            f"experiments by path. {_EXPECTED}"
        )
    elif scheme in ("", "file"):
        _check_folder(uri)
    elif scheme.partition("+")[0] not in _DATABASES and scheme not in _schemes():
        raise StoreError(f"The MLflow store {masked(uri)} begins with {scheme!r}. {_EXPECTED}")


def _schemes() -> set[str]:
    """Those that MLflow knows, with its plugins."""
    return set(_tracking_store_registry._registry)


def _check_sqlite(uri: str) -> None:
    path = sqlite_file(uri)
    if path is None:
        raise StoreError(
            f"The MLflow store {uri} names no file: runs would be lost as the process ends. "
            f"{_EXPECTED}"
        )
    if path.is_dir():
        raise StoreError(
            f"The MLflow store {uri} is a folder, {path}. Name a file in it: "
            f"sqlite:///{path / 'mlflow.db'}"
        )
    if not path.parent.is_dir():
        hint = ""
        if not uri.partition(":///")[2].startswith("/"):
            hint = " (after three slashes stands a relative path, after four an absolute one)"
        raise StoreError(
            f"The MLflow store {uri} is in the folder {path.parent}, which does not exist{hint}. "
            "Make it, or name a file in a folder that exists."
        )


def _check_server(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an address that is no number
        parts, usable = None, False
    if not usable:
        raise StoreError(f"The MLflow store {masked(uri)} names no server. {_EXPECTED}")
    if parts.query or parts.fragment:
        raise StoreError(
            f"The MLflow store {masked(uri)} contains a query or fragment, which MLflow does not "
            "support. Put a token in the environment variable MLFLOW_TRACKING_TOKEN. "
            f"{_EXPECTED}"
        )


def _check_folder(uri: str) -> None:
    path = Path(re.sub("^file:(//)?", "", uri)).absolute()
    if path.suffix in (".db", ".sqlite", ".sqlite3") or path.is_file():
        raise StoreError(
            f"The MLflow store {uri} is a file, and the URI has no scheme. Use sqlite:///{path}"
        )
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise StoreError(
            f"The MLflow store {uri} is a folder, {path}: a file store, which MLflow has "
            f"deprecated in favour of databases. Use sqlite:///{path.parent / 'mlflow.db'}; runs "
            "that the folder holds are moved by `mlflow migrate-filestore`."
        )


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store; None for other stores, and for one in memory."""
    if not _SQLITE.match(uri):
        return None
    # With escapes such as %20 decoded, as SQLAlchemy does before it opens the file.
    name = unquote(uri.partition(":///")[2].partition("?")[0])
    return Path(name).absolute() if name and name != ":memory:" else None


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
    """The id of the MLflow experiment `name`, made if it is not there.

    Raises:
        DeletedError: if it was deleted.
    """
    found = _experiment(name)
    if found is None:
        path = sqlite_file(mlflow.get_tracking_uri())
        # Without this tag the UI takes every experiment for one with language-model traces.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return PatientClient().create_experiment(name, path and artifacts_of(path), kind)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = _experiment(name)  # Another process was faster.
    return found.experiment_id


def check_experiment(name: str) -> None:
    """Refuse an experiment in which no run can be made.

    Raises:
        DeletedError: if it was deleted.
    """
    _experiment(name)


def _experiment(name: str):
    found = PatientClient().get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise DeletedError(
            f"The MLflow experiment {name!r} was deleted, with its runs, and its name cannot be "
            f"used again. Restore it: {restore_experiment(found.experiment_id)}; or give the "
            "experiment's file in conf/experiment another name and run that."
        )
    return found


def restore_experiment(experiment_id: str) -> str:
    """The command that restores a deleted experiment with its runs."""
    return _command(f"experiments restore -x {experiment_id}")


def restore_run(run_id: str) -> str:
    """The command that restores a deleted run."""
    return _command(f"runs restore --run-id {run_id}")


def _command(words: str) -> str:
    """A command of MLflow over the store in use, as one types it in the project's folder."""
    return f"MLFLOW_TRACKING_URI={masked(mlflow.get_tracking_uri())} .venv/bin/mlflow {words}"
