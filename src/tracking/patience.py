"""Calls of MLflow, which wait for a store that has stopped answering.

One place for all of them: a run must not be lost because its server was gone for a minute.
"""

import functools
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import mlflow
import requests
from mlflow.exceptions import MlflowException

from unrolled.tracking.errors import StoreError
from unrolled.tracking.secrets import masked

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0
_SECONDS_BETWEEN_WORDS = 60
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_STATUS = re.compile(r"failed with error code (\d+)")


class Patience:
    """How long calls wait, and whether the store was given up.

    Attributes:
        seconds: for which a call waits for a store that does not answer.
    """

    def __init__(self):
        self.seconds = 0.0
        self._given_up = False

    def begin(self, seconds: float) -> None:
        """Have every call wait for so long, also if the store was given up before."""
        self.seconds = seconds
        self._given_up = False

    def call(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """The function's result, once the store answers.

        Raises:
            StoreError: if the store's disk is full, or it does not answer for as long as the
                patience lasts. From then on calls do not wait until one of them succeeds: nobody is
                to wait again for each of them.
        """
        start, pause, told = time.monotonic(), _FIRST_PAUSE, None
        while True:
            try:
                result = function(*args, **kwargs)
            except (MlflowException, requests.RequestException) as error:
                if "database or disk is full" in str(error):
                    raise StoreError(_FULL.format(_store())) from None
                if not is_outage(error):
                    raise
                reason = _reason(error)
            else:
                if told is not None:
                    _say(f"The store answers again after {time.monotonic() - start:.0f} s.")
                self._given_up = False
                return result
            waited = time.monotonic() - start
            if self._given_up or waited >= self.seconds:
                self._given_up = True
                raise StoreError(_gone(waited, reason))
            if told is None or waited - told >= _SECONDS_BETWEEN_WORDS:
                told = waited
                _say(
                    f"{_store()} does not answer ({reason}). Waiting for it, at most "
                    f"{self.seconds - waited:.0f} s more (tracking.patience); nothing is lost."
                )
            time.sleep(min(pause, self.seconds - waited))
            pause = min(2 * pause, _LONGEST_PAUSE)


_FULL = (
    "{} cannot be written to: the disk is full. Make room, then continue the sweep "
    "with `make resume`."
)

patience = Patience()


class PatientClient:
    """An `mlflow.MlflowClient` all of whose methods wait as `Patience.call` does."""

    def __init__(self):
        self._client = mlflow.MlflowClient()

    def __getattr__(self, name: str) -> Callable:
        return functools.partial(patience.call, getattr(self._client, name))


def is_outage(error: Exception) -> bool:
    """Whether an error says that the store cannot be reached now, not that a call was wrong."""
    if isinstance(error, requests.RequestException):
        response = error.response
        return response is None or response.status_code in _TRANSIENT
    if error.error_code == "TEMPORARILY_UNAVAILABLE":  # of a database or a server
        # SQLite says so of other faults too, for which waiting is no cure.
        return "sqlite3" not in str(error) or "database is locked" in str(error)
    text = str(error)
    if found := _STATUS.search(text):
        return int(found[1]) in _TRANSIENT
    unreachable = ("Max retries exceeded", "Connection refused", "Connection aborted", "timed out")
    return any(words in text for words in unreachable)


def _reason(error: Exception) -> str:
    """Why a store does not answer, in a few words."""
    text = str(error)
    for words in ("Connection refused", "timed out", "Name or service not known", "is locked"):
        if words in text:
            return words
    if found := _STATUS.search(text) or re.search(r"too many (\d{3}) error", text):
        return f"status {found[1]}"
    return masked(" ".join(text.split()))[-200:]


def _store() -> str:
    return f"The MLflow store {masked(mlflow.get_tracking_uri())}"


def _gone(waited: float, reason: str) -> str:
    after = f" for {waited:.0f} s" if waited >= 1 else ""
    return (
        f"{_store()} does not answer{after} ({reason}). Start it, or name another with "
        "MLFLOW_TRACKING_URI or tracking.uri; without either, runs go to mlflow.db in the "
        "project's folder. When it is back, continue the sweep with `make resume`."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
