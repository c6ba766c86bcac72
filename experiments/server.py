"""Start a tracking server on this machine: `make server [port=5000 host=<name> folder=<path>]`.

MLflow with its data in PostgreSQL, with basic authentication, and with artifacts that it serves.
Runs in .venv-server, without the packages of the runs.
"""

import configparser
import contextlib
import fcntl
import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO, NamedTuple

from experiments.postgres import Postgres
from unrolled.console.make_arguments import as_typed
from unrolled.console.program import FAILED, run
from unrolled.console.refusals import RefusedError
from unrolled.system.processes import is_running

_ADMIN = "admin"
_PASSWORDS = ("admin", "database", "session_key")
_SECONDS_TO_START, _SECONDS_TO_STOP = 180, 15
_LAST_PORT = 65535
# Seconds for which a process of MLflow remembers that a password is right. To check one takes
# longer than the request itself.
_REMEMBERED = 300
# A process of MLflow has 40 threads. To log metrics, a thread takes a connection to the database,
# and while it holds that one, another. With SQLAlchemy's default of at most 15, requests that come
# at once may all wait for a second one, until they time out.
_POOL, _OVERFLOW = 40, 80
_CONNECTIONS = _POOL + _OVERFLOW + 40  # Of one process; the last are for the users' table.
_MOST_PROCESSES = 4


class Options(NamedTuple):
    """What one can choose on the command line."""

    port: int = 5000
    host: str = socket.gethostname()
    folder: Path = Path("mlflow-server")


def main(arguments: list[str]) -> int:
    """Serve until interrupted; returns the exit code."""
    options = parsed(as_typed(arguments))
    folder = options.folder.absolute()
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As `nohup` sets it.
        signal.signal(signal.SIGHUP, _stop)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+") as lock:
            acquire(lock, folder)
            _write(lock, 0, options.port)
            refuse_used_port(options.port)
            passwords = passwords_in(folder)
            database = Postgres(
                folder / "database", passwords["database"], _processes() * _CONNECTIONS + 20
            )
            try:
                return _serve(options, folder, passwords, database, lock)
            finally:
                database.stop()
    except OSError as error:
        raise RefusedError(
            f"{error.filename or folder}: cannot be used ({error.strerror}). Expected a folder "
            "that this user can write to. Use another one: make server folder=<path>"
        ) from error
    except KeyboardInterrupt:
        return 0


def parsed(arguments: list[str]) -> Options:
    """Parses arguments such as port=5000.

    Raises:
        RefusedError: if one is unknown or invalid.
    """
    options = Options()
    # PYTHON is for the Makefile.
    for argument in (each for each in arguments if not each.startswith("PYTHON=")):
        key, _, value = argument.partition("=")
        if key not in Options._fields:
            raise RefusedError(
                f"make server: expected {', '.join(f'{each}=' for each in Options._fields)}, "
                f"got {argument!r}."
            )
        if key == "port" and not (
            re.fullmatch("[0-9]{1,5}", value) and 1 <= int(value) <= _LAST_PORT
        ):
            raise RefusedError(
                f"port: expected an integer from 1 to {_LAST_PORT}, such as 5000, got {value!r}"
            )
        if key == "host" and not re.fullmatch(r"[\w.-]+", value):
            raise RefusedError(
                "host: expected the name or address by which other machines find this one, such "
                f"as tracking.example.org, got {value!r}"
            )
        if key == "folder" and not value:
            raise RefusedError("folder: expected the path of a folder, got nothing")
        convert = {"port": int, "host": str, "folder": Path}[key]
        options = options._replace(**{key: convert(value)})
    return options


def refuse_used_port(port: int) -> None:
    """Checks that this machine's port is free.

    Raises:
        RefusedError: if it is not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            other = port + 1 if 1024 <= port < _LAST_PORT else 5000
            raise RefusedError(
                f"Port {port} cannot be used ({error.strerror}). Use another one: "
                f"make server port={other}"
            ) from error


def passwords_in(folder: Path) -> dict[str, str]:
    """Reads the passwords of a server, or generates them at its first start.

    Raises:
        RefusedError: if their file is not what this function wrote.
    """
    path = folder / "passwords.json"
    if not path.exists() and not (folder / "database").exists():
        generated = {name: secrets.token_urlsafe(24) for name in _PASSWORDS}
        write_privately(path, json.dumps(generated, indent=1) + "\n")
    try:
        passwords = json.loads(path.read_text())
        return {name: passwords[name] for name in _PASSWORDS}
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        found = "another text" if path.exists() else "no file"
        raise RefusedError(
            f"{path}: expected a JSON object with {', '.join(_PASSWORDS)}, got {found}. The "
            "database needs them. Restore the file, or start with an empty folder: make server "
            "folder=<path>"
        ) from error


def write_privately(path: Path, text: str) -> None:
    """Replaces a file by one that only its owner can read."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def acquire(lock: IO[str], folder: Path) -> None:
    """Takes the lock of a folder. MLflow inherits it: a folder is in use as long as either runs.

    An MLflow whose `make server` was killed is stopped.

    Raises:
        RefusedError: if another `make server` has the lock.
    """
    end = time.monotonic() + _SECONDS_TO_STOP
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            lock.seek(0)
            owner, mlflow, port = ([*lock.read().split(), "0", "0", "0"])[:3]
        if is_running(int(owner)) or time.monotonic() > end:
            raise RefusedError(
                f"{folder}: expected a folder that no other server uses; process {owner} uses it, "
                f"with port {port}. Stop it with Ctrl-C in its terminal or `kill {owner}`, or use "
                "another folder and port: make server folder=<path> port=<number>"
            )
        if int(mlflow):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(mlflow), signal.SIGTERM)
        time.sleep(0.5)


