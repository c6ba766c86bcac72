"""The UI with a real store."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import mlflow
import pytest

from unrolled import tracking


@pytest.fixture
def store(new_store, tmp_path):
    return {**os.environ, "MLFLOW_TRACKING_URI": new_store(tmp_path)}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(port, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.ui", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_ui_serves_the_printed_address(store):
    port = free_port()
    process = serve(port, store)
    try:
        said = [process.stdout.readline() for _ in range(3)]
        address = next(line.strip() for line in said if "http" in line)
        assert address.startswith(f"http://127.0.0.1:{port}/")
        assert f"{store['MLFLOW_TRACKING_URI']}" in said[0]
        deadline = time.monotonic() + 90
        page, direct = b"", urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not page and process.poll() is None and time.monotonic() < deadline:
            try:
                page = direct.open(f"http://127.0.0.1:{port}/", timeout=5).read()
            except OSError:
                time.sleep(0.5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
    assert b"MLflow" in page, err


def test_addresses_belong_to_the_current_store(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store["MLFLOW_TRACKING_URI"])
    tracking.connect()
    address = tracking.page("3", "abc")
    assert address.startswith("http://127.0.0.1:5000/#/experiments/3/runs/abc?")
    command = f"MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/runs.db make ui"
    assert tracking.how_to_browse("3", "abc") == f"{command}, then\n{address}"


def test_a_server_is_browsed_at_its_own_address(monkeypatch):
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://tracking.example.org:5000")
    address = tracking.how_to_browse("3", "abc")
    assert address.startswith("http://tracking.example.org:5000/#/experiments/3/runs/abc?")
