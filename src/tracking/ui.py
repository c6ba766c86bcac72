"""Serves the MLflow UI for the runs of this project."""

import os
import re
import socket
import subprocess
import sys

from unrolled.tracking.abandoned import fail_abandoned_runs
from unrolled.tracking.addresses import HOST, PORT, VIEW
from unrolled.tracking.errors import TrackingError
from unrolled.tracking.secrets import masked
from unrolled.tracking.store import connect

_LAST_PORT = 65535


def main(arguments: list[str]) -> int:
    """Serves until interrupted; returns the exit code."""
    typed = " ".join(arguments)
    port = int(typed) if re.fullmatch("[0-9]{1,9}", typed) else PORT if not typed else None
    if port is None or not 1 <= port <= _LAST_PORT:
        print(
            f"port: expected an integer from 1 to {_LAST_PORT}, such as {PORT}, got {typed[:60]!r}",
            file=sys.stderr,
        )
        return 2
    try:
        uri = connect()
    except TrackingError as error:
        print(error, file=sys.stderr)
        return 2
    if uri.startswith("http"):
        print(f"MLFLOW_TRACKING_URI is a server. Its UI is at {uri}")
        return 0
    problem = _problem_with(port)
    if problem is not None:
        other = port + 1 if PORT <= port < _LAST_PORT else PORT + 1
        print(f"{problem} Use another port: make ui port={other}", file=sys.stderr)
        return 2
    fail_abandoned_runs()
    print(f"MLflow UI over {masked(uri)}  (stop with Ctrl-C)\n")
    print(f"    http://{HOST}:{port}/#/experiments?{VIEW}\n", flush=True)
    serve = [sys.executable, "-m", "mlflow", "server"]
    serve += [
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
        "--uvicorn-opts",
        "--log-level=warning",
    ]
    # Not as an option, because other users can read command lines, including the password.
    environment = {**os.environ, "MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_BACKEND_STORE_URI": uri}
    try:
        return subprocess.run(serve, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _problem_with(port: int) -> str | None:
    """Returns why a port cannot be used, or None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return f"Port {port} of {HOST} requires administrator rights."
        except OSError:
            return f"Port {port} of {HOST} is in use, perhaps by another MLflow server."
    return None