def _write(lock: IO[str], mlflow: int, port: int) -> None:
    """Writes to a lock what `acquire` reads: the processes of its owner and of MLflow, the port."""
    lock.truncate(0)
    lock.write(f"{os.getpid()} {mlflow} {port}")
    lock.flush()


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _serve(
    options: Options, folder: Path, passwords: dict[str, str], database: Postgres, lock: IO[str]
) -> int:
    parent = os.getppid()
    log = folder / "mlflow.log"
    write_privately(log, "")
    (folder / "artifacts").mkdir(mode=0o700, exist_ok=True)
    print(f"Starting MLflow and PostgreSQL; log: {log}", flush=True)
    with log.open("a") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
                *("--host", "0.0.0.0", "--port", str(options.port)),
                *("--uvicorn-opts", "--log-level=warning"),
            ],
            env=environment(options, folder, passwords, database.start()),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which stops that one.
            pass_fds=[lock.fileno()],
        )
    _write(lock, server.pid, options.port)
    try:
        started = time.monotonic()
        while not _responds(options.port):
            if server.poll() is not None or time.monotonic() > started + _SECONDS_TO_START:
                return _failed("MLflow did not start", log)
            time.sleep(0.5)
        print(_how_to_use(options, folder, passwords), flush=True)
        while server.poll() is None and database.is_running():
            if os.getppid() != parent:  # make was killed.
                return FAILED
            time.sleep(0.5)
        if server.poll() is None:
            return _failed("PostgreSQL ended", database.log)
        return _failed("MLflow ended", log)
    finally:
        _end(server)


def environment(
    options: Options, folder: Path, passwords: dict[str, str], database: str
) -> dict[str, str]:
    """Writes the configuration of MLflow's server; returns its environment.

    Passwords are in neither command line, which other users can read.
    """
    configuration = configparser.ConfigParser(interpolation=None)
    configuration["mlflow"] = {
        # Every user can add runs to the experiments of others, as two users of one name need.
        "default_permission": "EDIT",
        "database_uri": database,
        "admin_username": _ADMIN,
        "admin_password": passwords["admin"],
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds": str(_REMEMBERED),
    }
    path, text = folder / "basic_auth.ini", io.StringIO()
    configuration.write(text)
    write_privately(path, text.getvalue())
    names = _names(options.host)
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(path),
        # In its working directory: MLflow would decode "%20" in the path of the folder.
        "MLFLOW_ARTIFACTS_DESTINATION": "./artifacts",
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": passwords["session_key"],
    }
    # Those that the user may have set.
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Its jobs are for language models.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WORKERS": str(_processes()),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(_POOL),
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(_OVERFLOW),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(
            each for name in names for each in (name, f"{name}:*")
        ),
        # Pages of other addresses may not use the password that a browser remembers.
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            f"http://{name}:{options.port}" for name in names
        ),
    }
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING_")
    }
    return {**defaults, **inherited, **own}


def _processes() -> int:
    """Returns the number of MLflow's processes: MLFLOW_WORKERS, or one per core up to four."""
    given = os.environ.get("MLFLOW_WORKERS", "")
    return int(given) if given.isdecimal() else min(os.cpu_count() or 1, _MOST_PROCESSES)


def _names(host: str) -> list[str]:
    """Returns the names and addresses by which this machine may be found."""
    found = [host, "localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn()]
    with contextlib.suppress(OSError):  # A machine that does not know its own name.
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    return list(dict.fromkeys(found))


def _how_to_use(options: Options, folder: Path, passwords: dict[str, str]) -> str:
    password = passwords["admin"]
    if not sys.stdout.isatty():  # A log, which others may read.
        password = f"<admin in {folder / 'passwords.json'}>"
    address = f"http://{options.host}:{options.port}"
    return (
        f"MLflow is at {address} (stop with Ctrl-C). On each machine that uses it:\n\n"
        f"    export MLFLOW_TRACKING_URI={address}\n"
        f"    export MLFLOW_TRACKING_USERNAME={_ADMIN}\n"
        f"    export MLFLOW_TRACKING_PASSWORD={password}\n"
    )


def _responds(port: int) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


def _failed(what: str, log: Path) -> int:
    print(
        f"{what}. The end of {log}:\n{log.read_text(errors='replace').strip()[-2000:]}",
        file=sys.stderr,
    )
    return FAILED


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends MLflow's server, after the requests that it is answering."""
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(_SECONDS_TO_STOP)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    run(main, goes_on=True)
