"""The MLflow UI over the runs of this project: `python -m tracking.ui [PORT]`."""

import os
import socket
import subprocess
import sys

import mlflow

from tracking.store import connect, fail_abandoned_runs, is_default

_HOST, _PORT = "127.0.0.1", 5000
# The UI opens on pages for language-model traces unless it is told otherwise.
_VIEW = "workflowType=machine_learning"


def page(experiment_id: str, run_id: str | None = None) -> str:
    """Where the UI shows an experiment's runs, or one run, of the store in use."""
    uri = mlflow.get_tracking_uri()
    server = uri.rstrip("/") if uri.startswith("http") else f"http://{_HOST}:{_PORT}"
    run = f"/{run_id}" if run_id else ""
    return f"{server}/#/experiments/{experiment_id}/runs{run}?{_VIEW}"


def how_to_browse() -> str:
    """The command that opens the UI over the store in use."""
    uri = mlflow.get_tracking_uri()
    return "make ui" if is_default(uri) else f"MLFLOW_TRACKING_URI={uri} make ui"


def main(arguments: list[str]) -> int:
    """Serve until interrupted; returns the exit code."""
    if arguments and not arguments[0].isdecimal():
        print(f"port: expected a number such as {_PORT}, got {arguments[0]!r}", file=sys.stderr)
        return 2
    port = int(arguments[0]) if arguments else _PORT
    uri = connect()
    if uri.startswith("http"):
        print(f"MLFLOW_TRACKING_URI names a server: its pages are at {uri}")
        return 0
    if _is_taken(port):
        print(
            f"Port {port} of {_HOST} is taken, by another MLflow perhaps. Stop it, or use another "
            f"port: make ui port={port + 1}",
            file=sys.stderr,
        )
        return 2
    fail_abandoned_runs()
    print(f"MLflow UI over {uri}  (stop with Ctrl-C)\n")
    print(f"    http://{_HOST}:{port}/#/experiments?{_VIEW}\n", flush=True)
    serve = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    serve += ["--host", _HOST, "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_LOGGING_LEVEL": "WARNING"}
    try:
        return subprocess.run(serve, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
