"""Calls wait while a store does not respond, and eventually fail."""

import socket
import types

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException, RestException

from unrolled import tracking
from unrolled.console.refusals import RefusedError
from unrolled.sweeps.plan import make_plan
from unrolled.tracking import patience as module
from unrolled.tracking.patience import Patience, is_outage, patience

GONE = MlflowException(
    "API request to http://h:5000/api/2.0/mlflow/runs/log-batch failed with exception "
    "HTTPConnectionPool(host='h', port=5000): Max retries exceeded with url: /api/2.0 "
    "(Caused by NewConnectionError('... [Errno 111] Connection refused'))"
)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The seconds slept; sleeping is immediate."""
    slept = []
    fake = types.SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(module, "time", fake)
    return slept


def failing(times, error=GONE):
    """A call that fails a number of times before it succeeds, and its call count."""
    made = []

    def call():
        made.append(1)
        if len(made) <= times:
            raise error
        return "done"

    return call, made


@pytest.mark.parametrize("seconds", ["-1", "1.5", "null", "nan"])
def test_an_invalid_number_of_seconds_raises(seconds):
    with pytest.raises(RefusedError, match=r"tracking\.patience: expected"):
        make_plan(["experiment=gru_vs_lstm", f"tracking.patience={seconds}"])


def test_a_call_waits_during_a_short_outage(clock, capsys):
    patient = Patience()
    patient.begin(600)
    call, made = failing(7)
    assert patient.call(call) == "done"
    assert len(made) == 8
    assert 60 <= sum(clock) <= 120
    first, *_, last = capsys.readouterr().err.splitlines()
    assert "does not respond (Connection refused). Waiting for at most 600 s more" in first
    assert "tracking.patience" in first
    assert last == f"The store responds again after {sum(clock):.0f} s."


def test_calls_wait_only_once_in_a_long_outage(clock):
    patient = Patience()
    patient.begin(100)
    call, made = failing(1000)
    with pytest.raises(tracking.StoreError, match=r"for 100 s \(Connection refused\).*make resume"):
        patient.call(call)
    assert sum(clock) == 100
    before = len(made)
    with pytest.raises(tracking.StoreError):
        patient.call(call)  # Later calls fail immediately.
    assert len(made) == before + 1
    assert sum(clock) == 100
    patient.call(lambda: None)  # The store responds, which resets the failure.
    assert patient.call(failing(3)[0]) == "done"


def test_an_invalid_call_is_not_retried(clock):
    patient = Patience()
    patient.begin(600)
    error = RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"})
    call, made = failing(5, error)
    with pytest.raises(RestException):
        patient.call(call)
    assert (len(made), clock) == (1, [])


def _response(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (GONE, True),
        (MlflowException("API request to endpoint /a failed with error code 503 != 200."), True),
        (MlflowException("API request to endpoint /a failed with error code 403 != 200."), False),
        (MlflowException("API request to http://h failed with timeout exception timed out"), True),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "restarting"}), True),
        (MlflowException("(psycopg2.OperationalError) closed", 3), True),
        (MlflowException("(sqlite3.OperationalError) database is locked", 3), True),
        (MlflowException("(sqlite3.OperationalError) database or disk is full", 3), False),
        (MlflowException("the metric's value is no number"), False),
        (requests.ConnectionError("Connection aborted"), True),
        (_response(502), True),
        (_response(401), False),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_errors_that_are_outages(error, outage):
    if isinstance(error, MlflowException) and "OperationalError" in str(error):
        error.error_code = "TEMPORARILY_UNAVAILABLE"
    assert is_outage(error) is outage


@pytest.mark.usefixtures("store")
def test_a_run_survives_an_outage(clock, monkeypatch):
    patience.begin(600)
    for name in ("create_run", "log_batch", "set_terminated", "log_text", "search_runs"):
        method, failures = getattr(mlflow.MlflowClient, name), [GONE, GONE]

        def shaky(self, *args, method=method, failures=failures, **kwargs):
            if failures:
                raise failures.pop()
            return method(self, *args, **kwargs)

        monkeypatch.setattr(mlflow.MlflowClient, name, shaky)
    parent = tracking.start_sweep("e", "n", {}, {"arguments": []})
    with tracking.TrackedRun("e", "child", {"seed": 1}, {"a": 1}, parent.run_id) as run:
        run.log_metrics({"loss": 1.0})
    parent.finish()
    sweep = tracking.read_sweep(parent.run_id)
    assert (sweep.status, sweep.record) == ("FINISHED", {"arguments": []})
    assert [(each.status, each.metrics) for each in sweep.runs] == [("FINISHED", {"loss": 1.0})]
    assert run.run_id == sweep.runs[0].run_id
    assert len(clock) == 2 * 5


@pytest.mark.usefixtures("store")
def test_a_run_whose_store_does_not_return_is_marked_failed_later(clock, monkeypatch):
    run = tracking.TrackedRun("e", "n", {})
    run.set_tags({"process": f"{socket.gethostname()}:{2**22 + 1}"})  # Larger than any process id.

    def gone(*_, **__):
        raise GONE

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "log_batch", gone)
        patched.setattr(mlflow.MlflowClient, "set_terminated", gone)
        patched.setattr(mlflow.MlflowClient, "search_experiments", gone)
        patience.begin(100)
        with pytest.raises(tracking.StoreError, match="does not respond for 100 s"), run:
            run.log_metrics({"loss": 1.0})
        with pytest.raises(tracking.StoreError, match="does not respond"):
            tracking.connect(seconds=100, wait=True)  # Like the next run of the sweep.
        assert sum(clock) == 100
    assert tracking.read_run(run.run_id).status == "RUNNING"
    assert tracking.fail_abandoned_runs() == 1
    assert tracking.read_run(run.run_id).status == "FAILED"


UNKNOWN_USER = "failed with error code 401 != 200. Response body: 'You are not authenticated.'"
DENIED = "failed with error code 403 != 200. Response body: 'Permission denied'"
UNKNOWN_NAME = "failed with error code 403 != 200. Response body: 'Invalid Host header'"


def response(status):
    """The error of a response, as downloads raise it."""
    answered = requests.Response()
    answered.status_code = status
    return requests.HTTPError(f"{status} Client Error", response=answered)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MlflowException(UNKNOWN_USER), r"\(status 401\): .* got those of the user 'ann'"),
        (response(401), r"\(status 401\): .* Set MLFLOW_TRACKING_USERNAME and"),
        (MlflowException(DENIED), r"denies the user 'ann' this request .* another user"),
        (response(403), r"denies the user 'ann' this request .* another user"),
        (MlflowException(UNKNOWN_NAME), r"a name of the server that it knows.*make server host="),
    ],
    ids=["401", "401 of a file", "403", "403 of a file", "403 of the name"],
)
def test_a_server_that_denies_access_is_not_waited_for(error, message, clock, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-word")
    patient = Patience()
    patient.begin(600)
    with pytest.raises(tracking.StoreError, match=message) as raised:
        patient.call(failing(1000, error)[0])
    assert "s3cret" not in str(raised.value)
    assert clock == []


@pytest.mark.parametrize(("token", "received"), [("", "none"), ("t0ken-t0ken", "a token")])
def test_a_missing_user_is_named(token, received, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # Where MLflow looks for a password.
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    with pytest.raises(tracking.StoreError, match=rf"\(status 401\).*got {received}\."):
        Patience().call(failing(1, MlflowException(UNKNOWN_USER))[0])
