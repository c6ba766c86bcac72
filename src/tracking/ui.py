"""The MLflow UI over the runs of this project: `python -m tracking.ui [PORT]`."""

import os
import re
import socket
import subprocess
import sys

from tracking.abandoned import fail_abandoned_runs
from tracking.addresses import HOST, PORT, VIEW
from tracking.store import connect

_LAST_PORT = 65535


def main(arguments: list[str]) -> int:
    """Serve until interrupted; returns the exit code."""
    typed = " ".join(arguments)
    port = int(typed) if re.fullmatch("[0-9]{1,9}", typed) else PORT if not typed else None
    if port is None or not 1 <= port <= _LAST_PORT:
        print(
            f"port: expected a number from 1 to {_LAST_PORT}, such as {PORT}, got {typed[:60]!r}",
            file=sys.stderr,
        )
        return 2
    uri = connect()
    if uri.startswith("http"):
        print(f"MLFLOW_TRACKING_URI names a server: its pages are at {uri}")
        return 0
    problem = _why_not(port)
    if problem is not None:
        other = port + 1 if PORT <= port < _LAST_PORT else PORT + 1
        print(f"{problem} Use another port: make ui port={other}", file=sys.stderr)
        return 2
    fail_abandoned_runs()
    print(f"MLflow UI over {uri}  (stop with Ctrl-C)\n")
    print(f"    http://{HOST}:{port}/#/experiments?{VIEW}\n", flush=True)
    serve = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
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
    environment = {**os.environ, "MLFLOW_LOGGING_LEVEL": "WARNING"}
    try:
        return subprocess.run(serve, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _why_not(port: int) -> str | None:
    """Why nothing can be served at a port, None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return f"Port {port} of {HOST} is for the administrator alone, as all below 1024 are."
        except OSError:
            return f"Port {port} of {HOST} is taken, by another MLflow perhaps."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
