"""`make server`: its command line, its files, and MLflow on PostgreSQL where both are installed."""

import base64
import configparser
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from experiments import postgres, server
from experiments.postgres import Postgres
from unrolled import tracking
from unrolled.console.refusals import RefusedError
from unrolled.project import PROJECT
from unrolled.system.processes import is_running
from unrolled.tracking import ui

PYTHON = PROJECT / ".venv-server" / "bin" / "python"
SECRETS = {"admin": "admin-secret", "database": "db%secret", "session_key": "key-secret"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("prt=1", "expected port=, host=, folder=, got 'prt=1'"),
        ("port=0", "port: expected an integer from 1 to 65535, such as 5000, got '0'"),
        ("port=five", "port: expected an integer"),
        ("host=a b", "host: expected the name or address by which other machines find this one"),
        ("folder=", "folder: expected the path of a folder"),
    ],
)
def test_invalid_arguments_are_refused(argument, message):
    with pytest.raises(RefusedError, match=message):
        server.parsed([argument])


def test_arguments_are_parsed():
    options = server.parsed(["port=5055", "host=tracking.example.org", "PYTHON=python3"])
    assert options == (5055, "tracking.example.org", Path("mlflow-server"))


def test_a_used_port_is_refused():
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RefusedError, match=rf"Port {port} cannot be used .*make server port="):
            server.refuse_used_port(port)


def test_passwords_are_generated_once_in_a_private_file(tmp_path):
    first = server.passwords_in(tmp_path)
    assert len(set(first.values())) == 3
    assert all(len(each) >= 32 for each in first.values())
    assert mode(tmp_path / "passwords.json") == 0o600
    assert server.passwords_in(tmp_path) == first


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"admin": "a"}', None])
def test_lost_passwords_of_a_database_are_refused(text, tmp_path):
    (tmp_path / "database").mkdir()
    if text is not None:
        (tmp_path / "passwords.json").write_text(text)
    found = "no file" if text is None else "another text"
    with pytest.raises(RefusedError, match=f"expected a JSON object with admin.*got {found}"):
        server.passwords_in(tmp_path)


def test_the_configuration_is_private_and_knows_the_names_of_the_server(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    monkeypatch.setenv("MLFLOW_WORKERS", "3")
    options = server.parsed(["port=5055", "host=tracking.example.org"])
    made = server.environment(options, tmp_path, SECRETS, "postgresql://u:db%secret@h/d")
    assert "MLFLOW_TRACKING_URI" not in made
    assert made["MLFLOW_WORKERS"] == "3"
    assert "tracking.example.org:*" in made["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    origins = made["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert origins[0] == "http://tracking.example.org:5055"
    assert "*" not in "".join(origins)
    configuration = tmp_path / "basic_auth.ini"
    assert made["MLFLOW_AUTH_CONFIG_PATH"] == str(configuration)
    assert mode(configuration) == 0o600
    assert "admin_password = admin-secret" in configuration.read_text()


def test_the_containers_have_the_same_settings(tmp_path):
    options = server.parsed(["port=5000"])
    own = server.environment(options, tmp_path, SECRETS, "postgresql://u:p@h/d")
    composed = yaml.safe_load((PROJECT / "deploy" / "compose.yaml").read_text())
    theirs = composed["services"]["mlflow"]["environment"]
    assert own.keys() >= theirs.keys() - {"MLFLOW_AUTH_ADMIN_PASSWORD"}
    for name in ("POOL_SIZE", "MAX_OVERFLOW"):
        assert (
            str(theirs[f"MLFLOW_SQLALCHEMYSTORE_{name}"]) == own[f"MLFLOW_SQLALCHEMYSTORE_{name}"]
        )
    most = theirs["MLFLOW_WORKERS"] * server._CONNECTIONS + 20
    assert f"max_connections={most}" in composed["services"]["database"]["command"]
    written = configparser.ConfigParser(interpolation=None)
    written.read(tmp_path / "basic_auth.ini")
    content = configparser.ConfigParser(interpolation=None)
    content.read_string(composed["configs"]["basic_auth"]["content"])
    differ = {"admin_password", "database_uri"}
    assert written["mlflow"].keys() - {"admin_password"} == content["mlflow"].keys()
    for key in content["mlflow"].keys() - differ:
        assert content["mlflow"][key] == written["mlflow"][key]


def test_a_folder_that_a_server_uses_is_refused(tmp_path):
    with (tmp_path / "lock").open("a+") as lock, (tmp_path / "lock").open("a+") as second:
        server.acquire(lock, tmp_path)
        lock.write(f"{os.getpid()} 0 5055")
        lock.flush()
        with pytest.raises(RefusedError, match=rf"process {os.getpid()} uses it, with port 5055"):
            server.acquire(second, tmp_path)


def test_what_a_killed_server_left_is_stopped(tmp_path):
    with (tmp_path / "lock").open("a+") as lock:
        server.acquire(lock, tmp_path)
        left = subprocess.Popen(["sleep", "60"], pass_fds=[lock.fileno()])
        lock.write(f"{2**22 + 1} {left.pid} 5055")  # Linux has no process with the first number.
    with (tmp_path / "lock").open("a+") as lock:
        server.acquire(lock, tmp_path)
    assert left.wait() == -signal.SIGTERM


def test_a_machine_without_postgresql_is_told_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres, "_PACKAGED", ("/usr/lib/none/*/bin",))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match=r"needs PostgreSQL, and found no pg_ctl.*Debian"):
        Postgres(tmp_path / "database", "secret", 100)


