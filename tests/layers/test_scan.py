"""The scan against `keras.layers.RNN` over the same cell, and against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import layers

UNITS, SHAPE = 4, (3, 7, 5)
ALL = [
    layers.SimpleRNN,
    layers.SimplifiedGRU,
    layers.GRU,
    layers.LSTM,
    layers.PeepholeLSTM,
]
MASKS = {
    "no mask": None,
    "right": np.arange(7) < np.array([[7], [3], [5]]),
    "left": np.arange(7) >= np.array([[0], [3], [5]]),
    "holes": np.random.default_rng(5).random(SHAPE[:2]) < 0.6,
    "nothing": np.zeros(SHAPE[:2], bool),
}
OPTIONS = [{}, {"go_backwards": True}, {"zero_output_for_mask": True}, {"unroll": True}]


def results_and_gradients(layer, x, states, mask):
    """All that a layer returns, and the gradients of a function of all of it."""
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        results = layer(x, initial_state=states, mask=mask)
        loss = sum(tf.reduce_sum(tf.sin((i + 1) * r)) for i, r in enumerate(results))
    gradients = tape.gradient(loss, [x, *states, *layer.trainable_weights])
    return [*results, *gradients]


@pytest.mark.parametrize("unit", ALL)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scan_equals_the_step_by_step_reference(unit, mask, options):
    rng = np.random.default_rng(0)
    shared = {"return_sequences": True, "return_state": True, "dtype": "float64", **options}
    layer = unit(UNITS, **shared)
    reference = keras.layers.RNN(layer.cell, **{**shared, "unroll": False})
    x = tf.constant(rng.normal(size=SHAPE))
    states = [tf.constant(rng.normal(size=(SHAPE[0], UNITS))) for _ in layer.cell.state_size]
    layer.build(SHAPE)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    mask = None if MASKS[mask] is None else tf.constant(MASKS[mask])

    eager = results_and_gradients(layer, x, states, mask)
    graph = tf.function(lambda: results_and_gradients(layer, x, states, mask))()
    expected = results_and_gradients(reference, x, states, mask)

    for ours, compiled, theirs in zip(eager, graph, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-11)
        np.testing.assert_allclose(compiled, theirs, atol=1e-11)


VARIANTS = [
    (layers.LSTM, {"forget_gate": "coupled", "peepholes": "gers"}),
    (layers.LSTM, {"update_gate": False, "output_activation": False}),
    (layers.LSTM, {"gate_recurrence": True}),
    (layers.LSTM, {"longest_lag": 20}),
    (layers.GRU, {"relevance_gate": "shared"}),
    (layers.GRU, {"reset_after": True}),
    (layers.SimpleRNN, {"activation": "relu", "recurrent_initializer": "identity"}),
]


@pytest.mark.parametrize(("unit", "gates"), VARIANTS, ids=str)
def test_variants_equal_the_step_by_step_reference(unit, gates):
    rng = np.random.default_rng(0)
    shared = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    layer = unit(UNITS, **shared, **gates)
    reference = keras.layers.RNN(layer.cell, **shared)
    x = tf.constant(rng.normal(size=SHAPE))
    states = [tf.constant(rng.normal(size=(SHAPE[0], UNITS))) for _ in layer.cell.state_size]
    layer.build(SHAPE)
    mask = tf.constant(MASKS["holes"])
    ours = results_and_gradients(layer, x, states, mask)
    expected = results_and_gradients(reference, x, states, mask)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)


@pytest.mark.parametrize("unit", ALL)
def test_gradients_equal_finite_differences(unit):
    rng = np.random.default_rng(2)
    layer = unit(UNITS, dtype="float64")
    x = tf.constant(rng.normal(size=SHAPE))
    direction = rng.normal(size=(SHAPE[0], UNITS))
    layer.build(SHAPE)

    def loss():
        return tf.reduce_sum(layer(x) * direction)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, layer.trainable_weights)
    step = 1e-6
    for variable, gradient in zip(layer.trainable_weights, gradients, strict=True):
        start = variable.numpy()
        for index in rng.permutation(list(np.ndindex(*start.shape)))[:8]:
            change = np.zeros_like(start)
            change[tuple(index)] = step
            variable.assign(start + change)
            above = loss()
            variable.assign(start - change)
            below = loss()
            variable.assign(start)
            numeric = (above - below) / (2 * step)
            np.testing.assert_allclose(gradient[tuple(index)], numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("unit", ALL)
def test_padded_and_masked_equals_trimmed(unit):
    rng = np.random.default_rng(3)
    layer = unit(UNITS)
    x = rng.normal(size=(1, 9, 5)).astype("float32")
    padded = np.concatenate([x, 100 * np.ones((1, 6, 5), "float32")], axis=1)
    mask = np.arange(15)[None] < 9
    np.testing.assert_allclose(layer(padded, mask=mask), layer(x), atol=1e-6)


def test_second_derivatives_are_refused_not_wrong():
    layer = layers.GRU(UNITS)
    x = tf.random.normal(SHAPE)
    for wrap in (lambda f: f, tf.function):

        def twice():
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    loss = tf.reduce_sum(layer(x))
                slope = inner.gradient(loss, x)
            return outer.gradient(slope, x)

        with pytest.raises(NotImplementedError, match=r"keras.layers.RNN\(layer.cell\)"):
            wrap(twice)()


class Detached(layers.SimplifiedGRUCell):
    """A gate that learns from its input and its bias, but sends no gradient into the past."""

    def equations(self, recurrent, c):
        c_tilde = tf.tanh(recurrent("c", c))
        gamma_u = tf.sigmoid(recurrent("u", tf.stop_gradient(c)))
        return (gamma_u * c_tilde + (1 - gamma_u) * c,)


class DetachedGRU(layers.Recurrent):
    cell_class = Detached


def test_what_stops_a_gradient_stops_no_more_than_that():
    rng = np.random.default_rng(4)
    shared = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    layer = DetachedGRU(UNITS, **shared)
    reference = keras.layers.RNN(layer.cell, **shared)
    x, state = tf.constant(rng.normal(size=SHAPE)), tf.constant(rng.normal(size=(SHAPE[0], UNITS)))
    layer.build(SHAPE)
    ours = results_and_gradients(layer, x, [state], None)
    expected = results_and_gradients(reference, x, [state], None)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)


class Twice(Detached):
    def equations(self, recurrent, c):
        return (recurrent("u", c) + recurrent("u", c),)


class Bare(Detached):
    def equations(self, recurrent, c):
        return recurrent("u", c) + recurrent("c", c)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Twice, r"Twice.equations: expected `recurrent` to be called once for each of the sites"),
        (Bare, r"Bare.equations: expected a tuple of 1 states"),
    ],
)
def test_equations_that_do_not_keep_to_the_rules_are_refused(cell, message):
    class Mistaken(layers.Recurrent):
        cell_class = cell

    with pytest.raises(ValueError, match=message):
        Mistaken(UNITS)(tf.zeros(SHAPE))
