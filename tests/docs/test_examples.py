"""The code in the documentation runs."""

import csv
import random

import keras
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
    monkeypatch.setattr(keras.config, "is_interactive_logging_enabled", lambda: False)
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


def run(recipes, *overrides):
    from unrolled.sweeps.run import run as run_configuration

    budget = ["budget.epochs=1", "budget.train_examples=64", "budget.evaluation_examples=32"]
    config = composed(recipes, "budget=quick", *budget, *overrides)
    return run_configuration(config, recipes / "run")


def test_an_experiment_of_ones_own(recipes):
    config = composed(recipes, "experiment=open_forget_gate", with_hydra=True)
    assert config.hydra.sweeper.params == {"cell.forget_bias": "0.0,1.0,3.0", "seed": "1,2,3"}
    assert (config.cell.name, config.budget.epochs) == ("lstm", 8)


@pytest.mark.usefixtures("store")
def test_a_unit_and_a_task_of_ones_own(recipes):
    result = run(recipes, "cell=mine", "task=first_symbol", "task.T=4")
    assert result.name == "mine seed=1"
    assert 0 <= result.metrics["accuracy"] <= 1


@pytest.mark.usefixtures("store")
def test_a_task_from_a_csv_file(recipes):
    rng = random.Random(1)
    with open("complaints.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for label in ["billing", "delivery"] * 100:
            rows.writerow([" ".join(rng.choices(["the", "my", label], k=5)), label])
    result = run(recipes, "cell=gru", "task=complaints", "task.path=complaints.csv")
    assert result.metric.guessing == 0.5
    assert 0 <= result.metrics["accuracy"] <= 1


@pytest.mark.usefixtures("recipes")
def test_files_of_conf_name_what_their_class_takes():
    for name, code in FILES.items():
        if name.startswith("conf/task/"):
            section = yaml.safe_load(code)["task"]
            module, kind = section.pop("_target_").split(".")
            fields = __import__(module).__dict__[kind].__dataclass_fields__
            assert section.keys() - {"name"} <= fields.keys()
