"""A disk that is really full: a small file system in memory, filled up but for a little."""

import shutil
import socket
import subprocess

import mlflow
import pytest

from experiments import resume
from unrolled import tracking

SWEEP = [
    *("task=adding", "task.T=6", "cell=gru", "seed=1,2", "model.units=4", "budget.epochs=3"),
    *("budget.train_examples=64", "budget.evaluation_examples=32", "jobs=1"),
]


ROOM = 350_000  # bytes: enough for one run, not for two


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.usefixtures("untraced")
def test_a_sweep_ends_clearly_and_is_resumed_once_there_is_room(
    small_disk, main, monkeypatch, new_store, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(small_disk))
    ballast = small_disk / "ballast"
    with open(ballast, "wb") as file:
        file.write(bytes(shutil.disk_usage(small_disk).free - ROOM))
    assert main(*SWEEP, f"hydra.sweep.dir={small_disk}/runs") == 1
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert "No space left on device" in told.out or "disk is full" in told.out
    assert "make resume" in told.out

    ballast.unlink()
    tracking.connect()
    _as_if_this_process_had_ended()
    parent = tracking.latest_sweep()
    finished = [run for run in tracking.read_sweep(parent).runs if run.status == "FINISHED"]
    assert len(finished) == 1
    assert main(parent, of=resume) == 0
    sweep = tracking.read_sweep(parent)
    assert sweep.status == "FINISHED"
    assert sorted(run.name for run in sweep.runs) == ["gru seed=1", "gru seed=2"]
    assert {run.status for run in sweep.runs} == {"FINISHED"}
    for run in finished:
        assert run in sweep.runs


def _as_if_this_process_had_ended():
    ended = subprocess.Popen(["true"])
    ended.wait()
    running = mlflow.search_runs(
        search_all_experiments=True,
        filter_string="attributes.status = 'RUNNING'",
        output_format="list",
    )
    for run in running:
        process = f"{socket.gethostname()}:{ended.pid}"
        mlflow.MlflowClient().set_tag(run.info.run_id, "process", process)
