"""What tests of tracking share."""

import os

import pytest

from unrolled import tracking
from unrolled.tracking.patience import patience


@pytest.fixture
def store(new_store, tmp_path, monkeypatch):
    """A store of runs in the test's own folder, and this to work in: its URI."""
    uri = new_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    tracking.connect()
    return uri


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Whatever `connect` sets for the process does not outlive the test."""
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        key = f"MLFLOW_TRACKING_{name}"
        value = os.environ.get(key)
        monkeypatch.setenv(key, value or "")
        if value is None:
            monkeypatch.delenv(key)  # And remembers that it was not there.
    yield
    patience.begin(0.0)
