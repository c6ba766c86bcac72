"""Whole runs, from a composed configuration to what MLflow holds."""

import os
import signal
import time

import keras
import matplotlib.image
import mlflow
import numpy as np
import pytest
from omegaconf import OmegaConf

import unrolled.sweeps.run
from tests.whole_runs import composed, connect, untraced
from unrolled import layers
from unrolled.project import CONFIGURATION
from unrolled.sweeps import interruption
from unrolled.sweeps.building import build, load_task
from unrolled.sweeps.progress import Progress
from unrolled.sweeps.run import run
from unrolled.sweeps.sweep import Sweep
from unrolled.sweeps.training import compile_model

SMALL = [
    "task=agreement",
    "task.distance.min=1",
    "task.distance.max=6",
    "task.depth.max=1",
    "budget=quick",
    "budget.train_examples=96",
    "budget.evaluation_examples=48",
    "model.units=8",
    "model.embedding=6",
]


pytestmark = pytest.mark.usefixtures("store")


def configuration(*overrides):
    return composed(*SMALL, *overrides)


@pytest.fixture(scope="module")
def finished(shared_store):
    """The folder and the URI of a store, and the runs in it: their results and folders."""
    with shared_store() as (folder, uri):
        yield folder, uri, {}


@pytest.fixture
def shared_run(store, finished, monkeypatch):  # noqa: ARG001  (that store gives way to this one)
    """A function that makes a run of a configuration once, for all tests: its result and folder."""
    folder, uri, made = finished
    connect(uri, monkeypatch)

    def shared(config, sweep=None):
        key = OmegaConf.to_yaml(config, resolve=True)
        if key not in made:
            directory = folder / str(len(made))
            made[key] = run(config, directory, sweep), directory
        return made[key]

    return shared


def tracked(run_id):
    return mlflow.MlflowClient().get_run(run_id)


def test_every_cell_makes_a_model_that_can_be_saved(tmp_path):
    task, words = load_task(configuration()), np.array([[3, 4, 5, 0]])
    for cell in sorted(path.stem for path in (CONFIGURATION / "cell").glob("*.yaml")):
        model = build(configuration(f"cell={cell}", "model.embedding=8"), task)
        assert model.name == cell
        expected = model(words)
        assert np.isfinite(expected).all()
        model.save(tmp_path / f"{cell}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{cell}.keras")
        np.testing.assert_array_equal(loaded(words), expected)


def test_a_cell_that_sizes_do_not_suit_is_refused_with_them():
    config = configuration("cell=gru_mut1")
    with pytest.raises(ValueError, match=r"expected 8, got 6\. .*gru_mut1 .*model.embedding=6"):
        build(config, load_task(config))
    config = configuration("cell=gru_mut2", "model.match=parameters")
    with pytest.raises(ValueError, match=r"got 6\. .*gru_mut2 .*model.match=parameters"):
        build(config, load_task(config))


def seeded(seed, *overrides):
    fast = ["cell=simple_rnn", "training.learning_rate=0.05"]
    return configuration(*fast, f"seed={seed}", *overrides)


