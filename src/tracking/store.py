"""The MLflow store: selection, validation, and experiments."""

import logging
import os
import re
import socket
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.entities import Experiment
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
    "http://localhost:5000, in MLFLOW_TRACKING_URI or tracking.uri. By default, runs are stored in "
    "mlflow.db in the project's folder."
)


def tracking_uri(uri: str | None = None) -> str:
    """Returns `uri`, MLFLOW_TRACKING_URI, or the SQLite file mlflow.db in the project's folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or _DEFAULT


def is_default(uri: str) -> bool:
    """Whether a URI is the project's own database."""
    return uri == _DEFAULT


def connect(uri: str | None = None, seconds: float = 0.0, *, wait: bool = False) -> str:
    """Selects the store for this process, and creates it if it does not exist.

    Args:
        uri: as in conf/tracking; see `tracking_uri`.
        seconds: how long later calls wait for a store that does not respond.
        wait: whether this call waits, too.

    Returns:
        The store's URI. User and password of an http address are moved to MLFLOW_TRACKING_USERNAME
        and MLFLOW_TRACKING_PASSWORD.

    Raises:
        StoreError: if the URI is not a store, or the store cannot be used or does not respond.
    """
    # MLflow reports every database migration of a new file at this level.
    for noisy in ("alembic", "mlflow.tracking.fluent"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It logs each database error with a traceback, in addition to raising it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    _mask_logs()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    refuse_secrets(uri)
    uri = tracking_uri(uri)
    check(uri)
    if uri.startswith("http"):
        # MLflow silently retries for minutes; `patience` reports what it waits for.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        uri = without_credentials(uri)
    if (path := sqlite_file(uri)) is not None:
        # Imported here because it is slow, and other stores do not need it.
        from unrolled.tracking.database import create_once

        create_once(path, uri)
        relocation.update_addresses(path, artifacts_of(path))
    mlflow.set_tracking_uri(uri)
    if wait:
        patience.seconds = seconds  # Keeps an earlier failure, so that the next run fails at once.
    else:
        patience.begin(0.0)
    try:
        PatientClient().search_experiments(max_results=1)
    except StoreError:
        raise
    except (MlflowException, OSError, ImportError) as error:
        message = " ".join(
            masked(str(error)).split()
        )  # Another server may respond with a web page.
        raise StoreError(
            f"The MLflow store {masked(uri)} cannot be used: {message[:400]} {_EXPECTED}"
        ) from None
    patience.seconds = seconds
    return uri


class _Masking(logging.Filter):
    """A logging filter that masks passwords."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return True


def _mask_logs() -> None:
    """Masks passwords in MLflow's logs, which include database errors."""
    for handler in logging.getLogger("mlflow").handlers:
        if not any(isinstance(each, _Masking) for each in handler.filters):
            handler.addFilter(_Masking())


def refuse_secrets(uri: str | None) -> None:
    """Rejects a URI with a password in the configuration or command line, which runs store.

    Args:
        uri: the URI, or an argument of the command line that may contain one.

    Raises:
        StoreError: if it contains a password or token.
    """
    if uri is not None and has_secret(uri):
        raise StoreError(
            f"tracking.uri: expected a URI without a password or token, got {masked(uri)}, because "
            "the configuration is stored with every run. Set the URI in the environment variable "
            "MLFLOW_TRACKING_URI, or the password in MLFLOW_TRACKING_PASSWORD."
        )


def check(uri: str) -> None:
    """Checks that a URI is a store that this project can use.

    Raises:
        StoreError: if it is not; the message says what is expected.
    """
    scheme = uri.partition(":")[0] if re.match(r"[a-zA-Z][\w+.\-]+:", uri) else ""
    if _SQLITE.match(uri):
        _check_sqlite(uri)
    elif scheme in ("http", "https"):
        _check_server(uri)
    elif uri == "databricks" or scheme.startswith("databricks") or scheme == "uc":
        raise StoreError(
            f"The MLflow store {masked(uri)} is on Databricks, which is not supported, because "
            f"its experiment names are paths. {_EXPECTED}"
        )
    elif scheme in ("", "file"):
        _check_folder(uri)
    elif scheme.partition("+")[0] not in _DATABASES and scheme not in _schemes():
        raise StoreError(
            f"The MLflow store {masked(uri)} has the unknown scheme {scheme!r}. {_EXPECTED}"
        )


def _schemes() -> set[str]:
    """Returns the schemes that MLflow and its plugins support."""
    return set(_tracking_store_registry._registry)


def _check_sqlite(uri: str) -> None:
    path = sqlite_file(uri)
    if path is None:
        raise StoreError(
            f"The MLflow store {uri} names no file, so runs would be lost when the process ends. "
            f"{_EXPECTED}"
        )
    if path.is_dir():
        raise StoreError(
            f"The MLflow store {uri} is a folder, {path}. Use a file in it: "
            f"sqlite:///{path / 'mlflow.db'}"
        )
    if not path.parent.is_dir():
        hint = ""
        if not uri.partition(":///")[2].startswith("/"):
            hint = " (three slashes precede a relative path, four an absolute path)"
        raise StoreError(
            f"The MLflow store {uri} is in the folder {path.parent}, which does not exist{hint}. "
            "Create it, or use a file in an existing folder."
        )


def _check_server(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # An invalid port or address.
        usable = False
    if not usable:
        raise StoreError(f"The MLflow store {masked(uri)} has no valid server name. {_EXPECTED}")
    if parts.query or parts.fragment:
        raise StoreError(
            f"The MLflow store {masked(uri)} contains a query or fragment, which MLflow does not "
            "support. Set a token in the environment variable MLFLOW_TRACKING_TOKEN. "
            f"{_EXPECTED}"
        )


def _check_folder(uri: str) -> None:
    path = Path(re.sub("^file:(//)?", "", uri)).absolute()
    if path.suffix in (".db", ".sqlite", ".sqlite3") or path.is_file():
        raise StoreError(
            f"The MLflow store {uri} is a file, but the URI has no scheme. Use sqlite:///{path}"
        )
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise StoreError(
            f"The MLflow store {uri} is a folder, {path}: a file store, which MLflow has "
            f"deprecated in favor of databases. Use sqlite:///{path.parent / 'mlflow.db'}. "
            "`mlflow migrate-filestore` moves the runs of the folder."
        )


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of a SQLite store; None for other stores, and for an in-memory database."""
    if not _SQLITE.match(uri):
        return None
    # SQLAlchemy also decodes escapes such as %20 before it opens the file.
    name = unquote(uri.partition(":///")[2].partition("?")[0])
    return Path(name).absolute() if name and name != ":memory:" else None


def require_writable() -> None:
    """Checks that runs can be added to the current store, before a run is trained.

    Reading does not need this.

    Raises:
        StoreError: if its SQLite file, or the folder of its runs' files, is not writable.
    """
    database = sqlite_file(mlflow.get_tracking_uri())
    if database is None:
        return
    for path in (database.parent, database, database.parent / "mlruns"):
        if path.exists() and not os.access(path, os.W_OK):
            raise StoreError(
                f"{path}: cannot be written to by this user, so no run can be tracked. Change its "
                "permissions, or use another database with "
                "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db."
            )


def is_on_this_machine() -> bool:
    """Whether the current store is an SQLite file, which only one machine may use."""
    return sqlite_file(mlflow.get_tracking_uri()) is not None


def refuse_other_machines(machines: Collection[str]) -> None:
    """Checks that a sweep's runs may be on other machines.

    Args:
        machines: the names of these machines; this one does not matter.

    Raises:
        StoreError: if there are any, and the current store is an SQLite file.
    """
    others = [each for each in machines if each != socket.gethostname()]
    if others and is_on_this_machine():
        raise StoreError(
            f"The MLflow store {mlflow.get_tracking_uri()} is an SQLite file, and runs of this "
            f"sweep would write to it from other machines (here: {socket.gethostname()}; "
            f"there: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}). On a network "
            "folder such writes can damage it. Start a tracking server (docs/store.md), and set "
            "MLFLOW_TRACKING_URI to its address."
        )


def artifacts_of(path: Path) -> str:
    """Returns the folder of runs' files, which is beside the database.

    MLflow's own default is ./mlruns in the current working directory.
    """
    return (path.parent / "mlruns").as_uri()


def experiment_id(name: str) -> str:
    """Returns the id of the MLflow experiment `name`, and creates it if necessary.

    Raises:
        DeletedError: if it was deleted.
    """
    found = _experiment(name)
    if found is None:
        path = sqlite_file(mlflow.get_tracking_uri())
        # Without this tag, the UI shows the pages for traces of language models.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return PatientClient().create_experiment(name, path and artifacts_of(path), kind)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = _experiment(name)  # Another process was faster.
            assert found is not None
    return found.experiment_id


def check_experiment(name: str) -> None:
    """Checks that runs can be created in an experiment.

    Raises:
        DeletedError: if it was deleted.
    """
    _experiment(name)


def _experiment(name: str) -> Experiment | None:
    found = PatientClient().get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise DeletedError(
            f"The MLflow experiment {name!r} was deleted with its runs, and its name cannot be "
            f"reused. Restore it: {restore_experiment(found.experiment_id)}; or rename the "
            "experiment's file in conf/experiment and run it under the new name."
        )
    return found


def restore_experiment(experiment_id: str) -> str:
    """Returns the command that restores a deleted experiment with its runs."""
    return _command(f"experiments restore -x {experiment_id}")


def restore_run(run_id: str) -> str:
    """Returns the command that restores a deleted run."""
    return _command(f"runs restore --run-id {run_id}")


def _command(arguments: str) -> str:
    """Returns an MLflow command for the current store, to be run in the project's folder."""
    return f"MLFLOW_TRACKING_URI={masked(mlflow.get_tracking_uri())} .venv/bin/mlflow {arguments}"
