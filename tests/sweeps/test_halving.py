"""A search whose bad values are stopped early ends in the same numbers, whatever disturbs it."""

import json
from importlib import import_module
from pathlib import Path

import mlflow
import pytest

from experiments import resume
from tests.sweeps.kill_at_random import Trial, hold_against
from unrolled import tracking
from unrolled.comparison.runs import is_search
from unrolled.sweeps import launch
from unrolled.sweeps.bar import SweepBar
from unrolled.sweeps.checkpoint import Checkpoint
from unrolled.sweeps.progress import Outcome, Progress

KEY = "training.learning_rate"
SMALL = ["task=adding", "task.T=6", "seed=1", "model.units=4", "model.dropout=0.2"]
SMALL += ["budget.train_examples=32", "budget.evaluation_examples=32", "budget.epochs=4"]
VALUES = "key: training.learning_rate, values: [0.001, 0.3, 0.01], seeds: [101]"
HALVED = [*SMALL, f"search={{{VALUES}, halving: 2}}"]
RUNGS = [1, 2, 4]  # Of 3 values; 2 go on, and 1 of them to the end.


@pytest.fixture
def sweep(main, tmp_path, capsys):
    """A function that runs a sweep one run after the other, and returns its record."""

    def swept(*arguments, folder="sweep", code=0):
        where = f"hydra.sweep.dir={tmp_path}/{folder}"
        assert main(*arguments, "cell=simple_rnn", "jobs=1", where) == code
        assert capsys.readouterr().err == ""
        return tracking.read_sweep(tracking.latest_sweep())

    return swept


def searched(record):
    return {run.name: run for run in record.runs if is_search(run)}


def timeless(run):
    """The metrics of a run after each epoch, without times."""
    return {name: list(values) for name, values in run.series.items() if "second" not in name}


def numbers(record):
    """All that a sweep has found, but for times."""
    return {
        run.name: (
            run.status,
            run.tags.get(tracking.STOPPED_AFTER),
            run.params[KEY],
            timeless(run),
        )
        for run in record.runs
    }


COMPARE = "unrolled.comparison.comparison.compare"  # Left out where only runs are looked at.


@pytest.mark.usefixtures("store", "untraced")
def test_values_that_go_on_are_trained_as_without_halving(sweep, tmp_path, monkeypatch):
    halved = sweep(*HALVED)
    monkeypatch.setattr(COMPARE, lambda _: None)
    whole = sweep(*SMALL, f"search={{{VALUES}}}", folder="whole")
    names = [run.name for run in halved.runs]
    assert len(set(names)) == len(names)  # Each went on in its MLflow run.
    assert searched(halved).keys() == searched(whole).keys()
    lengths = []
    for name, run in searched(halved).items():
        series, complete = timeless(run), timeless(searched(whole)[name])
        epochs = len(series["validation/loss"])
        lengths.append(epochs)
        for metric in ("validation/loss", "validation/mse", "train/loss", "learning_rate"):
            assert series[metric] == complete[metric][:epochs]
            assert [step for step, _ in series[metric]] == list(range(1, epochs + 1))
        stopped = None if epochs == RUNGS[-1] else str(epochs)
        assert (run.status, run.tags.get(tracking.STOPPED_AFTER)) == ("FINISHED", stopped)
        if stopped is None:
            assert series == complete
    assert sorted(lengths) == RUNGS
    rows = json.loads(mlflow.artifacts.load_text(f"runs:/{halved.run_id}/search.json"))
    rows = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
    assert sorted(row["epochs"] for row in rows) == sorted(lengths)
    assert {row["search_epochs"] for row in rows} == {sum(RUNGS)}
    note = mlflow.MlflowClient().get_run(halved.run_id).data.tags["mlflow.note.content"]
    assert "for 7 epochs in all (12 without halving)." in note
    left = [path.name for path in (tmp_path / "sweep" / "search").rglob("*")]
    assert not [name for name in left if name.startswith(("epoch_", "best_", "checkpoint"))]


