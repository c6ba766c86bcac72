"""A sweep goes on where the folder of its runs does not exist, from what the tracking store has."""

import shutil
import zipfile

import mlflow
import pytest

from experiments import resume
from tests.mlflow_server import served
from tests.whole_runs import composed, connect
from unrolled import tracking
from unrolled.sweeps import cluster, execution, stored_runs
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.run import run
from unrolled.sweeps.state_files import StateError
from unrolled.sweeps.stored_runs import take_over
from unrolled.sweeps.sweep import Sweep

TINY = [
    *("task=adding", "task.T=6", "cell=simple_rnn", "model.units=4", "model.dropout=0.2"),
    *("budget.epochs=3", "budget.train_examples=200", "budget.evaluation_examples=60"),
]
SWEEP = [*TINY, "seed=1,2", "jobs=1"]
EVERY_EPOCH = "tracking.checkpoint_minutes=0"


class _StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def server(tmp_path_factory, new_store):
    """The address of an MLflow server that also serves the artifacts."""
    folder = tmp_path_factory.mktemp("server")
    with served(folder, new_store(folder)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def store(server, monkeypatch, tmp_path):
    connect(server, monkeypatch)
    monkeypatch.chdir(tmp_path)


def _stop_after(patch, epoch, seed):
    """Let the run of a seed stop once the checkpoint of an epoch is uploaded."""
    upload = stored_runs.UploadedCheckpoints._upload

    def stopping(self, done):
        upload(self, done)
        run = mlflow.get_run(self.run_id)
        if done == epoch and run.data.tags["seed"] == str(seed):
            raise _StoppedError

    patch.setattr(stored_runs.UploadedCheckpoints, "_upload", stopping)


@pytest.mark.usefixtures("untraced", "store")
def test_another_machine_continues_a_sweep(main, tmp_path, monkeypatch, capsys):
    whole = run(composed(*TINY, "seed=2"), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("unrolled.comparison.comparison.compare", lambda _: None)
        _stop_after(patch, epoch=2, seed=2)
        assert main(*SWEEP, EVERY_EPOCH, f"hydra.sweep.dir={tmp_path}/a") == 1
    before = tracking.read_sweep(tracking.latest_sweep())
    assert [run.status for run in before.runs] == ["FINISHED", "FAILED"]
    shutil.rmtree(tmp_path / "a")
    # The other machine has a folder of its own, and no file of these runs.
    monkeypatch.setattr(execution, "OUTPUTS", tmp_path / "b")
    trained = []
    save = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", lambda *args: (trained.append(args[2]), save(*args))[1])
    assert main(before.run_id, of=resume) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The files of its runs are not on this machine" in said
    assert trained == [3]  # Two epochs were in the store, and the first run was complete.
    after = tracking.read_sweep(before.run_id)
    assert after.status == "FINISHED"
    assert [run.run_id for run in after.runs] == [run.run_id for run in before.runs]
    finished, continued = after.runs
    assert finished.metrics == before.runs[0].metrics
    assert continued.metrics["test/mse"] == whole.metrics["mse"]
    losses = list(enumerate(whole.history["train/loss"], start=1))
    assert continued.series["train/loss"] == losses
    for each in after.runs:
        assert tracking.Files(each.run_id, "checkpoint").names() == []


@pytest.mark.usefixtures("untraced", "store")
def test_only_the_last_checkpoint_stays_in_the_store(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        _stop_after(patch, epoch=2, seed=1)
        with pytest.raises(_StoppedError):
            run(composed(*TINY, EVERY_EPOCH), tmp_path / "run")
    run_id = mlflow.search_runs(search_all_experiments=True, output_format="list")[0].info.run_id
    assert tracking.Files(run_id, "checkpoint").names() == ["epoch_000002.zip"]


@pytest.mark.usefixtures("untraced", "store")
def test_a_short_run_uploads_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_runs.UploadedCheckpoints, "_upload", None)
    run(composed(*TINY), tmp_path / "run")


@pytest.mark.usefixtures("untraced")
def test_a_database_on_this_machine_gets_no_checkpoint(new_store, tmp_path, monkeypatch):
    connect(new_store(tmp_path), monkeypatch)
    monkeypatch.setattr(stored_runs.UploadedCheckpoints, "_upload", None)
    run(composed(*TINY, EVERY_EPOCH), tmp_path / "run")


def _begun_elsewhere(config, checkpoints):
    """A sweep with one run that another machine began, and its checkpoints: contents by name."""
    parent = tracking.start_sweep("e", "a sweep")
    sweep = Sweep("e", parent.run_id, resumed=True)
    params = stored_runs.identity_of(config, sweep).configuration
    threads = params.pop("threads")
    child = tracking.TrackedRun(
        "e", sweep.run_name(config), {"threads": threads}, params, parent.run_id
    )
    files = tracking.Files(child.run_id, "checkpoint")
    for path in checkpoints:
        files.upload(path)
    return child, sweep


def _zip(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, f"the content of {name}" * 100)
    return path


@pytest.mark.usefixtures("store")
def test_a_damaged_checkpoint_leaves_the_one_before(tmp_path):
    good = _zip(tmp_path / "epoch_000004.zip", "good")
    bad = [_zip(tmp_path / f"epoch_00000{n}.zip", "bad") for n in (5, 6)]
    bad[0].write_bytes(bad[0].read_bytes()[:-30])  # Its upload was interrupted.
    bad[1].write_bytes(bad[1].read_bytes().replace(b"content", b"CONTENT", 1))
    config = composed(*TINY)
    child, sweep = _begun_elsewhere(config, [good, *bad])
    (tmp_path / "run").mkdir()
    take_over(config, tmp_path / "run", sweep)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"good", "run.json"}
    assert child.run_id in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.usefixtures("store")
def test_a_run_of_another_configuration_is_not_continued(tmp_path):
    config = composed(*TINY)
    _, sweep = _begun_elsewhere(config, [])
    with pytest.raises(StateError, match=r"another configuration: model.units was '4', is 8"):
        take_over(composed(*TINY, "model.units=8"), tmp_path, sweep)


@pytest.mark.usefixtures("store")
def test_a_sweep_on_another_machine_is_resumed_once_that_is_lost(main, capsys):
    parent = tracking.start_sweep("e", "a sweep", record={"runs": 1})
    parent.set_tags({"process": "node-7:12"})
    assert main(parent.run_id, of=resume) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"say so: make resume run={parent.run_id} lost=node-7" in said
    assert main(parent.run_id, "lost=node-8", of=resume) == 2
    assert "got 'node-8', where none of its runs is" in " ".join(capsys.readouterr().err.split())
    assert tracking.status_of(parent.run_id) == "RUNNING"
    main(parent.run_id, "lost=node-7", of=resume)
    assert tracking.status_of(parent.run_id) == "FAILED"
    assert "is still running" not in capsys.readouterr().err


@pytest.mark.usefixtures("untraced")
def test_a_database_of_another_machine_is_refused_before_training(new_store, tmp_path, monkeypatch):
    connect(new_store(tmp_path), monkeypatch)
    with pytest.raises(tracking.StoreError, match=r"is an SQLite file.*there: login-node"):
        run(composed(*TINY), tmp_path / "run", Sweep("e", "parent", host="login-node"))
    assert not mlflow.search_runs(search_all_experiments=True, output_format="list")


def test_nodes_of_a_cluster_are_other_machines(tmp_path, monkeypatch):
    command = tmp_path / "sinfo"
    command.write_text("#!/bin/sh\nprintf 'node-1\\nnode-2\\nnode-1\\n'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert cluster.machines() == ["node-1", "node-2"]
