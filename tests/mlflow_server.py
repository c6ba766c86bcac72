"""An MLflow server of the tests' own."""

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager


@contextmanager
def served(folder, store, host="127.0.0.1"):
    """A server of a store that also serves the artifacts; its port."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    options = ["--host", host, "--port", str(port), "--workers", "1", "--allowed-hosts", "*"]
    options += ["--backend-store-uri", store]
    options += ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options], stdout=log, stderr=log
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}", process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address, process):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 90
    while True:
        try:
            direct.open(f"{address}/health", timeout=5).read()
            return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