def stopping_at(monkeypatch, point):
    """Interrupt the sweep as Ctrl-C would, once."""
    where, name = (launch, "_end_stopped") if point == "between rounds" else (Checkpoint, "save")
    original = getattr(where, name)
    due = 1 if point == "between rounds" else point  # The number of a round, or an epoch.
    done = []

    def interrupting(*arguments):
        if due in arguments and not done:
            done.append(True)
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(where, name, interrupting)


@pytest.mark.usefixtures("store", "untraced")
def test_a_search_that_was_interrupted_chooses_as_one_that_was_not(sweep, main, monkeypatch):
    monkeypatch.setattr(COMPARE, lambda _: None)
    expected = numbers(sweep(*HALVED))
    for point in (2, "between rounds"):  # An epoch of the second round, and the end of it.
        with monkeypatch.context() as patch:
            stopping_at(patch, point)
            cut = sweep(*HALVED, folder=f"cut_{point}", code=130)
        assert not any(run.status == "RUNNING" for run in cut.runs)
        assert main(cut.run_id, of=resume) == 0
        assert numbers(tracking.read_sweep(cut.run_id)) == expected, point


class Killed(Trial):
    """A sweep that is killed while the last runs of the search are trained."""

    def may_be_killed(self):
        stage = self.folder / "runs" / "search"
        try:
            until = json.loads((stage / "sweep.json").read_text())["until"]
        except FileNotFoundError:
            return False
        return until == RUNGS[-1] and bool(list(stage.glob("*/epoch_3.weights.h5")))


def test_neither_kill_9_nor_several_jobs_change_what_is_chosen(
    new_store, main, monkeypatch, tmp_path
):
    arguments = [*HALVED, "cell=simple_rnn", "budget.train_examples=640"]
    whole = Trial(tmp_path / "whole", arguments, "worker")  # Two jobs at once.
    new_store(whole.folder)
    assert whole.run(*whole.whole()) == 0
    tracking.connect(whole.uri)
    expected = whole.results()

    class InThisProcess(Killed):
        def run(self, program, *words):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", self.uri)
            return main(*words, of=import_module(program))

    killed = InThisProcess(tmp_path / "killed", arguments)
    new_store(killed.folder)
    assert killed.disturbed([0.0]) == 1
    found = killed.results()
    assert len(found) == 4
    assert hold_against(expected, found) > 50


@pytest.fixture
def bar(tmp_path):
    """The bar of a search with three runs, of which one goes to its end, and of one more run."""
    folders = [Path(tmp_path / str(number)) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    runs = list(map(Progress, folders))
    return SweepBar(runs, halved=3, total=sum(RUNGS) / 4 + 1), runs


def shown(bar):
    bar.update()
    (task,) = bar._bar.tasks
    return task.description, task.completed, task.total


def test_the_bar_counts_what_is_trained_of_a_value_that_is_stopped(bar):
    bar, runs = bar
    for run in runs[:3]:
        run.report(0.25)
    assert shown(bar) == ("0 of 4 runs", 0.75, 2.75)
    runs[0].finish(Outcome("one", 1.0, "stopped after epoch 1"))
    assert shown(bar) == ("1 of 4 runs", 0.75, 2.75)
    runs[1].report(0.5)
    runs[1].finish(Outcome("two", 1.0, "stopped after epoch 2"))
    runs[2].report(1.0)
    runs[2].finish(Outcome("three", 1.0, "mse 0.1"))
    assert shown(bar) == ("3 of 4 runs", 1.75, 2.75)
    bar.expect(1)
    assert shown(bar) == ("3 of 4 runs", 1.75, 2.75)
    runs[3].finish(Outcome("four", 1.0, "mse 0.1"))
    assert shown(bar) == ("4 of 4 runs", 2.75, 2.75)
