"""Gradients over 500 steps, far beyond the range of float64, compared with known values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.diagnostics import FlowMeter

STEPS = 500
LAGS = np.arange(STEPS)[::-1]


@keras.saving.register_keras_serializable("tests")
class Product(keras.layers.Layer):
    """a<t> = x<t> * a<t-1>, so that dL/da<t> is dL/da<T> times all x after t."""

    state_size = output_size = 1

    def call(self, x, states):
        a = x * states[0]
        return a, [a]


def simple_rnn(factor, **options):
    """A layer of one unit, a<t> = factor * a<t-1> + x<t>."""
    return layers.SimpleRNN(
        1,
        activation="linear",
        kernel_initializer="ones",
        recurrent_initializer=keras.initializers.Constant(factor),
        **options,
    )


def measured(recurrent, x, **options):
    """Returns the flows of a loss that is 3 at the last output; its gradient at 0 is -6."""
    model = keras.Sequential([keras.Input((None, x.shape[-1])), *recurrent])
    model.compile(loss="mse")
    return FlowMeter(model).measure(x, np.full((len(x), 1), 3.0), **options)


@pytest.mark.parametrize("factor", [0.5, 2.0**-30, 1.0, 16.0])
def test_a_unit_that_shrinks_or_grows_by_the_same_factor_at_every_step(factor):
    """The weights are powers of 2, which are exact in float32."""
    (flow,) = measured([simple_rnn(factor)], np.zeros((2, STEPS, 1)))
    found = flow.log10_norms - np.log10(3)  # Two examples: each has half of the gradient.
    np.testing.assert_allclose(found, np.log10(factor) * LAGS * np.ones((2, 1)), atol=1e-10)
    np.testing.assert_array_equal(flow.lags, LAGS * np.ones((2, 1)))


def test_the_gradients_of_two_shrinking_layers_add_up_over_all_bands():
    """The lower layer's gradient is a sum over the step at which a path changes layers."""
    lower, upper = 2.0**-4, 2.0**-5
    stack = [simple_rnn(lower, return_sequences=True), simple_rnn(upper)]
    below, above = measured(stack, np.zeros((1, STEPS, 1)))
    ratio = upper / lower
    sums = (1 - ratio ** (LAGS + 1)) / (1 - ratio)
    expected = np.log10(lower) * LAGS + np.log10(sums)
    np.testing.assert_allclose(below.log10_norms[0] - np.log10(6), expected, atol=1e-10)
    np.testing.assert_allclose(
        above.log10_norms[0] - np.log10(6), np.log10(upper) * LAGS, atol=1e-10
    )


def test_gradients_that_shrink_and_grow_again_and_examples_that_differ():
    x = np.ones((4, STEPS, 1))
    x[0, 100:200], x[0, 200:300] = 2.0**40, 2.0**-40
    x[1, 100:200], x[1, 200:300] = 2.0**-40, 2.0**40
    x[2, 250] = 0
    x[3] = 2.0**-9
    (flow,) = measured([keras.layers.RNN(Product())], x)
    logs = np.log10(x[:, :, 0], where=x[:, :, 0] > 0, out=np.full(x.shape[:2], -np.inf))
    logs = np.roll(logs, -1, axis=1)
    logs[:, -1] = 0
    after = np.cumsum(logs[:, ::-1], axis=1)[:, ::-1]
    assert (after[2] == -np.inf).sum() == 250
    assert after.min(initial=0, where=after > -np.inf) < -1200
    assert after.max() > 1200
    np.testing.assert_allclose(flow.log10_norms - np.log10(6 / 4), after, atol=1e-10)


@pytest.mark.parametrize("unit", [layers.GRU, keras.layers.LSTM])
def test_units_that_forget_all_but_a_ten_thousandth_at_every_step(unit):
    """Compared with one backward step at a time, each from a gradient of norm 1."""
    model = keras.Sequential([keras.Input((None, 3), dtype="float64"), unit(4, dtype="float64")])
    model.compile(loss="mse")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.003)
    bias = model.weights[2].numpy()
    if unit is layers.GRU:
        bias[:4] = 9  # b_u
    else:
        bias[4:8] = -9  # b_f
    model.weights[2].assign(bias)
    x, targets = rng.normal(size=(2, STEPS, 3)), rng.normal(size=(2, 4))
    flows = FlowMeter(model).measure(x, targets)

    cell = model.layers[0].cell
    one_step = tf.function(cell)
    states = [[tf.zeros((2, 4), "float64")] * len(flows)]
    for t in range(STEPS):
        states.append(list(one_step(tf.constant(x[:, t]), states[-1])[1]))

    @tf.function
    def one_step_back(x, before, upstream):
        """dL/ds<t> and dL/ds<t-1> where `upstream` is dL/ds<t> without the path in the step."""
        with tf.GradientTape() as tape:
            tape.watch(before)
            _, new = cell(x, before)
            value = sum(tf.reduce_sum(n * d) for n, d in zip(new, upstream, strict=True))
        return tape.gradient(value, [new, before])

    outputs = states[-1][0]
    upstream = [(outputs - targets) / 4, *[tf.zeros_like(outputs)] * (len(flows) - 1)]
    logs = np.zeros((2, 1))
    expected = np.empty((len(flows), 2, STEPS))
    for t in reversed(range(STEPS)):
        here, upstream = one_step_back(tf.constant(x[:, t]), states[t], upstream)
        expected[:, :, t] = np.log10(np.linalg.norm(here, axis=-1)) + logs[:, 0]
        size = np.linalg.norm(np.concatenate(upstream, axis=-1), axis=-1, keepdims=True)
        upstream = [gradient / size for gradient in upstream]
        logs = logs + np.log10(size)
    assert logs.max() < -1000
    found = [flow.log10_norms for flow in flows]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_values_of_the_model_that_overflow_are_an_explosion_and_not_nan():
    (flow,) = measured([simple_rnn(16.0)], np.ones((1, STEPS, 1)))
    assert (flow.log10_norms == np.inf).all()
