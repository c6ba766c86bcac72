"""Weights are exchanged with Keras's layers if they mean the same, and rejected otherwise."""

import json
import zipfile
from functools import partial
from itertools import product

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers

INPUTS, UNITS = 4, 4  # As many inputs as units: the two kernels of a unit have one shape.


class Squared(layers.LSTMCell):
    """A unit of one's own with the weights of the LSTM."""

    def equations(self, recurrent, a, c):
        a, c = super().equations(recurrent, a, c)
        return a**2, c


class OwnLSTM(layers.LSTM):
    cell_class = Squared


NO_GATES = {"update_gate": False, "forget_gate": False, "output_gate": False}
KERAS_GRU = partial(keras.layers.GRU, reset_after=False)
CONFUSABLE = {
    "GRU": (layers.GRU, KERAS_GRU),
    "GRU, no bias": (
        partial(layers.GRU, use_bias=False),
        partial(keras.layers.GRU, use_bias=False),
    ),
    "reset after": (
        partial(layers.variants.GRU, reset_after=True, use_bias=False),
        partial(keras.layers.GRU, use_bias=False),
    ),
    "MUT3": (
        partial(layers.variants.GRU, state_in_update_gate="tanh", unweighted_input=False),
        KERAS_GRU,
    ),
    "CIFG": (partial(layers.variants.LSTM, forget_gate="coupled"), KERAS_GRU),
    "NIG": (partial(layers.variants.LSTM, update_gate=False), KERAS_GRU),
    "no gates": (partial(layers.variants.LSTM, **NO_GATES), keras.layers.SimpleRNN),
    "NIAF": (partial(layers.variants.LSTM, candidate_activation=False), keras.layers.LSTM),
    "NOAF": (partial(layers.variants.LSTM, output_activation=False), keras.layers.LSTM),
    "a unit of one's own": (OwnLSTM, keras.layers.LSTM),
    "MinGRU": (layers.MinGRU, lambda units: keras.layers.Dense(2 * units)),
}
SAME = {
    "LSTM": (layers.LSTM, keras.layers.LSTM),
    "SimpleRNN": (layers.SimpleRNN, keras.layers.SimpleRNN),
}
AROUND = {
    "layer": lambda make: make(UNITS, name="unit"),
    "Bidirectional": lambda make: keras.layers.Bidirectional(make(UNITS), name="unit"),
    "cell": lambda make: keras.layers.RNN(cell_of(make), name="unit"),
}


def cell_of(make):
    cell = make(UNITS).cell
    return type(cell).from_config({**cell.get_config(), "name": "cell"})


def model_of(make, around="layer"):
    return keras.Sequential([keras.Input((None, INPUTS)), AROUND[around](make)])


def built(make):
    layer = make(UNITS)
    layer.build((None, None, INPUTS))
    return layer


def through_a_file(source, target, folder, name, **options):
    path = folder / name
    (source.save_weights if name.endswith(".weights.h5") else source.save)(path)
    target.load_weights(path, **options)


ROUTES = {
    "set_weights": lambda a, b, _: b.set_weights(a.get_weights()),
    "of the layer": lambda a, b, _: b.layers[0].set_weights(a.layers[0].get_weights()),
    "weights.h5": partial(through_a_file, name="some.weights.h5"),
    "keras": partial(through_a_file, name="model.keras"),
    "h5": partial(through_a_file, name="model.h5"),
    "h5 by name": partial(through_a_file, name="model.h5", by_name=True),
}


@pytest.mark.parametrize("case", CONFUSABLE)
def test_weights_with_another_meaning_are_rejected_in_both_directions(case):
    ours, theirs = map(built, CONFUSABLE[case])
    trained, before = ours.get_weights(), theirs.get_weights()
    assert [w.shape for w in ours.trainable_weights] == [w.shape for w in theirs.weights]
    with pytest.raises(ValueError, match=r"(?s)weights.*got.*layers\.from_keras"):
        ours.set_weights(before)
    with pytest.raises(ValueError, match=r"(?s)weights.*got.*layers\.from_keras"):
        ours.cell.set_weights(before)
    with pytest.raises(ValueError, match="weight list of length"):
        theirs.set_weights(trained)
    for one, other in zip(ours.get_weights(), trained, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("route", "around"),
    [
        *[(route, "layer") for route in ROUTES],
        *product(("set_weights", "weights.h5"), ("Bidirectional", "cell")),
    ],
)
def test_no_way_of_loading_confuses_the_gru_of_keras_with_ours(route, around, tmp_path):
    ours, theirs = (model_of(make, around) for make in CONFUSABLE["GRU"])
    for source, target in ((theirs, ours), (ours, theirs)):
        with pytest.raises(ValueError, match=r"(?i)weight|variable") as refusal:
            ROUTES[route](source, target, tmp_path)
        if target is ours and route in ("weights.h5", "keras"):
            assert "layers.from_keras" in str(refusal.value)


def through_a_checkpoint(source, target, folder):
    path = tf.train.Checkpoint(model=source).save(folder / "checkpoint")
    return tf.train.Checkpoint(model=target).restore(path)


