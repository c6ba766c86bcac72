"""Fixtures of the tracking tests."""

import os

import pytest

from unrolled import tracking
from unrolled.tracking.patience import patience


@pytest.fixture
def store(new_store, tmp_path, monkeypatch):
    """Creates a store in the test's folder, which is also the working directory; its URI."""
    uri = new_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    tracking.connect()
    return uri


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Resets what `connect` sets for the process."""
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        key = f"MLFLOW_TRACKING_{name}"
        value = os.environ.get(key)
        monkeypatch.setenv(key, value or "")
        if value is None:
            monkeypatch.delenv(key)  # Also restores its absence.
    yield
    patience.begin(0.0)
