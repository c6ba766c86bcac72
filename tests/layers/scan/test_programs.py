"""For how many sizes a layer compiles, and which layers share programs."""

import gc
import re
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from unrolled import layers
from unrolled.layers.gru import SimplifiedGRUCell
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.scan import programs, size_limits
from unrolled.sweeps.memory import graphs_released

GRU = layers.SimplifiedGRU
INPUTS = 3
STEPS = 16
"""The fewest steps that are compiled."""


def built(layer):
    layer.build((None, None, INPUTS))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) / 2 for w in layer.get_weights()])
    return layer


def sequences(batch, steps=STEPS):
    rng = np.random.default_rng(batch)
    return tf.constant(rng.normal(size=(batch, steps, INPUTS)), "float32")


def learn(layer, x):
    """Outputs and gradients."""
    with tf.GradientTape() as tape:
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, "float32")))
    return [outputs, *tape.gradient(loss, layer.trainable_weights)]


def traced(layer, batch=None, steps=STEPS):
    shape = tf.TensorSpec((batch, steps, INPUTS))
    return tf.function(lambda x: learn(layer, x)).get_concrete_function(shape)


def predicting(layer, batch=None, steps=STEPS):
    return tf.function(layer).get_concrete_function(tf.TensorSpec((batch, steps, INPUTS)))


def compiled_in(function):
    """Names of the compiled functions that a function calls."""
    library = function.graph.as_graph_def().library.function
    return {each.signature.name for each in library if each.attr["_XlaMustCompile"].b}