def test_checkpoints_of_tensorflow_exchange_no_gru_with_keras(tmp_path):
    ours, theirs = map(model_of, CONFUSABLE["GRU"])
    for source, target in ((theirs, ours), (ours, theirs)):
        before = target.get_weights()
        status = through_a_checkpoint(source, target, tmp_path)
        with pytest.raises(AssertionError, match="not bound"):
            status.assert_existing_objects_matched()
        for one, other in zip(target.trainable_weights, before, strict=False):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("around", AROUND)
def test_checkpoints_of_tensorflow_load_ours_from_ours(around, tmp_path):
    source, target = (model_of(layers.GRU, around) for _ in range(2))
    for weight in source.weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    status = through_a_checkpoint(source, target, tmp_path)
    status.assert_existing_objects_matched().assert_consumed()
    for one, other in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_may_be_read_before_the_layer_is_built(tmp_path):
    ours, theirs = (partial(make, bias_initializer="ones") for make in CONFUSABLE["GRU"])
    for source, make in ((built(theirs), ours), (built(ours), theirs), (built(ours), ours)):
        target = make(UNITS, bias_initializer="zeros")
        through_a_checkpoint(source, target, tmp_path)
        target.build((None, None, INPUTS))
        of_one_kind = type(source) is type(target)
        for one, other in zip(target.trainable_weights, source.trainable_weights, strict=True):
            assert np.array_equal(one, other) == of_one_kind


class WithLayersOfItsOwn(keras.Model):
    def __init__(self, make):
        super().__init__()
        self.unit = make(UNITS, name="unit")
        self.unit.build((None, None, INPUTS))

    def call(self, inputs):
        return self.unit(inputs)


def test_a_subclassed_model_says_why_it_rejects_the_weights(tmp_path):
    ours, theirs = map(WithLayersOfItsOwn, CONFUSABLE["GRU"])
    for model in (ours, theirs):
        model(np.zeros((1, 1, INPUTS)))
    with pytest.raises(ValueError, match=r"layers\.from_keras"):
        ROUTES["weights.h5"](theirs, ours, tmp_path)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("unit", SAME)
def test_weights_that_mean_the_same_are_exchanged(unit, route, tmp_path):
    ours, theirs = map(model_of, SAME[unit])
    for source, target in ((theirs, ours), (ours, theirs)):
        for weight in source.weights:
            weight.assign(np.random.default_rng(1).normal(size=weight.shape))
        ROUTES[route](source, target, tmp_path)
        for one, other in zip(target.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("route", ROUTES)
def test_ours_load_from_ours(route, tmp_path):
    source, target = (model_of(layers.GRU) for _ in range(2))
    ROUTES[route](source, target, tmp_path)
    for one, other in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_marker_is_no_parameter_and_not_trained():
    ours, theirs = map(model_of, CONFUSABLE["GRU"])
    assert ours.count_params() == theirs.count_params()
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)
    clone = keras.models.clone_model(ours)
    clone.set_weights(ours.get_weights())
    assert [w.shape for w in clone.weights] == [w.shape for w in ours.weights]


def is_empty(item):
    return isinstance(item, h5py.Dataset) and item.shape == (0,)


def as_saved_without_a_marker(path):
    """Rewrite a `.keras` file to what was saved then."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    text = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(without_marker(text)).encode()
    weights = path.with_suffix(".h5")
    weights.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if is_empty(item) else None)
        assert found
        for name in found:
            del file[name]
    parts["model.weights.h5"] = weights.read_bytes()
    with zipfile.ZipFile(path, "w") as file:
        for name, part in parts.items():
            file.writestr(name, part)


def without_marker(part):
    if isinstance(part, dict):
        return {k: without_marker(v) for k, v in part.items() if k != "unlike_keras"}
    return [without_marker(v) for v in part] if isinstance(part, list) else part


@pytest.mark.parametrize("around", AROUND)
def test_a_model_saved_without_a_marker_loads_once(around, tmp_path):
    path = tmp_path / "model.keras"
    model = model_of(layers.GRU, around)
    model.save(path)
    as_saved_without_a_marker(path)
    loaded = keras.saving.load_model(path)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"an earlier version.*as \.keras"):
        loaded.load_weights(path)
    loaded.save(tmp_path / "again.keras")
    loaded.load_weights(tmp_path / "again.keras")


@pytest.mark.parametrize("around", ["layer", "Bidirectional"])
def test_a_gru_of_keras_saved_under_our_name_is_rejected(around, tmp_path):
    named = keras.saving.register_keras_serializable("tests")
    theirs = named(type("Migrated", (keras.layers.GRU,), {}))
    path = tmp_path / "model.keras"
    model_of(partial(theirs, reset_after=False), around).save(path)
    named(type("Migrated", (layers.GRU,), {}))
    with pytest.raises(ValueError, match=r"layers\.from_keras"):
        keras.saving.load_model(path)


def test_unmarked_weights_of_a_wrong_shape_do_not_use_up_the_exception():
    cell = cell_of(layers.GRU)
    cell.build_from_config({"input_shape": (None, INPUTS)})
    fitting = {str(n): np.ones(w.shape) for n, w in enumerate(cell.trainable_weights)}
    with pytest.raises(ValueError, match="shape"):
        cell.load_own_variables({**fitting, "0": np.ones(1)})
    cell.load_own_variables(fitting)
    np.testing.assert_array_equal(cell.kernel, fitting["0"])
