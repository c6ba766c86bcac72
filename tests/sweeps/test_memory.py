"""Nothing of a run stays in the process once it has ended."""

import gc
import weakref

import pytest
from tensorflow.python.framework.func_graph import FuncGraph

import unrolled.sweeps.run
from tests.whole_runs import composed
from unrolled.sweeps.memory import freeze_imports
from unrolled.sweeps.run import run

RUN = [
    "task=adding",
    "task.T=16",  # Long enough to compile for.
    "cell=gru_simplified",
    "model.units=2",
    "budget=quick",
    "budget.epochs=1",
    "budget.train_examples=20",
    "budget.evaluation_examples=20",
]


def graphs():
    return sum(type(each) is FuncGraph for each in gc.get_objects())


@pytest.mark.usefixtures("store")
def test_runs_after_the_first_leave_nothing_and_end_in_the_same_numbers(tmp_path, monkeypatch):
    models = []

    def build(*arguments):
        model = unrolled.sweeps.building._build(*arguments)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(unrolled.sweeps.run, "build", build)
    found, left = [], []
    for name in ("first", "second"):
        result = run(composed(*RUN), tmp_path / name)
        found.append((result.metrics, result.history["train/loss"]))
        gc.collect()
        left.append(graphs())
    assert [model() for model in models] == [None, None]
    assert left[0] == left[1]
    assert found[0] == found[1]


def test_what_a_program_imports_is_excluded_from_collections_once(monkeypatch):
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc))
    monkeypatch.setattr(gc, "get_freeze_count", lambda: len(frozen))
    freeze_imports()
    freeze_imports()
    assert frozen == [gc]
