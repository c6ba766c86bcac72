"""A sweep and its runs need no common folder: what they tell each other goes through the store."""

import pytest

from unrolled import tracking
from unrolled.comparison.variants import STAGE
from unrolled.sweeps import launch, shared
from unrolled.sweeps.launchers import RAY
from unrolled.sweeps.overrides import quoted
from unrolled.sweeps.progress import Outcome
from unrolled.sweeps.shared import SharedFolder, SharedStore, runs_in_store
from unrolled.sweeps.sweep import Sweep

TINY = [
    *("task=adding", "task.T=6", "cell=simple_rnn", "model.units=4", "budget.epochs=2"),
    *("budget.train_examples=100", "budget.evaluation_examples=60", "jobs=1"),
]
SWEEP = Sweep("e", "1234", ["cell"], chosen=[({"cell": "gru", "a": [1, 2]}, 0.1)], host="here")

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(params=["folder", "store"])
def both_sides(request, tmp_path):
    """What the sweep has and what a run has, each made for itself."""
    if request.param == "folder":
        return [SharedFolder(tmp_path) for _ in range(2)]
    parent = tracking.start_sweep("e", "a sweep")
    return [SharedStore(parent.run_id, tmp_path / side / "runs") for side in "ab"]


def test_a_run_learns_what_its_sweep_is(both_sides):
    of_sweep, of_run = both_sides
    of_sweep.begin(SWEEP)
    assert of_run.sweep().variant is not None
    assert Sweep(**{**vars(of_run.sweep()), "chosen": SWEEP.chosen}) == SWEEP
    assert [tuple(each) for each in of_run.sweep().chosen] == SWEEP.chosen


def test_runs_are_stopped_until_the_sweep_begins_again(both_sides):
    of_sweep, of_run = both_sides
    of_sweep.begin(SWEEP)
    assert not of_run.is_stopped()
    of_run.stop()
    assert of_run.is_stopped()
    of_sweep.begin(SWEEP)
    assert not of_run.is_stopped()


def test_the_sweep_learns_how_runs_ended_in_each_stage(tmp_path):
    parent = tracking.start_sweep("e", "a sweep")
    folders = [tmp_path / STAGE / "0", tmp_path / "0", tmp_path / "1"]
    runs = runs_in_store(parent.run_id, folders)
    assert [run.outcome for run in runs] == [None] * 3
    well, badly = Outcome("a", 1.5, "fine"), Outcome("b", 2.0, "", "ö", "error")
    log = tmp_path / "log"
    log.write_bytes(b"text \xff")
    SharedStore(parent.run_id, tmp_path / "elsewhere" / STAGE).finish("0", well, log)
    SharedStore(parent.run_id, tmp_path / "elsewhere").finish("1", badly, tmp_path / "none")
    assert [run.outcome for run in runs] == [None] * 3  # It is not asked all the time.
    runs[0].expire()
    runs[1].expire()
    assert [run.outcome for run in runs] == [well, None, badly]
    assert tracking.Files(parent.run_id, "search_runs").read("0.log") == "text \ufffd"


def test_progress_is_that_of_the_examples(tmp_path):
    parent = tracking.start_sweep("e", "a sweep")
    for folder, stage, seen in (("0", {}, 50), ("1", {}, None), ("0", {"stage": STAGE}, 20)):
        run = tracking.TrackedRun(
            "e", "r", {"folder": folder, **stage}, {"budget.epochs": 4}, parent.run_id
        )
        run.log_metrics({"training_examples": 25})
        if seen is not None:
            run.log_metrics({"examples_seen": seen}, step=2)
    runs = runs_in_store(parent.run_id, [tmp_path / STAGE / "0", *(tmp_path / n for n in "012")])
    assert [run.outcome for run in runs] == [None] * 4
    assert [run.fraction for run in runs] == [0.2, 0.5, 0.0, 0.0]


@pytest.mark.usefixtures("untraced")
def test_a_whole_sweep_without_a_common_folder(main, tmp_path, monkeypatch, capsys):
    """As with Ray, but in this process."""
    monkeypatch.setattr(
        launch,
        "_shared",
        lambda _, sweep, directory: SharedStore(sweep.parent_run_id, directory),
    )
    monkeypatch.setattr(
        launch,
        "_progress_of",
        lambda _, sweep, folders: runs_in_store(sweep.parent_run_id, folders),
    )
    monkeypatch.setenv(shared.FOLDER, str(tmp_path / "a node's"))
    search = "search={key: training.learning_rate, values: [0.01,0.001], seeds: [9]}"
    own = tmp_path / 'the sweep\'s, with "quotes" and é'
    assert main(*TINY, search, "seed=1,2", f"hydra.sweep.dir={quoted(str(own))}") == 0
    said = capsys.readouterr().out
    assert said.count("simple_rnn seed=") + said.count("seed=9") >= 4
    runs = tracking.read_sweep(tracking.latest_sweep()).runs
    assert sorted(run.tags["folder"] for run in runs) == ["0", "0", "1", "1"]
    assert {run.status for run in runs} == {"FINISHED"}
    # No run has written to the folder of the sweep.
    assert {path.name for path in own.rglob("*")} == {"lock"}
    assert (tmp_path / "a node's" / STAGE / "1" / "unrolled.log").exists()


def test_ray_is_refused_without_its_package(monkeypatch):
    from unrolled.console.refusals import RefusedError
    from unrolled.sweeps import launchers
    from unrolled.sweeps.plan import make_plan

    monkeypatch.setattr(launchers, "find_spec", lambda _: None)
    with pytest.raises(RefusedError, match=r"not installed. Install it with .venv/bin/pip"):
        make_plan([f"hydra/launcher={RAY}"])


def test_halving_is_refused_without_a_common_folder(monkeypatch):
    from unrolled.console.refusals import RefusedError
    from unrolled.sweeps import launchers
    from unrolled.sweeps.plan import make_plan

    monkeypatch.setattr(launchers, "find_spec", lambda name: name)
    search = "search={key: training.learning_rate, values: [0.01,0.001], seeds: [9], halving: 2}"
    with pytest.raises(RefusedError, match="needs a folder that all runs of the sweep see"):
        make_plan([f"hydra/launcher={RAY}", search])
