"""Stores whose folder was moved, renamed or copied."""

import shutil
import sqlite3

import mlflow
import pytest
import sqlalchemy

from unrolled import tracking
from unrolled.tracking import store

NAMES = [
    "My Course (2) #1, 50%",
    'back\\slash it\'s "quoted"',
    "Künstliche a:b&c~d;e$HOME",
    "x" * 200,
]


@pytest.fixture
def project(new_store, tmp_path, monkeypatch):
    """A folder with a store that is used."""
    folder = tmp_path / "project"
    folder.mkdir()
    use(new_store(folder), monkeypatch)
    return folder


def use(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracking.connect()


def uri_of(folder):
    return f"sqlite:///{folder}/runs.db"


def sweep_with_a_run(found=0):
    """The id of a sweep with a finished run."""
    with (
        tracking.start_sweep("sizes", "sizes today", {}) as parent,
        tracking.TrackedRun("sizes", "gru", parent_run_id=parent.run_id) as run,
    ):
        run.log_report({"found": found})
    return parent.run_id


def found_by(run_id):
    return tracking.read_sweep(run_id).runs[0].report["found"]


@pytest.mark.parametrize("name", NAMES)
def test_a_store_works_after_its_folder_is_renamed(name, project, tmp_path, monkeypatch):
    old = sweep_with_a_run(1)
    project.rename(tmp_path / name)
    use(uri_of(tmp_path / name), monkeypatch)
    assert found_by(old) == 1
    assert found_by(sweep_with_a_run(2)) == 2
    assert not project.exists()
    assert {path.name for path in tmp_path.iterdir() if path.name != "outputs"} == {name}
    runs = mlflow.search_runs(search_all_experiments=True).run_id
    assert {path.name for path in (tmp_path / name / "mlruns").iterdir()} <= set(runs)


def test_a_copy_and_its_original_are_independent(project, tmp_path, monkeypatch, capsys):
    old = sweep_with_a_run(1)
    before = everything_in(project)
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    use(uri_of(copy), monkeypatch)
    assert "files of 2 runs" in capsys.readouterr().err
    new = sweep_with_a_run(2)
    for report in (copy / "mlruns").rglob("report.json"):
        report.write_text(report.read_text().replace("1", "3"))
    assert (found_by(old), found_by(new)) == (3, 2)
    assert everything_in(project) == before
    use(uri_of(project), monkeypatch)
    assert found_by(old) == 1
    assert capsys.readouterr().err == ""


def everything_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_that_were_not_moved_are_read_from_their_folder(project, tmp_path, monkeypatch):
    old = sweep_with_a_run(1)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(project / "runs.db", tmp_path / "elsewhere")
    use(uri_of(tmp_path / "elsewhere"), monkeypatch)
    assert found_by(old) == 1


def test_a_link_to_the_folder_is_equivalent(project, tmp_path, monkeypatch):
    sweep_with_a_run()
    before = (project / "runs.db").read_bytes()
    (tmp_path / "link").symlink_to(project)
    use(uri_of(tmp_path / "link"), monkeypatch)
    assert (project / "runs.db").read_bytes() == before


def test_checkpoints_of_an_earlier_version_are_found(project, tmp_path, monkeypatch):
    with tracking.start_sweep("e", "n", {"directory": f"{project}/outputs/1"}) as sweep:
        sweep.set_tags({"note": f"{project}/outputs/1"})
        sweep.log_text("", "a")
    project.rename(tmp_path / "new")
    use(uri_of(tmp_path / "new"), monkeypatch)
    tags = tracking.read_sweep(sweep.run_id).tags
    assert tags["directory"] == f"{tmp_path}/new/outputs/1"
    assert tags["note"] == f"{project}/outputs/1"


def test_an_error_changes_nothing_and_is_reported(project, tmp_path, monkeypatch):
    sweep_with_a_run()
    project.rename(tmp_path / "new")
    with sqlite3.connect(tmp_path / "new" / "runs.db") as database:
        database.execute(
            "CREATE TRIGGER no BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'disk I/O'); END"
        )
    before = addresses(tmp_path / "new")
    with pytest.raises(tracking.StoreError, match=r"new/runs.db: its folder was moved.*disk I/O"):
        use(uri_of(tmp_path / "new"), monkeypatch)
    assert addresses(tmp_path / "new") == before


def addresses(folder):
    with sqlite3.connect(folder / "runs.db") as database:
        return database.execute("SELECT artifact_location FROM experiments").fetchall()


@pytest.mark.parametrize("path", ["/a/50%/x.db", "/a/50%41/x.db", "/a/it's #1/x.db", "/a/b%20c.db"])
def test_the_file_of_a_store_is_the_one_that_is_opened(path):
    uri = f"sqlite:///{path}"
    assert str(store.sqlite_file(uri)) == sqlalchemy.make_url(uri).database


@pytest.mark.parametrize("which", ["", "runs.db", "mlruns"])
def test_a_read_only_store_can_be_read_but_rejects_runs(which, project, monkeypatch):
    run_id = sweep_with_a_run(1)
    tracking.require_writable()
    monkeypatch.setattr(store.os, "access", lambda path, _: path != project / which)
    assert found_by(run_id) == 1
    with pytest.raises(tracking.StoreError, match=f"{project / which}: cannot be written to"):
        tracking.require_writable()
