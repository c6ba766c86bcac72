"""A short form of `kill_at_random`: one kill -9 in training; the rest of it in this process."""

import random
from importlib import import_module

import pytest

from tests.sweeps.kill_at_random import LostError, Trial, hold_against

SWEEP = [
    *("task=adding", "task.T=6", "cell=gru", "seed=1,2", "model.units=4", "model.dropout=0.2"),
    *("budget.epochs=12", "budget.train_examples=320", "budget.evaluation_examples=64"),
]


@pytest.fixture
def trial(main, monkeypatch, new_store, tmp_path):
    class Here(Trial):
        def run(self, program, *arguments):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", self.uri)
            module = "experiments.__main__" if program == "experiments" else program
            return main(*arguments, of=import_module(module))

        def may_be_killed(self):
            return (self.folder / "runs" / "0" / "checkpoint.json").exists()

    def make(name):
        made = Here(tmp_path / name, SWEEP)
        new_store(made.folder)
        return made

    return make


def test_a_sweep_that_was_killed_ends_in_the_numbers_of_one_that_was_not(trial):
    undisturbed, killed = trial("undisturbed"), trial("killed")
    undisturbed.undisturbed()
    assert killed.disturbed([random.uniform(0, 1)]) == 1
    expected = undisturbed.results()
    assert len(expected) == 2
    assert hold_against(expected, killed.results()) > 30
    assert killed.run("experiments.resume") == 2  # It has ended.


def test_what_differs_is_noticed():
    with pytest.raises(LostError, match=r"lstm: metrics loss: expected 0.1, got 0.2"):
        hold_against({"lstm": {"metrics": {"loss": 0.1}}}, {"lstm": {"metrics": {"loss": 0.2}}})
