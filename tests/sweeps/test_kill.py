"""A short form of `kill_at_random`: one kill -9 in training.

The sweep is run undisturbed in workers. Then it is run in a process that is killed in the second of
its two runs; what that leaves is compared, and resumed in this process.
"""

import random
from importlib import import_module

import pytest

from tests.sweeps.kill_at_random import LostError, Trial, hold_against
from unrolled import tracking

SWEEP = [
    *("task=adding", "task.T=6", "cell=simple_rnn", "seed=1,2", "budget.epochs=5"),
    *("model.units=4", "model.dropout=0.2"),
    *("budget.train_examples=320", "budget.evaluation_examples=64"),
]
# What TensorFlow writes first on any machine; its other lines depend on the processor.
TENSORFLOW = "All log messages before absl::InitializeLog() is called"


@pytest.fixture(scope="module")
def undisturbed(new_store, tmp_path_factory):
    """The sweep in worker processes, its exit code, and its record."""
    trial = Trial(tmp_path_factory.mktemp("kill") / "undisturbed", SWEEP, "worker")
    new_store(trial.folder)
    code = trial.run(*trial.whole())
    tracking.connect(trial.uri)
    return trial, code, tracking.read_sweep(tracking.latest_sweep())


def test_runs_in_processes_of_their_own_end_in_the_same_sweep(undisturbed):
    trial, code, sweep = undisturbed
    assert code == 0
    told = (trial.folder / "terminal.txt").read_text()
    for line in ("2 runs of 5 epochs", "simple_rnn seed=1", "simple_rnn seed=2", "±"):
        assert line in told
    # What libraries write goes to the log of the run.
    assert TENSORFLOW not in told
    assert TENSORFLOW in (trial.folder / "runs" / "0" / "unrolled.log").read_text()
    assert [run.status for run in sweep.runs] == ["FINISHED", "FINISHED"]
    assert len({run.tags["process"] for run in sweep.runs}) == 2


@pytest.fixture
def killed(main, monkeypatch, new_store, tmp_path, capsys):
    """The sweep, to be killed in its second run; what follows is run in this process."""

    class Killed(Trial):
        def run(self, program, *arguments):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", self.uri)
            return main(*arguments, of=import_module(program))

        def may_be_killed(self):
            return (self.folder / "runs" / "1" / "checkpoint.json").exists()

        def next_command(self):
            capsys.readouterr()
            assert self.run("experiments.compare") == 0
            self.compared = capsys.readouterr().out
            self.left = tracking.read_sweep(tracking.latest_sweep())
            return super().next_command()

    trial = Killed(tmp_path / "killed", SWEEP)
    new_store(trial.folder)
    return trial


def test_a_sweep_that_was_killed_ends_in_the_numbers_of_one_that_was_not(undisturbed, killed):
    assert killed.disturbed([random.uniform(0, 0.25)]) == 1
    # What was done could be compared.
    assert "killed" in killed.compared
    assert [run.status for run in killed.left.runs] == ["FINISHED", "FAILED"]
    assert killed.left.status == "FAILED"
    # What was resumed is complete, and the same.
    found = killed.results()
    assert killed.run("experiments.resume") == 2  # It has ended.
    tracking.connect(undisturbed[0].uri)
    expected = undisturbed[0].results()
    assert len(expected) == 2
    assert hold_against(expected, found) > 30


def test_what_differs_is_noticed():
    with pytest.raises(LostError, match=r"lstm: metrics loss: expected 0.1, got 0.2"):
        hold_against({"lstm": {"metrics": {"loss": 0.1}}}, {"lstm": {"metrics": {"loss": 0.2}}})