@pytest.fixture
def long_run(shared_run):
    """A run of six epochs in a sweep over sizes: its configuration and its result."""
    config = seeded(2, "budget.epochs=6")
    sweep = Sweep("sizes", None, ["cell", "model.units", "model.match", "seed"])
    with untraced():
        return config, shared_run(config, sweep)[0]


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm_peephole"])
def test_a_run_leaves_all_that_one_needs_to_know_of_it(cell, shared_run, tmp_path):
    config = seeded(5, f"cell={cell}")
    result, directory = shared_run(config)

    held = tracked(result.run_id)
    assert held.info.status == "FINISHED"
    assert held.info.run_name == f"{cell} seed=5"
    assert held.data.tags["cell"] == cell
    assert held.data.tags["task"] == "agreement"
    assert held.data.tags["seed"] == "5"
    assert held.data.tags["budget"] == "quick"
    assert held.data.tags["data_fingerprint"] == load_task(config).fingerprint
    assert held.data.tags["git_commit"]
    assert held.data.params["model.units"] == "8"
    assert held.data.metrics["test/accuracy"] == result.metrics["accuracy"]
    assert held.data.metrics["parameters"] == result.parameters
    history = mlflow.MlflowClient().get_metric_history(result.run_id, "validation/accuracy")
    assert [m.step for m in history] == [1, 2]
    assert [m.value for m in history] == result.history["validation/accuracy"]
    assert result.history["examples_seen"] == [96, 192]
    assert Progress(directory).fraction == 1.0

    names = {a.path for a in mlflow.MlflowClient().list_artifacts(result.run_id)}
    assert names == {"configuration.yaml", "learning_curves.png", "model", "report.json"}
    folder = mlflow.artifacts.download_artifacts(run_id=result.run_id, dst_path=str(tmp_path / "a"))
    kept = OmegaConf.load(f"{folder}/configuration.yaml")
    assert kept.model.units == 8
    picture = matplotlib.image.imread(f"{folder}/learning_curves.png")
    assert picture[..., :3].std() > 0.05  # not a blank page

    task = load_task(config)
    again = task.evaluate(keras.saving.load_model(f"{folder}/model/model.keras"))
    assert again.metrics == result.metrics


def test_the_same_seed_gives_the_same_run_and_another_seed_another(long_run, tmp_path):
    """Functions are traced in `test_memory`, where a second run ends in the same numbers."""
    with untraced():
        one, same = (run(seeded(5), tmp_path / name) for name in ("one", "same"))
    losses = [each.history["train/loss"][:2] for each in (one, same, long_run[1])]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert not np.allclose(losses[0], losses[2], rtol=1e-3)


@pytest.mark.parametrize("unit", ["simple_rnn", "gru", "lstm"])
def test_a_layer_of_keras_s_own_stands_for_ours_in_a_whole_run(unit, tmp_path):
    measured = ["diagnostics=gradients", "diagnostics.measurements=2", "diagnostics.examples=2"]
    config = configuration(f"cell=keras_{unit}", "budget.epochs=1", *measured)
    result = run(config, tmp_path / "run")
    task, theirs = load_task(config), keras.saving.load_model(result.model_file)
    ours = build(configuration(f"cell={unit}"), task)
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        is_unit = isinstance(layer, layers.Recurrent)
        layer.set_weights((layers.from_keras(other) if is_unit else other).get_weights())
    assert isinstance(ours.layers[-2], layers.Recurrent)
    words = task.validation.inputs
    np.testing.assert_allclose(ours(words), theirs(words), atol=1e-5)


def test_the_best_epoch_on_validation_is_the_one_kept(long_run):
    config, result = long_run
    accuracy, loss = result.history["validation/accuracy"], result.history["validation/loss"]
    ranked = sorted(range(6), key=lambda epoch: (-accuracy[epoch], loss[epoch]))
    assert result.best_epoch == ranked[0] + 1
    model = keras.saving.load_model(result.model_file)
    task = load_task(config)
    compile_model(model, task, config.training)
    found = model.evaluate(
        task.validation.inputs,
        task.validation.targets,
        sample_weight=task.validation.target_mask,
        return_dict=True,
        verbose=0,
    )
    assert found["accuracy"] == pytest.approx(max(accuracy), abs=1e-6)


LONG_LAG = {  # A tiny run of each, and what its test metric is called.
    "adding": (["task=adding", "task.T=6"], "mse"),
    "copying": (["task=copying", "task.T=2"], "cross_entropy"),
    "temporal_order": (["task=temporal_order", "task.T=10", "task.symbols=3"], "accuracy"),
}
TINY = [
    *("budget=quick", "budget.epochs=4", "model.units=8", "training.learning_rate=0.05"),
    *("budget.train_examples=128", "budget.evaluation_examples=64"),
]


def long_lag(task, *overrides):
    return composed(*LONG_LAG[task][0], *TINY, *overrides)


