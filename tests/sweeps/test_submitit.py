"""Runs as jobs of submitit: on this machine, and on a SLURM cluster of one node where there is one.

deploy/slurm/one_node.sh sets up such a cluster.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from importlib.util import find_spec

import mlflow
import pytest
from hydra.core.config_store import ConfigStore

from tests.sweeps.kill_at_random import Trial, hold_against
from unrolled.console.program import INTERRUPTED
from unrolled.console.refusals import RefusedError
from unrolled.sweeps import cluster, launchers
from unrolled.sweeps.claim import claimed
from unrolled.sweeps.plan import make_plan

EPOCHS = 12
# Two runs with the same numbers: no gradient reaches either limit.
SWEEP = [
    *("task=adding", "task.T=6", "cell=simple_rnn", "training.explosion=1e17,1e18"),
    *("model.units=4", "model.dropout=0.2", f"budget.epochs={EPOCHS}", "threads=1"),
    *("budget.train_examples=320", "budget.evaluation_examples=64"),
]
needs_submitit = pytest.mark.skipif(
    not find_spec("submitit"), reason="needs hydra-submitit-launcher: make setup"
)
needs_slurm = pytest.mark.skipif(
    not shutil.which("sbatch"), reason="needs SLURM: deploy/slurm/one_node.sh sets it up"
)
LAUNCHERS = [
    pytest.param("submitit_local", marks=needs_submitit),
    pytest.param("slurm", marks=[needs_submitit, needs_slurm]),
]


class Submitted(Trial):
    """A sweep whose runs are jobs; the first is preempted after an epoch."""

    def __init__(self, folder, launcher):
        super().__init__(folder, [*SWEEP, f"hydra/launcher={launcher}"])
        self.runs = folder / "runs"

    def whole(self):
        return ["experiments", *self.arguments, f"hydra.sweep.dir={self.runs}"]

    def start(self):
        """Start the sweep; returns its process once the first run has ended an epoch."""
        process = self._start(*self.whole())
        while not (self.runs / "0" / "checkpoint.json").exists():
            assert process.poll() is None, self.said()
            time.sleep(0.01)
        return process

    def preempt(self, launcher):
        """Tell the first run's job that it is preempted; returns the MLflow id of the run."""
        if launcher == "slurm":
            (job,) = (self.runs / "slurm").glob("*_0")
            subprocess.run(["scancel", "--signal=USR2", job.name], check=True)
            _start_again_at_once(job.name)
        else:
            os.kill(int((self.runs / "0" / "lock").read_text()), signal.SIGUSR2)
        return json.loads((self.runs / "0" / "run.json").read_text())["run_id"]

    def said(self):
        return (self.folder / "terminal.txt").read_text()


def _start_again_at_once(job):
    """SLURM would wait for two minutes."""
    end = time.monotonic() + 30
    asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    while subprocess.check_output(asked, text=True).strip() != "PENDING":
        assert time.monotonic() < end
        time.sleep(0.2)
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_job_that_is_preempted_goes_on_from_its_last_epoch(launcher, tmp_path, new_store):
    trial = Submitted(tmp_path / "sweep", launcher)
    new_store(trial.folder)
    process = trial.start()
    run_id = trial.preempt(launcher)
    assert trial._wait(process) == 0
    # The terminal is as clean as with other launchers, and the sweep is compared.
    said = trial.said()
    assert f"2 runs of {EPOCHS} epochs" in said
    assert "Mean ± standard deviation" in said
    assert "INFO" not in said
    assert "slurm" not in said.replace(str(trial.folder), "")
    # The run has each epoch once, in the MLflow run that it began, and the numbers of the other.
    assert "this job is preempted" in (trial.runs / "0" / "unrolled.log").read_text()
    one, other = trial.results().values()
    for parts in (one, other):
        del parts["params"]  # The limits.
    assert hold_against({"": one}, {"": other}) > 20
    epochs = mlflow.MlflowClient().get_metric_history(run_id, "train/loss")
    assert [each.step for each in epochs] == list(range(1, EPOCHS + 1))


@needs_submitit
def test_ctrl_c_ends_jobs_that_are_not_in_the_foreground(tmp_path, new_store):
    trial = Submitted(tmp_path / "sweep", "submitit_local")
    new_store(trial.folder)
    process = trial.start()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == INTERRUPTED
    for run in trial.runs.glob("[01]"):
        with claimed(run):  # No process has it.
            pass
    assert "KeyboardInterrupt" not in trial.said()


@pytest.mark.parametrize("left", ["nothing", "an old file"])
def test_a_job_whose_sweep_does_not_run_ends(left, tmp_path, monkeypatch):
    class EndedError(Exception):
        pass

    def end(code):
        raise EndedError(code)

    monkeypatch.setattr(cluster.os, "_exit", end)
    monkeypatch.setattr(cluster, "_SECONDS_WITHOUT_BEAT", 0.1)
    monkeypatch.setattr(cluster, "_SECONDS_BETWEEN_LOOKS", 0.01)
    if left == "an old file":
        (tmp_path / "running").write_text("7")
    with pytest.raises(EndedError):
        cluster._end_without(tmp_path / "running", threading.Event())


def test_a_launcher_whose_package_is_missing_is_refused(monkeypatch):
    monkeypatch.setattr(ConfigStore, "list", lambda *_: ["basic.yaml", "joblib.yaml"])
    for launcher in ("submitit_local", "slurm"):
        with pytest.raises(RefusedError, match=r"not installed\. Install it with `make setup`"):
            make_plan(["seed=1,2", f"hydra/launcher={launcher}"])


@needs_submitit
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/launcher=submitit_slurm"], "expected hydra/launcher=slurm, which is the same"),
        (["hydra/launcher=slurm", "jobs=2"], "hydra/launcher=slurm has options of its own"),
        (["hydra/launcher=slurm", "hydra.launcher.timeout_min=long"], "'long' of type 'str'"),
        (["hydra/launcher=slurm", "hydra.launcher.partitions=x"], "Key 'partitions' not in"),
        (["hydra/launcher=slurm", "hydra.launcher.nodes=2"], "stays 1, as a run is one process"),
    ],
    ids=str,
)
def test_contradictions_are_refused(arguments, message, monkeypatch):
    monkeypatch.setattr(launchers.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(RefusedError, match=message):
        make_plan(["seed=1,2", *arguments])


@needs_submitit
def test_slurm_is_refused_where_its_commands_are_missing(monkeypatch):
    monkeypatch.setattr(launchers.shutil, "which", lambda _: None)
    with pytest.raises(RefusedError, match="found no sbatch on PATH"):
        make_plan(["hydra/launcher=slurm"])


def test_only_jobs_without_a_result_are_cancelled(tmp_path, monkeypatch):
    for job, ended in (("7_0", True), ("7_1", False)):
        folder = tmp_path / "slurm" / job
        folder.mkdir(parents=True)
        (folder / f"{job}_submitted.pkl").touch()
        if ended:
            (folder / f"{job}_0_result.pkl").touch()
    called = []
    monkeypatch.setattr(cluster.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(cluster.subprocess, "run", lambda command, **_: called.append(command))
    cluster.stop_jobs(tmp_path)
    assert called == [["scancel", "--quiet", "7_1"]]
