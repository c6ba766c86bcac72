"""No password and no token is stored or shown."""

import logging
import os
import sqlite3
from contextlib import closing

import pytest

import tracking
from benchmarks import __main__ as benchmarks
from experiments import __main__ as experiments
from tracking import ui

URI = "postgresql://ann:p%40ss-w0rd@db.example.org:5432/runs?sslpassword=qu3ry-pw"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "at http://ann:s3cret@host:5000/api (refused)",
            "at http://ann:***@host:5000/api (refused)",
        ),
        ("mysql+pymysql://u:a:b@c@host/db", "mysql+pymysql://u:***@host/db"),
        ("http://host/?a=1&access_token=abc#x", "http://host/?a=1&access_token=***#x"),
        ("password p@ss-w0rd or p%40ss-w0rd", "password *** or ***"),
        ("and qu3ry-pw, t0ken-t0ken", "and ***, ***"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("http://127.0.0.1:5000/#/experiments/1", "http://127.0.0.1:5000/#/experiments/1"),
        ("seed=1 task.T=20 text=a:b@c", "seed=1 task.T=20 text=a:b@c"),
    ],
)
def test_what_is_masked(text, shown, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-t0ken")
    assert tracking.masked(text) == shown


def test_nothing_that_a_run_stores_holds_a_secret(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-word")
    leaks = "http://ann:s3cret-word@host and s3cret-word"
    with tracking.TrackedRun("e", "n", {"overrides": leaks}, {"tracking.uri": leaks}) as run:
        run.log_text(leaks, "configuration.yaml")
        run.describe(leaks)
        run.set_tags({"more": leaks})
    with pytest.raises(OSError, match="s3cret"), tracking.TrackedRun("e", "fails") as failed:
        raise OSError(leaks)
    assert tracking.read_run(failed.run_id).tags["error"] == (
        "OSError: http://ann:***@host and ***"
    )
    parent = tracking.start_sweep("e", "sweep", {"overrides": leaks}, {"arguments": [leaks]})
    assert tracking.read_sweep(parent.run_id).record == {
        "arguments": ["http://ann:***@host and ***"]
    }
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
        assert "s3cret" not in "".join(database.iterdump())


def test_a_server_that_is_not_there_is_named_without_the_password(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cr%40t@127.0.0.1:9")
    with pytest.raises(tracking.StoreError) as raised:
        tracking.connect()
    assert "http://127.0.0.1:9 does not answer (Connection refused)" in str(raised.value)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s3cr@t"
    assert ui.main([]) == 2
    assert "s3cr" not in capsys.readouterr().err + str(raised.value)
    assert "s3cr" not in tracking.how_to_browse() + tracking.page("1")


def test_a_database_that_is_not_there_is_named_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    with pytest.raises(tracking.StoreError, match="cannot be used") as raised:
        tracking.connect()
    assert "postgresql://ann:***@db.example.org:5432/runs?sslpassword=***" in str(raised.value)
    assert "w0rd" not in str(raised.value) + tracking.how_to_browse()


def test_a_password_in_the_configuration_is_refused():
    with pytest.raises(tracking.StoreError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        tracking.connect("http://ann:s3cret@127.0.0.1:9")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("program", [experiments, benchmarks], ids=lambda each: each.__name__)
@pytest.mark.parametrize("given", ["tracking.uri=", "+tracking.uri="])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(program, given, capfd):
    assert program.main(["--cfg", "job", f"{given}http://ann:s3cret@127.0.0.1:9"]) == 2
    said = capfd.readouterr()
    assert "MLFLOW_TRACKING_PASSWORD" in said.err
    assert "s3cret" not in said.err + said.out


@pytest.mark.usefixtures("store")
def test_what_mlflow_logs_is_masked(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-word")
    try:
        raise ValueError("with s3cret-word in it")
    except ValueError as error:
        about = (type(error), error, error.__traceback__)
    for handler in logging.getLogger("mlflow").handlers:
        record = logging.LogRecord("mlflow", 40, "", 1, "of %s", ("s3cret-word",), about)
        handler.filter(record)
        said = logging.Formatter().format(record)
        assert "of ***" in said
        assert "with *** in it" in said
    assert logging.getLogger("mlflow").handlers
