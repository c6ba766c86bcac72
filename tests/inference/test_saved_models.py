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


@pytest.fixture
def own_files(tmp_path):
    """Files for the tasks without built-in data, by task."""
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


def assert_they_load(weights):
    """Loads the files in one new process; returns the weights by path."""
    command = [sys.executable, "-c", LOAD, *weights]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == weights.keys()
    for path, expected in weights.items():
        assert not isinstance(found[path], str), f"{path}: {found[path]}"
        np.testing.assert_allclose(found[path], expected, rtol=1e-5)


def test_models_of_tasks_without_download_load(tmp_path, own_files):
    tasks = [name for name in TASKS if name not in DOWNLOADED]
    assert len(tasks) > 10
    assert_they_load(dict(saved(name, tmp_path, own_files) for name in tasks))


@pytest.mark.parametrize("name", DOWNLOADED)
def test_models_of_downloaded_data_load(name, tmp_path, monkeypatch):
    def none(_):
        raise OSError("tests download nothing")

    monkeypatch.setattr(PreparedSet, "_download", none)
    try:
        path, weights = saved(name, tmp_path, {})
    except MissingDataError as missing:
        pytest.skip(str(missing))
    assert_they_load({path: weights})
