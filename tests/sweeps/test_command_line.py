"""Whole sweeps, as `make experiment` starts them.

In a process of their own where how a process ends is the point; in this one, which has TensorFlow
already, otherwise. See `test_kill` for sweeps that are killed, and for runs in workers.
"""

import json
import signal
import subprocess
import sys
import time

import mlflow
import pytest

from unrolled import tracking
from unrolled.project import CONFIGURATION

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
    "jobs=1",
    "hydra.sweep.dir=(set for each test)",
]


@pytest.fixture(autouse=True)
def outputs(new_store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    tracking.connect()
    SMALL[-1] = f"hydra.sweep.dir={tmp_path}/outputs"


@pytest.mark.usefixtures("untraced")
def test_a_sweep_ends_in_a_table_and_pictures(main, capsys):
    assert main(*SMALL, "cell=gru,simple_rnn", "seed=1,2") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "4 runs of 2 epochs" in out
    assert out.count("budget=quick: a smoke test; the results are not meaningful.") == 2
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


def test_missing_data_are_told_before_any_run(main, tmp_path, monkeypatch, capsys):
    for protocol in ("http", "https"):
        monkeypatch.setenv(f"{protocol}_proxy", "http://127.0.0.1:9")
    assert main("experiment=gru_vs_lstm", "task=imdb") == 2
    told = capsys.readouterr().err
    assert str(tmp_path / "nothing") in told
    assert "TFDS_DATA_DIR" in told
    assert "agreement" in told
    assert "Traceback" not in told
    assert tracking.latest_sweep() is None


def test_interrupted_what_is_done_is_compared_and_the_rest_is_failed(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *SMALL, "cell=simple_rnn", "seed=1,2"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    in_second_run = tmp_path / "outputs" / "1" / "run.json"
    deadline = time.monotonic() + 200
    while not in_second_run.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "to 90%" in out
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert [run.status for run in sweep.runs] == ["FINISHED", "FAILED"]
    assert "KeyboardInterrupt" in sweep.runs[-1].tags["error"]
    parent = mlflow.MlflowClient().get_run(sweep.run_id)
    assert parent.info.status == "FAILED"
    assert parent.data.tags["error"] == "stopped by the user"
    assert "test/accuracy/simple_rnn/mean" in parent.data.metrics


@pytest.mark.usefixtures("untraced")
def test_a_run_that_fails_is_named_and_the_others_go_on(main, capsys):
    axes = ["cell=gru", "seed=1", "training.learning_rate=3e38,0.001", "training.clip_norm=null"]
    assert main(*SMALL, *axes) == 1
    out = capsys.readouterr().out
    assert "gru learning_rate=3e+38 seed=1" in out
    assert "FAILED" in out
    sweep = tracking.read_sweep(tracking.latest_sweep())
    assert [run.status for run in sweep.runs] == ["FAILED", "FINISHED"]
    assert "loss is" in sweep.runs[0].tags["error"]
    parent = mlflow.MlflowClient().get_run(sweep.run_id)
    assert parent.data.tags["error"] == "1 of 2 runs failed"
    assert "test/accuracy/gru learning_rate:0.001/mean" in parent.data.metrics


@pytest.mark.usefixtures("untraced")
def test_no_more_runs_start_after_the_first_failure_if_that_is_asked_for(main, capsys):
    axes = ["cell=gru", "seed=1", "training.learning_rate=3e38,0.001", "training.clip_norm=null"]
    assert main(*SMALL, *axes, "stop_at_first_failure=true") == 1
    assert "1 of 2 runs failed, 1 did not start." in capsys.readouterr().out
    (only,) = tracking.read_sweep(tracking.latest_sweep()).runs
    assert only.status == "FAILED"


def test_a_text_too_short_for_its_windows_is_refused_before_a_run_starts(main, tmp_path, capsys):
    text = tmp_path / "short.txt"
    text.write_text("all work and no play makes a dull text\n" * 600)
    task = ["task=text_char", f"task.path={text}", "task.train_tokens=1000"]
    assert main("experiment=char_lm", *task, "training.window=100", "training.batch_size=16") == 2
    assert "has 1000 tokens; expected at least 1699" in capsys.readouterr().err
    assert mlflow.search_runs(search_all_experiments=True).empty
