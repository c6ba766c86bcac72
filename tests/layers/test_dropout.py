"""Dropout: masks, rates, scaling, and seeds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers

ELEMENTS = 64, 32
X = np.random.default_rng(0).normal(size=(4, 16, 3)).astype("float32")

# One step of a unit without σ and tanh, from a state of 1 (c<0> of an LSTM: 0), that sees no input
# and by every gate's weights nothing but the state's own element: a gate is then its mask's
# element, 0 or 2 with a probability of 1/2 each, and the output is what the equation makes of them.
# With one mask for all gates there would be two values, half of the elements each.
LINEAR = {"activation": "linear", "kernel_initializer": "zeros", "bias_initializer": "zeros"}
GATED = {**LINEAR, "recurrent_activation": "linear"}
AFTER_ONE_STEP = [
    (layers.SimpleRNN, LINEAR, {0: 1 / 2, 2: 1 / 2}),
    (layers.SimplifiedGRU, GATED, {1: 1 / 2, -1: 1 / 4, 3: 1 / 4}),
    (layers.GRU, GATED, {1: 1 / 2, -1: 3 / 8, 7: 1 / 8}),
    (layers.variants.GRU, {**GATED, "reset_after": True}, {1: 1 / 2, -1: 3 / 8, 7: 1 / 8}),
    (layers.LSTM, GATED, {0: 7 / 8, 8: 1 / 8}),
    (layers.PeepholeLSTM, GATED, {0: 7 / 8, 8: 1 / 8}),
]


def own_element_by_every_gate(shape, dtype=None):
    units, columns = shape
    return np.tile(np.eye(units), columns // units).astype(dtype)


@pytest.mark.parametrize(("unit", "linear", "expected"), AFTER_ONE_STEP)
@pytest.mark.parametrize("unroll", [False, True])
def test_every_gate_has_a_recurrent_mask_of_its_own(unit, linear, expected, unroll):
    batch, size = ELEMENTS
    start = {"recurrent_initializer": own_element_by_every_gate, "recurrent_dropout": 0.5}
    layer = unit(size, seed=3, unroll=unroll, **start, **linear)
    states = [np.ones(ELEMENTS, "float32"), np.zeros(ELEMENTS, "float32")]
    states = states[: len(layer.cell.states)]
    outputs = layer(np.zeros((batch, 1, 1), "float32"), initial_state=states, training=True)
    values, counts = np.unique(outputs, return_counts=True)
    assert list(values) == sorted(expected)
    rates = [expected[value] for value in values]
    four_standard_errors = 4 * np.sqrt(0.25 / np.prod(ELEMENTS))
    np.testing.assert_allclose(counts / counts.sum(), rates, atol=four_standard_errors)


def test_a_mask_is_the_same_at_every_step_and_another_in_every_batch():
    batch, size = ELEMENTS
    layer = layers.SimpleRNN(
        size,
        return_sequences=True,
        recurrent_dropout=0.5,
        recurrent_initializer="identity",
        **LINEAR,
    )
    ones, steps = np.ones(ELEMENTS, "float32"), np.zeros((batch, 3, 1), "float32")
    first, other = (layer(steps, initial_state=ones, training=True).numpy() for _ in range(2))
    mask = first[:, 0] > 0
    np.testing.assert_array_equal(first, np.stack([2 * mask, 4 * mask, 8 * mask], axis=1))
    assert 0.3 < np.mean((other[:, 0] > 0) == mask) < 0.7


@pytest.mark.parametrize("drop", ["dropout", "recurrent_dropout"])
def test_a_seed_determines_the_dropout_masks(unit, drop):
    layer = unit(4, seed=5, **{drop: 0.5})
    layer.build(X.shape)
    again = type(layer).from_config(layer.get_config())
    other = unit(4, seed=6, **{drop: 0.5})
    unrolled = unit(4, seed=5, unroll=True, **{drop: 0.5})
    for same in (again, other, unrolled):
        same.build(X.shape)
        same.set_weights(layer.get_weights())
    outputs = layer(X, training=True)
    np.testing.assert_allclose(tf.function(again)(X, training=True), outputs, atol=1e-6)
    np.testing.assert_allclose(unrolled(X, training=True), outputs, atol=1e-6)
    assert not np.allclose(other(X, training=True), outputs)
    np.testing.assert_allclose(other(X), again(X), atol=1e-6)  # Not in training: nothing is.


def test_a_model_trained_twice_from_one_seed_is_the_same():
    def weights():
        keras.utils.set_random_seed(4)
        model = keras.Sequential([layers.GRU(2, dropout=0.3, recurrent_dropout=0.3)])
        model.compile("sgd", "mse")
        model.fit(X[:, :4], np.ones((4, 2)), epochs=2, verbose=0)
        return model.get_weights()

    for one, other in zip(weights(), weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
