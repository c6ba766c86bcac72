"""The model of every task can be loaded in a new process, as the README shows."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.whole_runs import composed
from unrolled.project import CONFIGURATION
from unrolled.sweeps.building import build, load_task
from unrolled.sweeps.training import _SaveBest, best_model, compile_model
from unrolled.tasks.base.task import MissingDataError
from unrolled.tasks.data.tfds import PreparedSet

TASKS = sorted(path.stem for path in (CONFIGURATION / "task").glob("*.yaml"))
DOWNLOADED = ("conll2003", "imdb", "shakespeare_char")
SMALL = ["cell=gru", "model.units=4", "model.embedding=4", "budget.epochs=1"]
SMALL += ["budget.train_examples=1000", "budget.evaluation_examples=1000"]
OF_TASK = {
    "adding": ["task.T=6", "model.embedding=null"],
    "names": ["task.distance.max=4", "budget.train_examples=40", "budget.evaluation_examples=20"],
    "ptb_word": ["model.cutoffs=[5,10]"],
}
LOAD = """
import json, sys
import keras
from unrolled import layers, models

found = {}
for path in sys.argv[1:]:
    try:
        model = keras.saving.load_model(path)
        found[path] = [float(abs(each).sum()) for each in model.get_weights()]
    except Exception as error:
        found[path] = f"{type(error).__name__}: {str(error)[:300]}"
print(json.dumps(found))
"""


def own_files(tmp_path):
    """Makes files for the tasks without built-in data, by task."""
    lines = "".join(f"the line number {number} of a text .\n" for number in range(4000))
    columns = "Ada B-PER\nmet O\nBob B-PER\n"
    (tmp_path / "text.txt").write_text(lines)
    for folder, names, text in (
        ("ptb", ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"), lines),
        ("conll", ("train.txt", "dev.txt", "test.txt"), columns),
    ):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text(text)
    paths = {"conll": "conll", "ptb_word": "ptb", "text_char": "text.txt", "text_word": "text.txt"}
    return {task: [f"task.path={tmp_path / path}"] for task, path in paths.items()}


def saved(name, folder, own_files):
    """Saves the model of a task as training does; returns its file and its weights."""
    overrides = [*SMALL, *OF_TASK.get(name, []), *own_files.get(name, [])]
    config = composed(f"task={name}", *overrides)
    task = load_task(config)
    model = build(config, task)
    compile_model(model, task, config.training, 10)
    (folder / f"{name} saved").mkdir()
    save = _SaveBest(folder / f"{name} saved", task.metric)
    save.set_model(model)
    save.on_epoch_end(0, {f"val_{task.metric.key}": 0.0, "val_loss": 1.0})
    assert model.compiled
    return str(best_model(folder / f"{name} saved", 1)), [
        float(abs(each).sum()) for each in model.get_weights()
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """By task: the weights of its model, and what a new process, one for all, finds in its file.

    Where the data must be downloaded and are not there: what the task says, and None.
    """
    folder, before, missing = tmp_path_factory.mktemp("models"), {}, {}
    files = own_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparedSet, "_download", none)
        for name in TASKS:
            try:
                before[name] = saved(name, folder, files)
            except MissingDataError as error:
                missing[name] = str(error), None
    command = [sys.executable, "-c", LOAD, *(path for path, _ in before.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    found = json.loads(done.stdout.splitlines()[-1])
    return missing | {name: (weights, found[path]) for name, (path, weights) in before.items()}


def none(_):
    raise OSError("tests download nothing")


@pytest.mark.parametrize("name", TASKS)
def test_the_model_of_a_task_loads(name, models):
    weights, found = models[name]
    if found is None:
        assert name in DOWNLOADED
        pytest.skip(weights)
    assert not isinstance(found, str), found
    np.testing.assert_allclose(found, weights, rtol=1e-5)


def test_there_are_tasks_without_download():
    assert len(set(TASKS) - set(DOWNLOADED)) > 10
