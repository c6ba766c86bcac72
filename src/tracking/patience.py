"""Calls of MLflow that are retried while the store does not respond.

All calls go through this module, so that a run is not lost when its server is down for a minute.
"""

import functools
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import read_mlflow_creds

from unrolled.tracking.errors import StoreError
from unrolled.tracking.secrets import masked

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0
_SECONDS_BETWEEN_MESSAGES = 60
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_STATUS = re.compile(r"failed with error code (\d+)")


class Patience:
    """The retry policy: how long calls wait, and whether waiting has already failed.

    Attributes:
        seconds: how long a call waits for a store that does not respond.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._given_up = False

    def begin(self, seconds: float) -> None:
        """Sets the waiting time of every call, and resets an earlier failure."""
        self.seconds = seconds
        self._given_up = False

    def call(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """Calls a function, and retries while the store does not respond.

        Raises:
            StoreError: if the store's disk is full, the store denies access, or it does not respond
                within the waiting time. After the latter, calls fail immediately until one of them
                succeeds, so that the waiting time is spent only once.
        """
        start, pause, last_message = time.monotonic(), _FIRST_PAUSE, None
        while True:
            try:
                result = function(*args, **kwargs)
            except (MlflowException, requests.RequestException) as error:
                if "database or disk is full" in str(error):
                    raise StoreError(_FULL.format(_store())) from None
                if denial := _denial(error):
                    raise StoreError(denial) from None
                if not is_outage(error):
                    raise
                reason = _reason(error)
            else:
                if last_message is not None:
                    _print(f"The store responds again after {time.monotonic() - start:.0f} s.")
                self._given_up = False
                return result
            waited = time.monotonic() - start
            if self._given_up or waited >= self.seconds:
                self._given_up = True
                raise StoreError(_no_response(waited, reason))
            if last_message is None or waited - last_message >= _SECONDS_BETWEEN_MESSAGES:
                last_message = waited
                _print(
                    f"{_store()} does not respond ({reason}). Waiting for at most "
                    f"{self.seconds - waited:.0f} s more (tracking.patience); nothing is lost."
                )
            time.sleep(min(pause, self.seconds - waited))
            pause = min(2 * pause, _LONGEST_PAUSE)


_FULL = (
    "{} cannot be written to: the disk is full. Free some space, then continue the sweep "
    "with `make resume`."
)

patience = Patience()


class PatientClient:
    """An `mlflow.MlflowClient` whose methods are retried by `Patience.call`."""

    def __init__(self) -> None:
        self._client = mlflow.MlflowClient()

    def __getattr__(self, name: str) -> Callable:
        return functools.partial(patience.call, getattr(self._client, name))


def is_outage(error: MlflowException | requests.RequestException) -> bool:
    """Whether an error means that the store is unreachable, not that a call was invalid."""
    if isinstance(error, requests.RequestException):
        return error.response is None or error.response.status_code in _TRANSIENT
    if error.error_code == "TEMPORARILY_UNAVAILABLE":  # From a database or a server.
        # SQLite errors have this code too, but waiting helps only against a lock.
        return "sqlite3" not in str(error) or "database is locked" in str(error)
    if status := _status(error):
        return status in _TRANSIENT
    text = str(error)
    unreachable = ("Max retries exceeded", "Connection refused", "Connection aborted", "timed out")
    return any(words in text for words in unreachable)


def _status(error: MlflowException | requests.RequestException) -> int | None:
    """Returns the HTTP status of a server's response, if an error has one."""
    if isinstance(error, requests.RequestException):
        return None if error.response is None else error.response.status_code
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def _denial(error: MlflowException | requests.RequestException) -> str | None:
    """Returns why a server denies access, and what to do; None for other errors."""
    status = _status(error)
    user = read_mlflow_creds().username  # Of the environment, or of MLflow's file.
    if status == 401:
        received = f"those of the user {user!r}" if user else "none"
        if not user and os.environ.get("MLFLOW_TRACKING_TOKEN"):
            received = "a token"
        return (
            f"{_store()} does not accept the user name and password (status 401): expected those "
            f"of a user of this server, got {received}. Set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if status == 403 and "Invalid Host header" in str(error):
        return (
            f"{_store()} does not accept requests to this address (status 403): expected a name "
            "of the server that it knows. Start it with this name, as in make server host=<name>, "
            "or mlflow server --allowed-hosts <name>:<port>."
        )
    if status == 403 or getattr(error, "error_code", None) == "PERMISSION_DENIED":
        return (
            f"{_store()} denies the user {user!r} this request (status 403): expected a user who "
            "may read, and to run experiments edit, the MLflow experiment. Ask the server's "
            "administrator for the permission, or use another user with MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD."
        )
    return None


def _reason(error: Exception) -> str:
    """Returns a short reason why a store does not respond."""
    text = str(error)
    for words in ("Connection refused", "timed out", "Name or service not known", "is locked"):
        if words in text:
            return words
    if found := _STATUS.search(text) or re.search(r"too many (\d{3}) error", text):
        return f"status {found[1]}"
    return masked(" ".join(text.split()))[-200:]


def _store() -> str:
    return f"The MLflow store {masked(mlflow.get_tracking_uri())}"


def _no_response(waited: float, reason: str) -> str:
    after = f" for {waited:.0f} s" if waited >= 1 else ""
    return (
        f"{_store()} does not respond{after} ({reason}). Start it, or use another one with "
        "MLFLOW_TRACKING_URI or tracking.uri; by default, runs are stored in mlflow.db in the "
        "project's folder. When it responds, continue the sweep with `make resume`."
    )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
