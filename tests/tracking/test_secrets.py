"""Passwords and tokens are neither stored nor displayed."""

import logging
import os
import sqlite3
from contextlib import closing

import mlflow
import pytest

from benchmarks import __main__ as benchmarks
from experiments import __main__ as experiments
from unrolled import tracking
from unrolled.tracking import ui

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
        ("mysql+pymysql://user:geh/eim42@host/db", "mysql+pymysql://user:***@host/db"),
        ("mysql://user:12/34@host/db, a@b", "mysql://user:***@host/db, a@b"),
        ("mysql://ann@corp:two words@host/db", "mysql://ann@corp:***@host/db"),
        ("from http://ann:x@h, http://bob:y@h", "from http://ann:***@h, http://bob:***@h"),
        ("http://0123abcd@host:5000/a", "http://***@host:5000/a"),
        ("http://host/?pass=abc&b=1", "http://host/?pass=***&b=1"),
        ("mysql://host/db?passphrase=abc", "mysql://host/db?passphrase=***"),
        ("http://h:5000/a@b and http://h:5000 c@d", "http://h:5000/a@b and http://h:5000 c@d"),
        ("postgresql://ann@host/db", "postgresql://ann@host/db"),
    ],
)
def test_what_is_masked(text, shown, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-t0ken")
    assert tracking.masked(text) == shown


def test_stored_text_for_people_is_masked(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-word")
    leaks = "http://ann:s3cret-word@host and s3cret-word"
    with tracking.TrackedRun("e", "n", {"overrides": leaks}, {"tracking.uri": leaks}) as run:
        run.describe(f"{leaks}\n" * 500)  # Too long for a tag, so also an artifact.
    with pytest.raises(OSError, match="s3cret"), tracking.TrackedRun("e", "fails") as failed:
        raise OSError(leaks)
    assert tracking.read_run(failed.run_id).tags["error"] == (
        "OSError: http://ann:***@host and ***"
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
        assert "s3cret" not in "".join(database.iterdump())


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("password", ["1234", "lstm", "51234567"])
def test_data_that_are_read_back_are_not_masked(password, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    report = {"loss": 0.51234567, "n": 1234}
    record = {"arguments": ["seed=1234", "cell=lstm"], "directory": "/latest/test"}
    tags = {"cell": "lstm", "variant": "lstm T=1234", "data_fingerprint": "a-1234-b"}
    parent = tracking.start_sweep("e", "sweep", {}, record)
    with tracking.TrackedRun("e", "n", tags, {"task.T": 1234}, parent.run_id) as run:
        run.log_report(report)
        run.log_table({"lstm": [1234, 0.51234567]}, "table.json")
    (found,) = tracking.read_sweep(parent.run_id).runs
    assert tracking.read_sweep(parent.run_id).record == record
    assert found.report == report
    assert tags.items() <= found.tags.items()
    assert found.params == {"task.T": "1234"}
    table = mlflow.artifacts.load_dict(f"runs:/{run.run_id}/table.json")
    assert table == {"columns": ["lstm"], "data": [[1234], [0.51234567]]}


def test_a_short_password_is_masked_as_a_whole_word_only(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "test")
    assert tracking.masked("'test' in /latest/tests") == "'***' in /latest/tests"


def test_an_unreachable_server_is_reported_without_the_password(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cr%40t@127.0.0.1:9")
    with pytest.raises(tracking.StoreError) as raised:
        tracking.connect()
    assert "http://127.0.0.1:9 does not respond (Connection refused)" in str(raised.value)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "ann"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s3cr@t"
    assert ui.main([]) == 2
    assert "s3cr" not in capsys.readouterr().err + str(raised.value)
    assert "s3cr" not in tracking.how_to_browse("1")


def test_an_unreachable_database_is_reported_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URI)
    with pytest.raises(tracking.StoreError, match="cannot be used") as raised:
        tracking.connect()
    assert "postgresql://ann:***@db.example.org:5432/runs?sslpassword=***" in str(raised.value)
    assert "w0rd" not in str(raised.value) + tracking.how_to_browse("1")


def test_a_password_in_the_configuration_raises():
    with pytest.raises(tracking.StoreError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        tracking.connect("http://ann:s3cret@127.0.0.1:9")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("program", [experiments, benchmarks], ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "given",
    ["tracking.uri={}", "+tracking.uri={}", "tracking={{uri: {}}}", "tracking={{uri: '{}'}}"],
)
def test_a_password_on_the_command_line_raises_and_is_not_printed(program, given, capfd):
    assert program.main(["--cfg", "job", given.format("http://ann:s3cret@127.0.0.1:9")]) == 2
    said = capfd.readouterr()
    assert "MLFLOW_TRACKING_PASSWORD" in said.err
    assert "s3cret" not in said.err + said.out


@pytest.mark.usefixtures("store")
def test_mlflow_logs_are_masked(monkeypatch):
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
