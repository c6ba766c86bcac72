"""Runs as tasks of a Ray cluster whose nodes share no folder: deploy/ray/nodes.sh sets it up."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import mlflow
import pytest

from tests.mlflow_server import served
from tests.sweeps.kill_at_random import _without_times, hold_against
from unrolled import tracking
from unrolled.console.program import INTERRUPTED
from unrolled.project import PROJECT

EPOCHS = 12
# Two runs with the same numbers: no gradient reaches either limit.
SWEEP = [
    *("task=adding", "task.T=6", "cell=simple_rnn", "training.explosion=1e17,1e18"),
    *("model.units=4", "model.dropout=0.2", f"budget.epochs={EPOCHS}", "threads=1"),
    *("budget.train_examples=6400", "budget.evaluation_examples=64", "training.batch_size=32"),
    "tracking.checkpoint_minutes=0",
]
HOST = "10.87.0.254"  # This machine, as the nodes see it.
NODES = PROJECT / "deploy" / "ray" / "nodes.sh"

pytestmark = [
    pytest.mark.skipif(
        not find_spec("hydra_plugins.hydra_ray_launcher"),
        reason="needs Ray: .venv/bin/pip install '.[ray]'",
    ),
    pytest.mark.skipif(
        os.getuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"),
        reason="needs root, ip and unshare, for nodes with a network of their own",
    ),
]


@pytest.fixture
def cluster():
    """The address of a cluster with two nodes of one core."""
    environment = {**os.environ, "RAY": os.path.join(os.path.dirname(sys.executable), "ray")}
    try:
        subprocess.run([NODES, "start", "2"], env=environment, check=True)
        yield "ray://10.87.0.1:10001"
    finally:
        subprocess.run([NODES, "stop"])


@pytest.fixture
def address(cluster, tmp_path, new_store, monkeypatch):  # noqa: ARG001  (HOST is of it)
    with served(tmp_path, new_store(tmp_path), host="0.0.0.0") as port:
        uri = f"http://{HOST}:{port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        tracking.connect()
        yield uri


def _start(cluster, folder, log):
    arguments = [*SWEEP, "hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster}"]
    return subprocess.Popen(
        [sys.executable, "-m", "experiments", *arguments, f"hydra.sweep.dir={folder}/runs"],
        cwd=PROJECT,
        stdout=log,
        stderr=log,
    )


def _training(process):
    """The sweep's runs, once both have ended an epoch."""
    while True:
        assert process.poll() is None
        runs = mlflow.search_runs(
            search_all_experiments=True,
            filter_string="attributes.status = 'RUNNING' and tags.folder != ''",
            output_format="list",
        )
        if len(runs) == 2 and all(run.data.metrics.get("examples_seen") for run in runs):
            return runs
        time.sleep(0.2)


@pytest.mark.usefixtures("address")
def test_the_runs_of_a_node_that_fails_go_on_elsewhere(cluster, tmp_path):
    with open(tmp_path / "terminal.txt", "w") as log:
        process = _start(cluster, tmp_path, log)
        lost, _ = _training(process)
        node = lost.data.tags["process"].rpartition(":")[0]
        assert node in ("node-1", "node-2")
        subprocess.run([NODES, "kill", node[-1]], check=True)
        assert process.wait(300) == 0, (tmp_path / "terminal.txt").read_text()
    said = (tmp_path / "terminal.txt").read_text()
    assert "Mean ± standard deviation" in said
    assert not [each for each in ("(pid=", "WARNING", "raylet") if each in said]
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert [run.status for run in sweep.runs] == ["FINISHED", "FINISHED"]
    (again,) = (run for run in sweep.runs if run.run_id == lost.info.run_id)
    assert again.tags["process"].rpartition(":")[0] not in (node, "")
    # It has each epoch once, and the numbers of the other.
    epochs = mlflow.MlflowClient().get_metric_history(again.run_id, "train/loss")
    assert [each.step for each in epochs][-1] == EPOCHS
    assert [step for step, _ in again.series["train/loss"]] == list(range(1, EPOCHS + 1))
    one, other = (_without_times(run) for run in sweep.runs)
    for parts in (one, other):
        del parts["params"]  # The limits.
    assert hold_against({"": one}, {"": other}) > 20
    assert not list((tmp_path / "runs").glob("[01]"))


@pytest.mark.usefixtures("address")
def test_ctrl_c_ends_tasks_and_the_sweep_is_resumed(cluster, tmp_path):
    with open(tmp_path / "terminal.txt", "w") as log:
        process = _start(cluster, tmp_path, log)
        runs = _training(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == INTERRUPTED
        client = mlflow.MlflowClient()
        assert {client.get_run(run.info.run_id).info.status for run in runs} == {"FAILED"}
        shutil.rmtree(tmp_path / "runs")
        resumed = [sys.executable, "-m", "experiments.resume"]
        assert subprocess.run(resumed, cwd=PROJECT, stdout=log, stderr=log).returncode == 0
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert {run.run_id for run in sweep.runs} == {run.info.run_id for run in runs}
    assert {run.status for run in sweep.runs} == {"FINISHED"}