def test_root_needs_an_account_for_postgresql(tmp_path, monkeypatch):
    def unknown(name):
        raise KeyError(name)

    monkeypatch.setattr(postgres, "_programs", lambda: tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    with pytest.raises(RefusedError, match="does not run as root, and there is no user 'postgres'"):
        Postgres(tmp_path / "database", "secret", 100)


def _has_postgresql():
    try:
        postgres._programs()
    except RefusedError:
        return False
    return os.geteuid() != 0 or postgres._exists(postgres._ACCOUNT)


needs_postgresql = pytest.mark.skipif(
    not _has_postgresql(), reason="needs PostgreSQL: the package postgresql"
)
needs_environment = pytest.mark.skipif(
    not (PROJECT / ".venv-server" / "ready").exists(),
    reason="needs .venv-server: make .venv-server/ready",
)


@needs_postgresql
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as which PostgreSQL does not run")
def test_root_needs_a_folder_that_the_account_can_enter(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(RefusedError, match="a folder that the user 'postgres' can enter"):
        Postgres(tmp_path / "database", "secret", 100).start()


class Running:
    """A `make server` with an empty folder, started in the project's folder."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        self.folder.chmod(0o755)  # The user that PostgreSQL runs as must enter it.
        self.data = self.folder / "It's $HOME (1) #é %20"
        self.port = free_port()
        self.process = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        arguments = [f"port={self.port}", "host=127.0.0.1", f"folder={self.data}"]
        self.process = subprocess.Popen(
            [PYTHON, "-m", "experiments.server", *arguments],
            cwd=PROJECT,
            env={**os.environ, "MLFLOW_WORKERS": "1", "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = []
        while not said or "PASSWORD" not in said[-1]:
            line = self.process.stdout.readline()
            assert line, said
            said.append(line)
        return "".join(said)

    @property
    def passwords(self):
        return json.loads((self.data / "passwords.json").read_text())

    def status(self, password=None):
        """Returns the status of a request."""
        request = urllib.request.Request(
            f"{self.address}/api/2.0/mlflow/experiments/get?experiment_id=0"
        )
        if password is not None:
            encoded = base64.b64encode(f"admin:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {encoded}")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=30) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code

    def remove(self):
        """Ends it, also after a failure in the test."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=60)
        shutil.rmtree(self.folder)


@pytest.fixture
def running():
    made = Running()
    yield made
    made.remove()


def command_lines():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(errors="replace")
        except OSError:  # It has ended.
            continue


@needs_postgresql
@needs_environment
def test_a_server_serves_runs_to_those_with_its_password(running, monkeypatch, capsys):
    said = running.start()
    passwords = running.passwords
    assert f"export MLFLOW_TRACKING_URI={running.address}\n" in said
    assert "export MLFLOW_TRACKING_USERNAME=admin\n" in said
    everything = "".join([said, *command_lines()])  # Not a terminal: `said` may be a log.
    assert not [name for name, password in passwords.items() if password in everything]
    assert [running.status(), running.status("wrong")] == [401, 401]
    assert running.status(passwords["admin"]) == 200

    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-password")
    with pytest.raises(tracking.StoreError, match="those of the user 'admin'") as raised:
        tracking.connect()
    assert "wrong-password" not in str(raised.value)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", passwords["admin"])
    tracking.connect()
    with tracking.TrackedRun("e", "n") as run:
        run.log_metrics({"loss": 1.5}, step=1)
        run.log_report({"a": 1})
    assert ui.main([]) == 0
    assert capsys.readouterr().out == (
        f"MLFLOW_TRACKING_URI is a server. Its UI is at {running.address}\n"
    )

    running.process.kill()  # The next start stops what it left.
    running.process.communicate()
    running.start()
    found = tracking.read_run(run.run_id)
    assert (found.metrics, found.report) == ({"loss": 1.5}, {"a": 1})
    assert list((running.data / "artifacts").rglob("report.json"))
    database = int((running.data / "database" / "postmaster.pid").read_text().split()[0])
    assert is_running(database)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    assert not is_running(database)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", running.port)) != 0