def assert_learns_as_eagerly(function, layer, batch):
    x = sequences(batch)
    for found, expected in zip(function(x), learn(layer, x), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


@pytest.fixture
def two_sizes(monkeypatch):
    monkeypatch.setattr(size_limits, "MOST_SIZES", 2)


@pytest.fixture
def compiled_for(monkeypatch):
    """For which batch sizes a loop was compiled, in order; they are not in truth."""
    sizes = []

    class Recorded(programs.Program):
        captures, plain = False, None

        def __init__(self, function, *_):
            self.plain = function

        def compiled(self, *arguments):
            batch = tf.shape(tf.nest.flatten(arguments[-1])[0])[0]
            tf.py_function(lambda size: sizes.append(int(size)), [batch], [])
            return self.plain(*arguments)

    monkeypatch.setattr(programs, "Program", Recorded)
    return sizes


@pytest.mark.usefixtures("two_sizes")
@pytest.mark.parametrize(
    ("wrap", "steps"), [(lambda layer: layer, None), (keras.layers.Bidirectional, STEPS)]
)
def test_a_layer_compiles_for_the_first_batch_sizes(wrap, steps, compiled_for):
    layer = wrap(GRU(2))
    layer.build((None, None, INPUTS))
    function = traced(layer, steps=steps)
    for batch in (5, 3, 4, 5, 1, 3, 4):
        function(sequences(batch))
    both_passes = 4 if isinstance(layer, keras.layers.Bidirectional) else 2
    assert sorted(compiled_for) == sorted([5, 3, 5, 3] * both_passes)


@pytest.mark.usefixtures("two_sizes")
def test_a_size_that_is_not_compiled_is_logged_once(compiled_for, capfd, caplog):
    function = predicting(built(GRU(2, name="counted")))
    for batch in (1, 2, 3, 4):
        function(sequences(batch))
    assert len(re.findall("counted.*: compiled for", capfd.readouterr().err)) == 1
    layer = built(GRU(2, name="counted_when_traced"))
    for batch in (1, 2, 3, 4):
        predicting(layer, batch)
    assert len(re.findall("counted_when_traced.*: compiled for", caplog.text)) == 1
    assert set(compiled_for) == {1, 2}


@pytest.mark.usefixtures("two_sizes")
def test_prediction_compiles_for_the_first_batch_sizes_too(compiled_for):
    layer = built(GRU(2))
    function = predicting(layer)
    for batch in (5, 3, 4, 5, 1):
        np.testing.assert_allclose(function(sequences(batch)), layer(sequences(batch)), atol=1e-6)
    assert compiled_for == [5, 3, 5]


def test_a_layer_learns_the_same_compiled_or_not(monkeypatch):
    monkeypatch.setattr(size_limits, "MOST_SIZES", 1)
    layer = built(layers.GRU(2))
    function = traced(layer)
    for batch in (3, 2, 3):
        assert_learns_as_eagerly(function, layer, batch)


@pytest.mark.usefixtures("two_sizes")
def test_batch_sizes_known_while_tracing_are_counted_for_each_layer():
    layer = built(GRU(2))
    other = built(GRU(2))
    compiled = [bool(compiled_in(predicting(layer, batch))) for batch in (1, 2, 3, 2, 4)]
    assert compiled == [True, True, False, True, False]
    assert compiled_in(predicting(other, 3))


@pytest.mark.usefixtures("two_sizes")
def test_many_known_lengths_share_programs():
    layer = built(GRU(2))
    functions = [predicting(layer, 2, steps) for steps in range(STEPS, STEPS + 4)]
    first, second, third, fourth = map(compiled_in, functions)
    assert not first & second
    assert third == fourth
    assert not third & (first | second)
    x = sequences(2, STEPS + 3)
    np.testing.assert_allclose(functions[-1](x), layer(x), atol=1e-6)


def test_a_model_with_any_batch_size_is_exported_and_compiled_from_outside(tmp_path):
    module = tf.Module()
    module.layer = layer = built(GRU(2))
    module.call = tf.function(layer, input_signature=[tf.TensorSpec((None, STEPS, INPUTS))])
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    x = sequences(2)
    for call in (loaded.call, tf.function(lambda x: loaded.call(x), jit_compile=True)):
        np.testing.assert_allclose(call(x), layer(x), atol=1e-6)


def test_freezing_a_model_does_not_change_another_that_shares_its_programs(tmp_path):
    layer, other = built(GRU(2)), built(GRU(2))
    x = sequences(2)
    (frozen,) = convert_variables_to_constants_v2(predicting(layer))(x)
    np.testing.assert_allclose(frozen, layer(x), atol=1e-6)
    module = tf.Module()
    module.layer, module.call = other, tf.function(other)
    module.call.get_concrete_function(tf.TensorSpec(x.shape))
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(loaded.call(x), other(x), atol=1e-6)


class Own(SimplifiedGRUCell):
    """A cell whose equations read what is no option."""

    def equations(self, recurrent, c):
        (c,) = super().equations(recurrent, c)
        return (c * tf.reduce_mean(self.gains, axis=0),)


class OwnLayer(Recurrent):
    cell_class = Own


def own(gains):
    layer = OwnLayer(2)
    layer.cell.gains = gains
    return layer


def gains(value):
    """Large enough to be captured instead of written into a graph."""
    return tf.constant(value, "float32", (200, 1))


class Swapped(SimplifiedGRUCell):
    """The equations as they are, but with the columns of the sites in the other order."""

    sites = tuple(reversed(SimplifiedGRUCell.sites))


class SwappedLayer(Recurrent):
    cell_class = Swapped


def tanh_of_slope(slope):
    """The same values whatever the slope, and other derivatives."""

    @tf.custom_gradient
    def tanh(x):
        return tf.tanh(x), lambda d: slope * d

    return tanh


DIFFERENT = {
    "activation": lambda: (GRU(2), GRU(2, activation="relu")),
    "number": lambda: (own([[1.0]]), own([[0.5]])),
    "tensor": lambda: (own(gains(1)), own(gains(0.5))),
    "order of columns": lambda: (GRU(2), SwappedLayer(2)),
}


@pytest.mark.parametrize("layers_of", DIFFERENT.values(), ids=DIFFERENT)
def test_layers_that_compute_something_else_share_nothing(layers_of):
    one, other = map(built, layers_of())
    functions = predicting(one), predicting(other)
    assert not compiled_in(functions[0]) & compiled_in(functions[1])
    for function, layer in zip(functions, (one, other), strict=True):
        np.testing.assert_allclose(function(sequences(2)), layer(sequences(2)), atol=1e-6)
        assert_learns_as_step_by_step(layer)


def test_layers_of_other_derivatives_share_the_forward_pass_alone():
    one, other = (built(GRU(2, activation=tanh_of_slope(slope))) for slope in (1.0, 0.5))
    functions = traced(one), traced(other)
    assert len(compiled_in(functions[0]) & compiled_in(functions[1])) == 1
    assert compiled_in(functions[0]) != compiled_in(functions[1])
    for layer in (one, other):
        assert_learns_as_step_by_step(layer)


def assert_learns_as_step_by_step(layer):
    """With the equations themselves, which share nothing."""
    x = sequences(2)
    expected = learn(keras.layers.RNN(layer.cell), x)
    for found, close in zip(traced(layer)(x), expected, strict=True):
        np.testing.assert_allclose(found, close, atol=1e-5)


def test_layers_that_compute_the_same_share_their_programs():
    one = built(layers.LSTM(2, kernel_initializer="zeros", name="one"))
    other = built(layers.LSTM(2, dropout=0.5, seed=3, name="other"))
    other.set_weights([weight / 2 for weight in other.get_weights()])
    shared = compiled_in(traced(one))
    assert compiled_in(traced(other)) == shared
    other.cell.dropout = 0
    function = traced(other)
    assert compiled_in(function) == shared
    assert_learns_as_eagerly(function, other, 2)


def test_programs_outlive_a_layer_and_do_not_reference_it():
    layer = built(GRU(2))
    with graphs_released():
        function = traced(layer)
        shared = compiled_in(function)
    seen = weakref.ref(layer.cell)
    del layer, function
    gc.collect()
    assert seen() is None
    again = built(GRU(2))
    function = traced(again)
    assert compiled_in(function) == shared
    assert_learns_as_eagerly(function, again, 2)


def test_a_known_program_is_not_traced_again(monkeypatch):
    """Unless a gradient was written for its equations, which only a trace can tell from another."""
    slope = tanh_of_slope(0.5)
    for options in ({}, {"activation": slope}):
        predicting(built(GRU(2, **options)))
    compiled = []
    traced_before = programs._traced

    def recorded(*arguments, jit_compile=None):
        compiled.append(jit_compile)
        return traced_before(*arguments, jit_compile=jit_compile)

    monkeypatch.setattr(programs, "_traced", recorded)
    predicting(built(GRU(2)))
    assert not compiled
    predicting(built(GRU(2, activation=slope)))
    assert compiled == [True]
    predicting(built(GRU(2, activation="softsign")))
    assert compiled == [True, True, None]


def test_the_number_of_stored_programs_is_limited(monkeypatch):
    monkeypatch.setattr(programs, "MOST_PROGRAMS", 1)
    first, again, other = built(GRU(2)), built(GRU(2)), built(GRU(3))
    shared = compiled_in(predicting(first))
    assert compiled_in(predicting(again)) == shared
    assert not compiled_in(predicting(other)) & shared
    assert not compiled_in(predicting(again)) & shared
