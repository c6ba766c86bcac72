"""Runs are written to a SQLite store and read back."""

import json
import math
import os
import socket
import subprocess
import sys

import mlflow
import pytest
import requests
from matplotlib.figure import Figure

from unrolled import tracking
from unrolled.tracking import abandoned
from unrolled.tracking.patience import patience

pytestmark = pytest.mark.usefixtures("store")


def run_of(run_id):
    return mlflow.MlflowClient().get_run(run_id)


def artifacts_of(run_id):
    return {artifact.path for artifact in mlflow.MlflowClient().list_artifacts(run_id)}


def test_a_missing_store_is_created(tmp_path):
    folder = tmp_path / 'it\'s a "new" back\\slash (2) #1'
    folder.mkdir()
    before = set(tmp_path.iterdir())
    tracking.connect(f"sqlite:///{folder}/new.db")
    assert tracking.latest_sweep() is None
    with tracking.start_sweep("sizes", "sizes today", {}) as parent:
        pass
    assert tracking.latest_sweep() == parent.run_id
    assert {path.name for path in folder.iterdir()} == {"new.db", "mlruns"}
    assert set(tmp_path.iterdir()) == before


def test_a_sweep_is_read_back_as_it_was_written():
    metric = {"key": "accuracy", "name": "accuracy"}
    points = {"what": "accuracy", "by": "distance", "metric": metric, "points": [{"at": 2.5}]}
    report = {"metric": metric, "breakdowns": [points]}
    with tracking.start_sweep("sizes", "sizes today", {"budget": "quick"}) as parent:
        for seed in (1, 2):
            tags = {"variant": "gru", "seed": seed}
            params = {f"p{i}": i for i in range(250)}
            with tracking.TrackedRun(
                "sizes", f"gru seed={seed}", tags, params, parent.run_id
            ) as run:
                run.log_metrics({"loss": 2.0}, step=1)
                run.log_metrics({"loss": 1.0}, step=2)
                run.log_report(report)
                run.log_series({"many": [(i, i / 2) for i in range(2500)]})
    sweep = tracking.read_sweep(parent.run_id)
    assert (sweep.name, sweep.experiment) == ("sizes today", "sizes")
    assert sweep.tags["budget"] == "quick"
    assert [run.name for run in sweep.runs] == ["gru seed=1", "gru seed=2"]
    assert [run.status for run in sweep.runs] == ["FINISHED", "FINISHED"]
    first = sweep.runs[0]
    assert first.tags["variant"] == "gru"
    assert len(first.params) == 250
    assert first.series["loss"] == [(1, 2.0), (2, 1.0)]
    assert first.metrics["loss"] == 1.0
    assert first.report == report
    assert first.series["many"] == [(i, i / 2) for i in range(2500)]
    assert tracking.latest_sweep() == parent.run_id


def test_a_record_of_any_length_is_read_back():
    record = {"arguments": [f"task.distance.min={n}" for n in range(1000)], "search": None}
    assert len(json.dumps(record)) > 20_000
    parent = tracking.start_sweep("e", "long", {}, record)
    assert tracking.read_sweep(parent.run_id).record == record
    tracking.start_sweep("e", "long", {}, {"arguments": []}, parent.run_id)
    assert tracking.read_sweep(parent.run_id).record == {"arguments": []}


def test_a_sweep_of_an_earlier_version_is_read_from_its_tags():
    tags = {
        "role": "sweep",
        "arguments": '["seed=1,2"]',
        "directory": "/a/b",
        "search": '{"key": "k"}',
    }
    with tracking.TrackedRun("e", "old", tags) as parent:
        pass
    record = tracking.read_sweep(parent.run_id).record
    assert record["arguments"] == ["seed=1,2"]
    assert record["directory"] == "/a/b"
    assert record["search"] == {"key": "k"}
    assert "baseline" not in record


CUT = {"arguments": json.dumps(["seed=1"] * 1000), "directory": "/a/b"}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (CUT, r"old: its tag `arguments` is incomplete: .*5000 characters.* Start the sweep again"),
        ({}, r"old: expected its command line in the artifact sweep.json .* Start it again"),
    ],
    ids=["cut", "absent"],
)
def test_a_sweep_without_a_command_line_raises(tags, message):
    with tracking.TrackedRun("e", "old", {"role": "sweep", **tags}) as parent:
        pass
    record = tracking.read_sweep(parent.run_id).record
    assert record.get("search") is None
    with pytest.raises(tracking.UnreadableRecordError, match=message):
        record["arguments"]


