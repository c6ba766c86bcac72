"""Whole sweeps, as `make experiment` starts them, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time

import mlflow
import pytest

import tracking
from experiments.catalogue import CONFIGURATION

PROJECT = CONFIGURATION.parent
SMALL = [
    "experiment=gru_vs_lstm",
    "budget=quick",
    "budget.train_examples=64",
    "budget.evaluation_examples=32",
    "task.distance.min=1",
    "task.distance.max=6",
    "task.depth.max=1",
    "model.units=4",
    "hydra.sweep.dir=(set for each test)",
]


@pytest.fixture(autouse=True)
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    tracking.connect()
    SMALL[-1] = f"hydra.sweep.dir={tmp_path}/outputs"


def start(*overrides, **options):
    command = [sys.executable, "-m", "experiments", *SMALL, *overrides]
    return subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finished(*overrides):
    process = start(*overrides)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_a_sweep_ends_in_a_table_and_pictures():
    code, out, err = finished("cell=gru,simple_rnn", "seed=1,2")
    assert (code, err) == (0, "")
    assert "4 runs of 2 epochs" in out
    assert out.count("budget=quick: this shows that it works, and nothing else.") == 2
    for line in ("gru seed=1", "gru seed=2", "simple_rnn seed=1", "simple_rnn seed=2"):
        assert line in out
    assert "±" in out
    assert "make ui" in out
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert sweep.experiment == "gru_vs_lstm"
    assert {run.status for run in sweep.runs} == {"FINISHED"}
    parent = mlflow.MlflowClient().get_run(sweep.run_id)
    assert parent.info.status == "FINISHED"
    assert "| gru | " in parent.data.tags["mlflow.note.content"]
    accuracies = [r.metrics["test/accuracy"] for r in sweep.runs if r.tags["variant"] == "gru"]
    assert parent.data.metrics["test/accuracy/gru/mean"] == pytest.approx(sum(accuracies) / 2)
    held = {a.path for a in mlflow.MlflowClient().list_artifacts(sweep.run_id)}
    assert held >= {
        "comparison.json",
        "learning_by_examples_seen.png",
        "learning_by_seconds.png",
        "accuracy_by_distance_of_outermost_verbs_in_words.png",
        "accuracy_by_attractors_of_outermost_verbs.png",
    }
    text = mlflow.artifacts.load_text(f"runs:/{sweep.run_id}/comparison.json")
    assert "gru" in json.loads(text)["data"][0] + json.loads(text)["data"][1]


def test_runs_in_processes_of_their_own_end_in_the_same_sweep():
    code, _, _ = finished("cell=gru", "seed=1,2", "hydra/launcher=joblib")
    assert code == 0
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert [run.status for run in sweep.runs] == ["FINISHED", "FINISHED"]
    assert len({run.tags["process"] for run in sweep.runs}) == 2


def test_missing_data_are_told_before_any_run(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "experiments", "experiment=gru_vs_lstm", "task=imdb"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
    )
    assert process.returncode == 2
    assert str(tmp_path / "nothing") in process.stderr
    assert "TFDS_DATA_DIR" in process.stderr
    assert "agreement" in process.stderr
    assert "Traceback" not in process.stderr
    assert tracking.latest_sweep() is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+cell.gate=1", "has no option 'gate'"),
        ("cell=gru,gru_mut1", "expected 4, got 32. Set `units` to 32"),
        ("task.distance.max=0", "distance"),
    ],
)
def test_what_a_unit_or_a_task_refuses_is_told_before_any_run(override, message):
    code, _, err = finished(override)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert tracking.latest_sweep() is None


def wait_for_runs(count, process):
    """Until a sweep has so many runs that ended well, and one more that is running."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if run_id := tracking.latest_sweep():
            states = [run.status for run in tracking.read_sweep(run_id).runs]
            if states.count("FINISHED") >= count and "RUNNING" in states:
                return run_id
        time.sleep(0.2)
    raise AssertionError(f"the sweep never got there: {process.communicate(timeout=10)}")


LONG = ["cell=gru", "seed=1,2,3", "budget.epochs=40", "budget.train_examples=300"]


def test_interrupted_what_is_done_is_compared_and_the_rest_is_failed():
    process = start(*LONG)
    run_id = wait_for_runs(1, process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to 90%" in out
    sweep = tracking.read_sweep(run_id)
    assert {run.status for run in sweep.runs} == {"FINISHED", "FAILED"}
    assert "KeyboardInterrupt" in sweep.runs[-1].tags["error"]
    parent = mlflow.MlflowClient().get_run(run_id)
    assert parent.info.status == "FAILED"
    assert parent.data.tags["error"] == "stopped by the user"
    assert "test/accuracy/gru/mean" in parent.data.metrics


def test_killed_what_is_done_can_still_be_compared():
    process = start(*LONG)
    run_id = wait_for_runs(1, process)
    process.kill()
    process.communicate(timeout=60)
    compared = subprocess.run(
        [sys.executable, "-m", "experiments.compare"], cwd=PROJECT, capture_output=True, text=True
    )
    assert compared.returncode == 0
    assert "killed" in compared.stdout
    sweep = tracking.read_sweep(run_id)
    assert {run.status for run in sweep.runs} == {"FINISHED", "FAILED"}
    assert mlflow.MlflowClient().get_run(run_id).info.status == "FAILED"


def test_a_run_that_fails_is_named_and_the_others_go_on():
    axes = ["cell=gru", "seed=1", "training.learning_rate=3e38,0.001", "training.clip_norm=null"]
    code, out, _ = finished(*axes)
    assert code == 1
    assert "gru learning_rate=3e+38 seed=1" in out
    assert "FAILED" in out
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert [run.status for run in sweep.runs] == ["FAILED", "FINISHED"]
    assert "loss is" in sweep.runs[0].tags["error"]
    parent = mlflow.MlflowClient().get_run(sweep.run_id)
    assert parent.data.tags["error"] == "1 of 2 runs failed"
    assert "test/accuracy/gru learning_rate:0.001/mean" in parent.data.metrics
