"""Valid and invalid stores, and the creation of new ones."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import sqlalchemy
from mlflow.store.tracking.dbmodels.initial_models import Base as FirstTables

from unrolled import tracking

TOLD = [
    ("./mlruns", r"is a folder, {here}/mlruns: a file store.*Use sqlite:///{here}/mlflow.db"),
    ("file:///tmp/runs", r"is a folder, /tmp/runs: a file store.*Use sqlite:////tmp/mlflow.db"),
    ("mlflow.db", r"has no scheme. Use sqlite:///{here}/mlflow.db"),
    ("sqlite://", r"names no file.*Expected sqlite:////absolute/path/mlflow.db"),
    ("sqlite:///{here}", r"is a folder, {here}. Use a file in it: sqlite:///{here}/mlflow.db"),
    ("sqlite:///{here}/none/a.db", r"in the folder {here}/none, which does not exist\. Create it"),
    ("sqlite:///home/me/a.db", r"{here}/home/me, which does not exist \(three slashes"),
    ("http://", r"http:// has no valid server name. Expected"),
    ("http:///runs", r"has no valid server name. Expected"),
    ("http://localhost:99999", r"has no valid server name. Expected"),
    ("http://localhost:5000?user=1", r"contains a query or fragment.*MLFLOW_TRACKING_TOKEN"),
    ("databricks", r"is on Databricks.*Expected sqlite"),
    ("databricks://profile", r"is on Databricks.*Expected sqlite"),
    (
        "htp://localhost:5000",
        r"has the unknown scheme 'htp'. Expected sqlite.*http://localhost:5000",
    ),
    ("mongodb://localhost/runs", r"has the unknown scheme 'mongodb'. Expected sqlite"),
]


@pytest.mark.parametrize(("uri", "message"), TOLD, ids=[uri for uri, _ in TOLD])
def test_invalid_stores_raise(uri, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(here=tmp_path))
    with pytest.raises(tracking.StoreError, match=message.format(here=tmp_path)):
        tracking.connect()
    assert not list(tmp_path.iterdir())


def test_a_file_store_can_be_used_if_mlflow_allows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "runs"))
    tracking.connect()
    with tracking.TrackedRun("e", "n") as run:
        run.log_metrics({"path=/a//b/../c": 1.0})
    assert tracking.read_run(run.run_id).metrics == {"path:/a/:/b/:/c": 1.0}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("names", [("a/b", "a/b/c"), ("a/b/c/d", "a")])
def test_a_metric_that_is_the_folder_of_another_raises(names):
    run = tracking.TrackedRun("e", "n")
    run.log_metrics({names[0]: 1.0, "a_": 2.0})
    with pytest.raises(ValueError, match="cannot be stored beside"):
        run.log_metrics({names[1]: 1.0})


def test_concurrent_processes_create_one_database(tmp_path):
    # Forks, because importing MLflow four times would take most of the time.
    program = (
        "import multiprocessing\n"
        "from unrolled import tracking\n"
        "import unrolled.tracking.database\n"
        "def start(number):\n"
        "    barrier.wait()\n"
        "    tracking.connect()\n"
        "    tracking.fail_abandoned_runs()\n"
        "    with tracking.TrackedRun('new', str(number)):\n"
        "        pass\n"
        "fork = multiprocessing.get_context('fork')\n"
        "barrier = fork.Barrier(4)\n"
        "processes = [fork.Process(target=start, args=(n,)) for n in range(4)]\n"
        "for each in processes: each.start()\n"
        "for each in processes: each.join()\n"
        "assert [each.exitcode for each in processes] == [0] * 4\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/runs.db"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"runs.db"}
    mlflow.set_tracking_uri(environment["MLFLOW_TRACKING_URI"])
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert sorted(run.info.run_name for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.info.experiment_id for run in runs}) == 1


def test_an_incomplete_database_is_recreated(tmp_path, capsys):
    path = tmp_path / "runs.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    FirstTables.metadata.create_all(engine)  # The first tables that MLflow creates.
    engine.dispose()
    (tmp_path / "runs.db.draft").write_bytes(b"half of it")
    (tmp_path / "runs.db.lock").touch()
    tracking.connect(f"sqlite:///{path}")
    assert "was incomplete and without any run" in capsys.readouterr().err
    assert {each.name for each in tmp_path.iterdir()} == {"runs.db", "runs.db.incomplete"}
    with tracking.TrackedRun("e", "n"):
        pass


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("90e64c465722", r"of an older one \(90e64c465722\). .* db upgrade sqlite:///"),
        ("ffffffffffff", r"of a newer one \(ffffffffffff\). Use that version of MLflow"),
    ],
    ids=["older", "newer"],
)
def test_a_database_of_another_version_is_not_changed(version, message, store):
    path = store.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", [version])
        database.commit()
    before = Path(path).read_bytes()
    with pytest.raises(tracking.StoreError, match=message):
        tracking.connect()
    assert Path(path).read_bytes() == before


def test_an_unfinished_transaction_is_rolled_back(store):
    path = Path(store.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")  # Forces a write before the commit.
        database.execute("BEGIN")
        for number in range(2000):
            row = (f"key {number}", "x" * 500, 0)
            database.execute("INSERT INTO experiment_tags VALUES (?, ?, ?)", row)
        left = {each: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}
        database.execute("ROLLBACK")
    assert {each.name for each in left} == {"runs.db", "runs.db-journal"}
    for each, content in left.items():
        each.write_bytes(content)
    tracking.connect()
    assert not (path.parent / "runs.db-journal").exists()


def test_a_file_that_is_not_a_database_is_not_changed(tmp_path):
    (tmp_path / "text.db").write_text("not a database\n" * 100)
    with pytest.raises(tracking.StoreError, match="expected a SQLite database, got another kind"):
        tracking.connect(f"sqlite:///{tmp_path}/text.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE books (title)")
    with pytest.raises(tracking.StoreError, match=r"expected a database of MLflow, got .* books"):
        tracking.connect(f"sqlite:///{tmp_path}/other.db")
    assert {path.name for path in tmp_path.iterdir()} == {"text.db", "other.db"}


@pytest.mark.usefixtures("store")
def test_an_experiment_created_concurrently_is_used(monkeypatch):
    with tracking.TrackedRun("e", "first") as first:
        pass
    look = mlflow.MlflowClient.get_experiment_by_name
    answers = iter([None])  # Not created yet.
    monkeypatch.setattr(
        mlflow.MlflowClient,
        "get_experiment_by_name",
        lambda self, name: next(answers, look(self, name)),
    )
    with tracking.TrackedRun("e", "second") as second:
        pass
    assert second.experiment_id == first.experiment_id