@pytest.mark.parametrize("task", LONG_LAG)
def test_a_task_of_any_inputs_and_answers_runs_and_keeps_its_best_epoch(task, shared_run):
    config, key = long_lag(task), LONG_LAG[task][1]
    result, _ = shared_run(config)
    values, losses = (result.history[f"validation/{name}"] for name in (key, "loss"))
    sign = -1 if key == "accuracy" else 1
    ranked = sorted(range(4), key=lambda epoch: (sign * values[epoch], losses[epoch]))
    assert result.best_epoch == ranked[0] + 1
    held = tracked(result.run_id).data.metrics
    assert held[f"test/{key}"] == result.metrics[key]
    metric = load_task(config).metric
    assert (held["chance_level"], held["solved"]) == (metric.chance_level, metric.solved)
    assert held["parameters"] == result.parameters
    assert result.summary == f"test {metric.name} {metric.text(result.metrics[key])}"
    model = keras.saving.load_model(result.model_file)
    assert load_task(config).evaluate(model).metrics == result.metrics
    compile_model(model, load_task(config), config.training)
    validation = load_task(config).validation
    batch = validation.batch(np.arange(len(validation)))
    found = model.test_on_batch(*batch, return_dict=True)
    assert found[key] == pytest.approx(values[result.best_epoch - 1], rel=1e-4)


def test_another_seed_makes_other_fresh_data(shared_run, tmp_path):
    """The same makes the same: see the fresh examples of `test_resume`."""
    one, _ = shared_run(long_lag("adding"))
    with untraced():
        other = run(long_lag("adding", "seed=2", "budget.epochs=1"), tmp_path / "run")
    assert not np.allclose(one.history["train/loss"][0], other.history["train/loss"][0], rtol=1e-3)


def test_an_embedding_of_vectors_is_refused():
    config = long_lag("adding", "model.embedding=8")
    with pytest.raises(ValueError, match=r"`model.embedding`: expected null, .*adding.*, got 8"):
        build(config, load_task(config))


@pytest.mark.usefixtures("watched", "untraced")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("becomes", [TypeError, None])
def test_an_interrupt_is_kept_where_tensorflow_makes_something_else_of_it(
    number, becomes, tmp_path, monkeypatch
):
    interruption.watch()
    model_of = unrolled.sweeps.run.build

    def interrupted(config, task):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt as interrupt:
            if becomes:
                raise becomes("Expected int32, but got None") from interrupt
        return model_of(config, task)

    monkeypatch.setattr(unrolled.sweeps.run, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(configuration("cell=gru"), tmp_path / "run")
    (found,) = mlflow.MlflowClient().search_runs(["1"])
    assert found.info.status == "FAILED"
    assert "KeyboardInterrupt" in found.data.tags["error"]
    assert "train/loss" not in found.data.metrics


@pytest.mark.usefixtures("untraced")
def test_an_error_while_training_leaves_the_run_failed(tmp_path, monkeypatch):
    def no_room(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", no_room)
    with pytest.raises(OSError, match="No space left"):
        run(configuration(), tmp_path / "run")
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert [r.info.status for r in found] == ["FAILED"]
    assert "No space left on device" in found[0].data.tags["error"]


def test_a_sweeps_runs_are_named_by_what_sets_them_apart(long_run):
    _, result = long_run
    assert result.name == "simple_rnn units=8 match=units seed=2"
    assert tracked(result.run_id).data.tags["variant"] == "simple_rnn units=8 match=units"


def test_matched_by_parameters_a_unit_of_the_same_size_begins_with_the_same_weights():
    models = []
    for match in ("units", "parameters"):
        config = configuration("cell=lstm", f"model.match={match}", "seed=3")
        models.append(build(config, load_task(config)))
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_matched_by_parameters_all_units_have_about_as_many():
    counts = {}
    for cell in ("simple_rnn", "gru_simplified", "gru", "lstm"):
        config = configuration(f"cell={cell}", "model.match=parameters", "model.units=32")
        counts[cell] = build(config, load_task(config)).count_params()
    assert max(counts.values()) / min(counts.values()) < 1.02
    config = configuration("cell=lstm", "model.units=32")
    assert counts["lstm"] == build(config, load_task(config)).count_params()
