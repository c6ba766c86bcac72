"""A user's own units: what their equations may do, and what is rejected."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from unrolled import layers
from unrolled.layers.cell import Cell
from unrolled.layers.gated import GatedCell
from unrolled.layers.recurrent import Recurrent

X = np.random.default_rng(0).normal(size=(2, 20, 3)).astype("float32")


def layer_of(cell, *args, **options):
    """A layer of 4 units over a class of cells."""
    return type("Own", (Recurrent,), {"cell_class": cell})(4, *args, **options)


class Scaled(Cell):
    """Uses a constant tensor, and an option that is neither a number nor a word."""

    sites = states = ("a",)

    def __init__(self, units, *, scales=(0.5, 1.0), **kwargs):
        super().__init__(units, **kwargs)
        self.scales = scales
        self.scale = ops.ones((units,)) * scales[0]

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a)) * self.scale,)


class WithAGain(Cell):
    sites = states = ("a",)

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.add_weight(name="gain", shape=(self.units,), initializer="ones")

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a) * self.gain),)


class WithoutState(Cell):
    sites, states = ("u", "a"), ("a",)

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a)) * recurrent("u"),)


class Looking(Cell):
    sites = states = ("a",)

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a, peephole=a)),)


class Ungated(GatedCell):
    sites = states = ("a",)

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a)),)


def noisy(z):
    return z * tf.cast(tf.random.uniform(tf.shape(z)) < 0.5, z.dtype)


def square_and_gradient(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.square(layer(x, training=True)))
    return tape.gradient(loss, [x, *layer.trainable_variables])


@pytest.mark.parametrize("compiled", [False, True])
def test_equations_may_use_constants(compiled):
    layer = layer_of(Scaled, return_sequences=True)
    reference = keras.layers.RNN(layer.cell, return_sequences=True)
    run = tf.function(square_and_gradient) if compiled else square_and_gradient
    found, expected = run(layer, tf.constant(X)), square_and_gradient(reference, tf.constant(X))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_an_option_of_any_type_is_in_the_configuration():
    layer = layer_of(Scaled, scales=(0.25, 2.0))
    again = type(layer).from_config(layer.get_config())
    assert tuple(again.cell.scales) == (0.25, 2.0)


def test_a_layer_may_define_an_attribute_named_like_an_option():
    own = type("Own", (Recurrent,), {"cell_class": Scaled, "scales": "its own"})
    for layer in (own(4), type("Derived", (own,), {})(4)):
        assert layer.scales == "its own"
        assert layer.units == 4


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", np.int64(3)),
        ("dropout", np.float32(0.5)),
        ("forget_bias", np.float32(2)),
        ("use_bias", np.True_),
        ("longest_lag", np.int64(100)),
    ],
)
def test_numpy_numbers_are_serialized_as_python_numbers(option, value):
    written = layers.LSTM(4, **{option: value}).get_config()[option]
    assert type(written) in (int, float, bool)
    assert written == value


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: layer_of(WithAGain), "no weights except those of sites and peepholes, got .*gain"),
        (lambda: layers.LSTM(4, activation=keras.layers.PReLU()), "no weights except .*alpha"),
        (lambda: layers.SimpleRNN(4, activation=noisy), r"no random numbers.*'RandomUniform'"),
        (lambda: layer_of(WithoutState), r"without a state .*`input_only` alone, \[\]; got \['u'"),
        (lambda: layer_of(Looking), r"`peephole_sites`, \[\]; got \['a'\]"),
    ],
)
def test_equations_with_a_wrong_gradient_are_rejected(layer, message, graph):
    layer = layer()
    with pytest.raises(ValueError, match=message):
        (tf.function(layer) if graph else layer)(X)


def test_rejected_equations_run_in_keras():
    layer = layer_of(WithAGain)
    layer.cell.build((None, 3))
    assert keras.layers.RNN(layer.cell)(X).shape == (2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"longest_lag": -5}, "`longest_lag`: expected a number of steps above 2, got -5"),
        ({"implementation": 7}, "`implementation`: expected 1 or 2, got 7"),
        ({"longest_lag": 50}, "Ungated has no site 'u' or 'f'"),
    ],
)
def test_options_are_checked_if_a_unit_does_not_do_so(options, message):
    with pytest.raises(ValueError, match=message):
        layer_of(Ungated, **options).build((None, None, 3))


@pytest.mark.parametrize(
    "make", [lambda: layers.MinGRU(4, "tanh"), lambda: layer_of(Scaled, "relu")]
)
def test_options_of_units_that_keras_does_not_have_are_keywords(make):
    with pytest.raises(TypeError, match="expected options by name after `units`"):
        make()


def test_a_single_state_may_be_bare_and_a_wrong_number_is_rejected():
    cell = layers.GRUCell(4)
    output, state = cell(X[:, 0], ops.ones((2, 4)))
    in_a_list, (same,) = cell(X[:, 0], [ops.ones((2, 4))])
    np.testing.assert_array_equal(state, same)
    np.testing.assert_array_equal(output, in_a_list)
    with pytest.raises(ValueError, match=r"`states`: expected 2 \(a, c\), got 1"):
        layers.LSTMCell(4)(X[:, 0], ops.ones((2, 4)))


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "SimpleRNNCell"])
def test_state_sizes_and_initial_states_equal_those_of_keras(kind):
    ours, theirs = getattr(layers, kind)(4), getattr(keras.layers, kind)(4)
    assert ours.state_size == theirs.state_size
    assert ours.output_size == theirs.output_size
    states, expected = ours.get_initial_state(3), theirs.get_initial_state(3)
    assert [tuple(state.shape) for state in states] == [tuple(state.shape) for state in expected]
    assert not np.any(states)


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [layers.GRUCell(4), layers.GRUCell(6)],
        lambda: [layers.LSTMCell(4), layers.SimpleRNNCell(6)],
        lambda: [layers.GRUCell(4), keras.layers.LSTMCell(6), keras.layers.GRUCell(3)],
        lambda: [layers.MinGRUCell(5)],
    ],
    ids=["one state each", "two and one", "with those of Keras", "alone"],
)
def test_stacked_cells_equal_stacked_layers(stack, tmp_path):
    cells = stack()
    inputs = keras.Input((None, X.shape[-1]))
    outputs = keras.layers.RNN(cells, return_sequences=True, return_state=True)(inputs)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "stack.keras")
    loaded = keras.saving.load_model(tmp_path / "stack.keras")
    expected, last = X, []
    for cell in cells:
        layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
        expected, *states = layer(expected)
        last += states
    for found in (model(X), loaded(X)):
        sequences, *states = keras.tree.flatten(found)
        np.testing.assert_allclose(sequences, expected, atol=1e-6)
        for one, other in zip(states, last, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    # As of Keras's cells, the state of a unit with one is not in a list.
    found = keras.tree.map_structure(lambda tensor: tensor.shape, list(outputs[1:]))
    one = [(None, cell.units) for cell in cells]
    kinds = [type(cell).__name__ for cell in cells]
    assert found == [[s, s] if k == "LSTMCell" else s for s, k in zip(one, kinds, strict=True)]


def test_an_activation_may_compute_in_another_precision():
    def tanh(z):
        return tf.cast(tf.tanh(tf.cast(z, "float32")), z.dtype)

    layer = layers.LSTM(4, dtype="mixed_bfloat16", activation=tanh)
    plain = layers.LSTM(4, dtype="mixed_bfloat16")
    plain.build(X.shape)
    layer.build(X.shape)
    layer.set_weights(plain.get_weights())
    found, expected = tf.function(layer)(X), tf.function(plain)(X)
    np.testing.assert_allclose(tf.cast(found, "float32"), tf.cast(expected, "float32"), atol=0.02)


def test_without_compilation_the_numbers_are_the_same():
    layer = layers.LSTM(4, return_sequences=True)
    x = tf.constant(np.random.default_rng(1).normal(size=(3, 90, 2)), tf.float32)
    compiled = tf.function(square_and_gradient)(layer, x)
    layer.jit_compile = False
    function = tf.function(square_and_gradient)
    operations = function.get_concrete_function(layer, x).graph.as_graph_def().library.function
    assert not any(f.attr["_XlaMustCompile"].b for f in operations)
    for ours, theirs in zip(function(layer, x), compiled, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