@pytest.mark.parametrize("text", ['{"arguments": ["se', "[1]"])
def test_an_invalid_record_raises(text):
    parent = tracking.start_sweep("e", "garbled", {})
    parent.log_text(text, "sweep.json")
    with pytest.raises(tracking.UnreadableRecordError, match=r"garbled: .* expected a JSON object"):
        tracking.read_sweep(parent.run_id)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"directory": 5}, "a string, got 5"),
        ({"arguments": [1]}, r"a list of strings, got \[1\]"),
        ({"arguments": "seed=1"}, 'a list of strings, got "seed=1"'),
        ({"runs": None}, "an integer, got null"),
        ({"search": [2]}, r"an object or null, got \[2\]"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_record_with_invalid_types_raises(entry, expected):
    parent = tracking.start_sweep("e", "garbled", {}, entry)
    with pytest.raises(tracking.UnreadableRecordError, match=f"garbled: .*expected {expected}"):
        tracking.read_sweep(parent.run_id)


@pytest.mark.parametrize("key", ["arguments", "directory"])
def test_a_record_without_a_command_line_belongs_to_an_interrupted_sweep(key):
    record = tracking.read_sweep(tracking.start_sweep("e", "early").run_id).record
    assert record.get("search") is None
    with pytest.raises(tracking.UnreadableRecordError, match="stopped before its runs began"):
        record[key]


def test_a_new_run_has_its_process_tag_from_the_start(monkeypatch):
    def killed(*_, **__):
        raise SystemExit  # Simulates kill -9.

    monkeypatch.setattr(tracking.RunWriter, "log_params", killed)
    monkeypatch.setattr(tracking.RunWriter, "set_tags", killed)
    monkeypatch.setattr(tracking.RunWriter, "fail", killed)
    with pytest.raises(SystemExit):
        tracking.TrackedRun("e", "n")
    [run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.data.tags["process"].endswith(f":{os.getpid()}")


def test_a_run_whose_creation_was_not_confirmed_is_created_once(monkeypatch):
    create, calls = mlflow.MlflowClient.create_run, []

    def losing_the_first_answer(*args, **kwargs):
        assert (
            os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
        )  # MLflow's own retries do not search for the run.
        calls.append(create(*args, **kwargs))
        if len(calls) == 1:
            raise requests.ConnectionError("Connection aborted")
        return calls[-1]

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    monkeypatch.setattr(mlflow.MlflowClient, "create_run", losing_the_first_answer)
    monkeypatch.setattr("unrolled.tracking.patience.time.sleep", lambda _: None)
    patience.begin(600)
    run = tracking.TrackedRun("e", "n")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    assert run.run_id == calls[0].info.run_id
    assert len(mlflow.MlflowClient().search_runs([run.experiment_id])) == 1


def test_a_run_that_cannot_start_is_marked_failed(monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(tracking.RunWriter, "log_text", full)
    with pytest.raises(OSError, match="No space"):
        tracking.start_sweep("e", "n", {}, {})
    [run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FAILED"
    assert "No space left" in run.data.tags["error"]


def test_a_child_run_is_not_a_sweep():
    with (
        tracking.start_sweep("e", "n") as parent,
        tracking.TrackedRun("e", "gru seed=1", parent_run_id=parent.run_id) as run,
    ):
        pass
    with pytest.raises(tracking.NoSuchRunError, match=f"'gru seed=1' .* which is {parent.run_id}"):
        tracking.read_sweep(run.run_id)


def test_an_error_marks_the_run_failed_with_the_reason():
    with (
        pytest.raises(RuntimeError),
        tracking.TrackedRun("e", "n") as run,
    ):
        raise RuntimeError("out of luck")
    assert run_of(run.run_id).info.status == "FAILED"
    assert run_of(run.run_id).data.tags["error"] == "RuntimeError: out of luck"


def test_a_run_whose_process_was_killed_is_marked_failed_later(store):
    program = (
        "import os, signal; from unrolled import tracking\n"
        "tracking.connect()\n"
        "run = tracking.TrackedRun('e', 'killed')\n"
        "print(run.run_id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    run_id = done.stdout.strip()
    assert run_of(run_id).info.status == "RUNNING"
    with tracking.TrackedRun("e", "alive") as alive:
        assert tracking.fail_abandoned_runs() == 1
        assert run_of(alive.run_id).info.status == "RUNNING"
    assert run_of(run_id).info.status == "FAILED"
    assert "killed" in run_of(run_id).data.tags["error"]


def test_a_run_that_ends_during_the_search_for_abandoned_ones_stays_finished(monkeypatch):
    run = tracking.TrackedRun("e", "n")

    def is_gone(process, _):
        run.finish()
        return process is not None

    monkeypatch.setattr(abandoned, "_has_ended", is_gone)
    assert tracking.fail_abandoned_runs() == 0
    assert run_of(run.run_id).info.status == "FINISHED"


def test_runs_on_other_machines_are_marked_only_if_all_have_ended():
    run = tracking.TrackedRun("e", "n")
    run.set_tags({"process": "another-machine:7"})
    assert tracking.fail_abandoned_runs() == 0
    assert tracking.fail_abandoned_runs("stopped", on_all_machines=True) == 1
    assert run_of(run.run_id).data.tags["error"] == "stopped"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_zombie_process_counts_as_ended():
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        run = tracking.TrackedRun("e", "n")
        run.set_tags({"process": f"{socket.gethostname()}:{ended.pid}"})
        assert tracking.fail_abandoned_runs() == 1
    assert run_of(run.run_id).data.tags["error"].startswith("its process ended")


def test_an_epoch_that_a_resumed_run_logs_again_counts_once(monkeypatch):
    with tracking.TrackedRun("e", "n") as run:
        for now, step, value in ((1, 1, 0.5), (2, 2, 0.4), (3, 2, 0.6), (4, 3, 0.3)):
            monkeypatch.setattr("unrolled.tracking.writing.time.time", lambda now=now: float(now))
            run.log_metrics({"loss": value}, step)
    assert tracking.read_run(run.run_id).series == {"loss": [(1, 0.5), (2, 0.6), (3, 0.3)]}


@pytest.mark.parametrize("pid", ["", "a", "99999999999"])
def test_a_run_with_an_invalid_process_tag_is_not_changed(pid):
    run = tracking.TrackedRun("e", "n")
    run.set_tags({"process": f"{socket.gethostname()}:{pid}"})
    assert tracking.fail_abandoned_runs() == 0


def test_a_long_description_is_truncated_and_stored_as_an_artifact():
    run = tracking.TrackedRun("e", "n")
    lines = [f"- sentence {number}" for number in range(1000)]
    run.describe("\n".join(lines))
    note = run_of(run.run_id).data.tags["mlflow.note.content"]
    *shown, last = note.splitlines()
    assert shown[:100] == lines[:100]
    assert set(shown) <= {*lines, ""}
    assert "the complete text is the artifact description.md" in last
    whole = mlflow.artifacts.load_text(f"runs:/{run.run_id}/description.md")
    assert whole.splitlines() == lines


def test_artifacts_of_each_kind():
    with tracking.TrackedRun("e", "n") as run:
        run.log_text("hello", "note.txt")
        run.log_report({"a": [1, 2.5]})
        run.log_table({"unit": ["gru", "lstm"], "accuracy": ["0.9", "0.8"]}, "table.json")
        figure = Figure()
        figure.subplots().plot([1, 2])
        run.log_figure(figure, "curve.png")
        run.describe("**all** of it")
    assert artifacts_of(run.run_id) == {"note.txt", "report.json", "table.json", "curve.png"}
    assert run_of(run.run_id).data.tags["mlflow.note.content"] == "**all** of it"


def test_nan_is_skipped_and_other_values_are_stored():
    with tracking.TrackedRun("e", "n") as run:
        run.log_metrics({"bad": float("nan"), "good": 1.0})
    assert run_of(run.run_id).data.metrics == {"good": 1.0}


def test_infinity_is_read_back_as_infinity():
    with tracking.TrackedRun("e", "n") as run:
        run.log_series({"up": [(1, math.inf), (2, 1.7e308)], "down": [(1, -math.inf)]})
    found = tracking.read_run(run.run_id)
    assert found.series == {"up": [(1, math.inf), (2, 1.7e308)], "down": [(1, -math.inf)]}
    assert found.metrics == {"up": 1.7e308, "down": -math.inf}


def test_an_unreachable_server_raises_with_advice():
    with pytest.raises(ConnectionError, match="MLFLOW_TRACKING_URI"):
        tracking.connect("http://127.0.0.1:9")


def test_the_latest_sweep_of_an_empty_store_is_none():
    assert tracking.latest_sweep() is None
