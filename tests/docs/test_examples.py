"""The code in the documentation runs."""

import csv
import importlib
import random

import numpy as np
import pytest
import yaml

from tests.docs.pages import PAGES, blocks

FILES = {block.file: block.code for block in blocks("docs/extending.md") if block.file}


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A folder with the files that docs/extending.md tells to write, on the path."""
    for name, code in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [name for name in PAGES if any(b.language == "python" and b.runs for b in blocks(name))],
)
@pytest.mark.usefixtures("recipes")
def test_python_code_runs(name):
    namespace = {}
    for block in blocks(name):
        if block.language == "python" and block.runs and not block.file:
            exec(compile(block.code, name, "exec"), namespace)


def composed(recipes, *overrides, with_hydra=False):
    from hydra import compose, initialize_config_dir

    from unrolled.project import CONFIGURATION

    own = f"hydra.searchpath=[file://{recipes / 'conf'}]"
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("config", [own, *overrides], return_hydra_config=with_hydra)


def test_an_experiment_of_ones_own(recipes):
    config = composed(recipes, "experiment=open_forget_gate", with_hydra=True)
    assert config.hydra.sweeper.params == {"cell.forget_bias": "0.0,1.0,3.0", "seed": "1,2,3"}
    assert (config.cell.name, config.budget.epochs) == ("lstm", 8)


@pytest.mark.usefixtures("store")
def test_a_unit_and_a_csv_file_of_ones_own(recipes):
    from unrolled.sweeps.run import run

    rng = random.Random(1)
    with open("complaints.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for label in ["billing", "delivery"] * 100:
            rows.writerow([" ".join([*rng.choices(["the", "my"], k=4), label]), label])
    own = ["cell=mine", "task=complaints", "task.path=complaints.csv"]
    config = composed(recipes, *own, "budget=quick", "training.learning_rate=0.03")
    result = run(config, recipes / "run")
    assert (result.name, result.metric.chance_level) == ("mine seed=1", 0.5)
    assert result.metrics["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("header", "labels", "message"),
    [
        ("Text,Label", "ab" * 8, "task.path: expected the columns text and label, got Text, Label"),
        ("text,label", "ab" * 4, "task.path: expected at least 10 rows, got 8"),
        ("text,label", "abc" * 4, "task.labels: expected all labels .* without c"),
    ],
)
@pytest.mark.usefixtures("recipes")
def test_a_csv_file_that_does_not_fit_is_refused(header, labels, message):
    with pytest.raises(ValueError, match=message):
        complaints(header, labels).load()


@pytest.mark.usefixtures("recipes")
def test_a_csv_file_of_a_spreadsheet_has_three_splits():
    task = complaints("\ufefftext,label", "ab" * 8)
    task.load()
    assert [len(split.inputs) for split in (task.training, task.validation, task.test)] == [
        14,
        1,
        1,
    ]


def complaints(header, labels):
    """The task of the recipe with a row for each label."""
    with open("complaints.csv", "w", encoding="utf-8") as file:
        file.write("\n".join([header, *(f"mine,{label}" for label in labels)]))
    module = importlib.import_module("my_csv_task")
    return module.Complaints("complaints.csv", labels=["a", "b"])


def test_a_generated_task_of_ones_own(recipes):
    from unrolled.sweeps.building import build, load_task

    small = ["budget.train_examples=8", "budget.evaluation_examples=8", "task.T=4"]
    config = composed(recipes, "task=first_symbol", "cell=simple_rnn", *small)
    task = load_task(config)
    inputs, targets = next(iter(task.training_batches(batch_size=8, seed=1)))
    assert inputs.shape == (8, 4)
    assert (targets.numpy() == inputs.numpy()[:, 0] - 1).all()
    assert 0 <= task.evaluate(build(config, task)).metrics["accuracy"] <= 1


def test_a_model_of_ones_own(recipes):
    from unrolled.layers import GRU
    from unrolled.sweeps.named_objects import imported

    config = composed(recipes, "model=pooled", "task=first_symbol")
    builder = imported("model._target_", config.model._target_, "unrolled.models.build_model")
    answers = {"vocabulary_size": 9, "features": None, "classes": 8, "per_step": False}
    model = builder(GRU, **answers, units=config.model.units, width=config.model.width)
    tokens = np.ones((2, 5), np.int32)
    assert model(tokens).shape == (2, 8)
    padded = np.pad(tokens, ((0, 0), (0, 3)))
    np.testing.assert_allclose(model(padded), model(tokens), atol=1e-6)


@pytest.mark.usefixtures("recipes")
def test_files_of_conf_name_what_their_class_takes():
    for name in ("first_symbol", "complaints"):
        section = yaml.safe_load(FILES[f"conf/task/{name}.yaml"])["task"]
        module, kind = section.pop("_target_").split(".")
        fields = vars(importlib.import_module(module))[kind].__dataclass_fields__
        assert section.keys() - {"name"} <= fields.keys()
