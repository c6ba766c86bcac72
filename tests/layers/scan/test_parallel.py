"""The parallel scan against one step after another."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unrolled import layers
from unrolled.layers.scan import parallel as module
from unrolled.layers.scan.parallel import parallel_scan

UNITS = 4
UNITS_THAT_ARE_LINEAR = pytest.mark.parametrize("unit", [layers.MinGRU, layers.MinLSTM])


@pytest.fixture
def always_in_pieces(monkeypatch):
    monkeypatch.setattr(module, "_FEWEST", 1)


def outputs_and_gradients(layer, x, state, mask):
    with tf.GradientTape() as tape:
        tape.watch([x, state])
        outputs = layer(x, initial_state=state, mask=mask)
        loss = tf.reduce_mean(tf.sin(3 * outputs))
    return [outputs, *tape.gradient(loss, [x, state, *layer.trainable_weights])]


@UNITS_THAT_ARE_LINEAR
@pytest.mark.parametrize("steps", [1, 2, 3, 16, 17, 31])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "go_backwards": True}], ids=str)
@pytest.mark.usefixtures("always_in_pieces")
def test_in_parallel_equals_step_by_step(unit, steps, masked, options):
    layer = unit(UNITS, **options)
    reference = keras.layers.RNN(layer.cell, **options)
    x = 3 * tf.random.stateless_normal((3, steps, 5), (1, steps))
    state = tf.random.stateless_normal((3, UNITS), (2, steps))
    mask = np.random.default_rng(steps).random((3, steps)) < 0.7 if masked else None
    layer.build(x.shape)
    ours = outputs_and_gradients(layer, x, state, mask)
    expected = outputs_and_gradients(reference, x, state, mask)
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "batch", "units", "pieces"),
    [(1, 1, 1, 1), (40, 2, 3, 1), (100, 2, 3, 10), (30, 40, 80, 1), (65, 64, 64, 8), (9, 0, 3, 1)],
)
def test_time_is_cut_into_pieces_where_it_pays(steps, batch, units, pieces):
    keep = tf.random.stateless_uniform((steps, batch, units), (1, 2))
    new = tf.random.stateless_normal((steps, batch, units), (3, 4))
    found, length = module._cut(new)
    assert found == pieces
    assert steps <= pieces * length < steps + pieces
    c = np.zeros((batch, units))
    for t, shown in enumerate(parallel_scan(keep, new, tf.zeros((batch, units)))):
        c = keep[t] * c + new[t]
        np.testing.assert_allclose(shown, c, atol=1e-5)


@pytest.mark.usefixtures("always_in_pieces")
def test_coefficients_of_zero_and_one_are_exact():
    keep = tf.constant([1.0, 0, 1, 1, 0, 0, 1, 1, 1, 1])[:, None, None]
    new = tf.constant([5.0, 2, 0, 0, -1, 3, 0, 1, 0, 0])[:, None, None]
    c = parallel_scan(keep, new, tf.ones((1, 1)))[:, 0, 0]
    np.testing.assert_array_equal(c, [6, 2, 2, 2, -1, 3, 3, 4, 4, 4])


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
@pytest.mark.usefixtures("always_in_pieces")
def test_one_trace_serves_all_batch_sizes_and_lengths(compiled):
    layer = layers.MinGRU(UNITS, return_sequences=True)
    layer.build((None, None, 5))
    traces = []

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, 5)), tf.TensorSpec((None, UNITS))],
        jit_compile=compiled,
    )
    def call(x, state):
        traces.append(1)
        return outputs_and_gradients(layer, x, state, None)

    for batch, steps in ((1, 1), (2, 19), (5, 9)):
        x = tf.random.stateless_normal((batch, steps, 5), (1, 2))
        state = tf.random.stateless_normal((batch, UNITS), (3, 4))
        expected = outputs_and_gradients(layer, x, state, None)
        for one, other in zip(call(x, state), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    assert len(traces) == 1


@UNITS_THAT_ARE_LINEAR
@pytest.mark.usefixtures("always_in_pieces")
def test_second_derivatives_are_exact(unit):
    layer = unit(UNITS, dtype="float64")
    x = tf.random.stateless_normal((2, 5, 3), (5, 6), dtype="float64")
    layer.build(x.shape)

    def twice(layer):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(layer(x)))
            slope = inner.gradient(loss, x)
        return outer.gradient(slope, [x, *layer.trainable_weights])

    expected = twice(keras.layers.RNN(layer.cell, dtype="float64"))
    for wrap in (lambda f: f, tf.function):
        found = wrap(lambda: twice(layer))()
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-10)
