"""The MLflow UI over the runs of this project: `python -m tracking.ui [PORT]`."""

import os
import socket
import subprocess
import sys

from tracking.abandoned import fail_abandoned_runs
from tracking.addresses import HOST, PORT, VIEW
from tracking.errors import TrackingError
from tracking.secrets import masked
from tracking.store import connect


def main(arguments: list[str]) -> int:
    """Serve until interrupted; returns the exit code."""
    if arguments and not arguments[0].isdecimal():
        print(f"port: expected a number such as {PORT}, got {arguments[0]!r}", file=sys.stderr)
        return 2
    port = int(arguments[0]) if arguments else PORT
    try:
        uri = connect()
    except TrackingError as problem:
        print(problem, file=sys.stderr)
        return 2
    if uri.startswith("http"):
        print(f"MLFLOW_TRACKING_URI names a server: its pages are at {uri}")
        return 0
    if _is_taken(port):
        print(
            f"Port {port} of {HOST} is taken, by another MLflow perhaps. Stop it, or use another "
            f"port: make ui port={port + 1}",
            file=sys.stderr,
        )
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
    # Not as an option, which everybody on this machine can read, with the password in it.
    environment = {**os.environ, "MLFLOW_LOGGING_LEVEL": "WARNING", "MLFLOW_BACKEND_STORE_URI": uri}
    try:
        return subprocess.run(serve, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
