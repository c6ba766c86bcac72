"""The scans against the cell run step by step, and against finite differences."""

from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.variants import EVERY, VARIANTS, make
from unrolled import layers

UNITS = 4
SHAPE = (6, 4, UNITS)  # As many inputs as units: some variants ask for it.
PADDINGS = {
    "none": [1, 1, 1, 1],
    "right": [1, 1, 0, 0],
    "left": [0, 0, 1, 1],
    "a hole": [1, 0, 1, 1],
    "left and a hole": [0, 1, 0, 1],
    "everything": [0, 0, 0, 0],
}
MASKS = {
    "no mask": None,
    "each padding": tf.constant(np.array([*PADDINGS.values()], bool)),
    "nothing": tf.zeros(SHAPE[:2], "bool"),
}
OPTIONS = [{}, {"go_backwards": True}, {"zero_output_for_mask": True}, {"unroll": True}]
ALL = pytest.mark.parametrize("variant", VARIANTS)


def with_new_weights(layer, rng):
    layer.build(SHAPE)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def inputs_and_states(layer, rng):
    x = tf.constant(rng.normal(size=SHAPE), layer.compute_dtype)
    return x, [
        tf.constant(rng.normal(size=(SHAPE[0], UNITS)), layer.compute_dtype)
        for _ in layer.cell.states
    ]


def results_and_gradients(layer, x, states, mask, training=False):
    """All that a layer returns, and the gradients of a function of all of it."""
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        results = layer(x, initial_state=states, mask=mask, training=training)
        loss = sum(tf.reduce_sum(tf.sin((i + 1) * r)) for i, r in enumerate(results))
    gradients = tape.gradient(loss, [x, *states, *layer.trainable_weights])
    return [*results, *gradients]


def assert_same(one, other, atol=1e-11):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@pytest.mark.parametrize("variant", ["gru", "lstm_peephole_gers", "min_lstm"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_scan_equals_keras_rnn_over_the_same_cell(variant, options):
    rng = np.random.default_rng(0)
    shared = {"return_sequences": True, "return_state": True, "dtype": "float64", **options}
    layer = with_new_weights(make(variant, UNITS, **shared), rng)
    reference = keras.layers.RNN(layer.cell, **{**shared, "unroll": False})
    x, states = inputs_and_states(layer, rng)
    graph = tf.function(lambda mask: results_and_gradients(layer, x, states, mask))

    for mask in MASKS.values():
        expected = results_and_gradients(reference, x, states, mask)
        assert_same(results_and_gradients(layer, x, states, mask), expected)
        assert_same(graph(mask), expected)


class Unrolled:
    """A layer's cell, called once for each step: what automatic differentiation is asked of."""

    def __init__(self, layer):
        self.layer = layer
        self.trainable_weights = layer.trainable_weights

    def __call__(self, x, initial_state, mask, training):
        states, outputs = initial_state, []
        begun = tf.zeros((x.shape[0], 1), bool)
        for t in range(x.shape[1]):
            _, new = self.layer.cell.call(x[:, t], states, training)
            if mask is not None:
                new = [tf.where(mask[:, t, None], n, s) for n, s in zip(new, states, strict=True)]
                begun |= mask[:, t, None]
            states = new
            shown = True if mask is None else begun  # Keras shows zeros until there is a state.
            outputs.append(tf.where(shown, states[0], tf.zeros_like(states[0])))
        shown = tf.stack(outputs, axis=1) if self.layer.return_sequences else outputs[-1]
        return [shown, *states]


@pytest.mark.parametrize("variant", EVERY)
def test_gradients_equal_those_of_an_unrolled_loop(variant):
    for mask, return_sequences in product(("no mask", "each padding"), (True, False)):
        rng = np.random.default_rng(1)
        shared = {"return_sequences": return_sequences, "return_state": True, "dtype": "float64"}
        layer = with_new_weights(make(variant, UNITS, **shared), rng)
        x, states = inputs_and_states(layer, rng)
        ours = results_and_gradients(layer, x, states, MASKS[mask])
        expected = results_and_gradients(Unrolled(layer), x, states, MASKS[mask])
        assert len(ours) == 1 + 2 * len(states) + 1 + len(layer.trainable_weights)
        for one, other in zip(ours, expected, strict=True):
            assert np.linalg.norm(one - other) <= 1e-10 * np.linalg.norm(other)
        assert any(np.any(gradient) for gradient in expected[1 + len(states) :])


@ALL
def test_dropout_masks_are_the_same_at_every_step_and_differ_between_gates(variant):
    rng = np.random.default_rng(2)
    shared = {"return_sequences": True, "return_state": True, "dtype": "float64", "seed": 3}
    unit, _ = VARIANTS[variant]
    drop = {"dropout": 0.3, "recurrent_dropout": 0.3}
    drop = {name: share for name, share in drop.items() if name not in unit.cell_class.unsupported}
    layer = with_new_weights(make(variant, UNITS, **shared, **drop), rng)
    again = unit.from_config(layer.get_config())
    again.build(SHAPE)
    again.set_weights(layer.get_weights())
    x, states = inputs_and_states(layer, rng)
    ours = results_and_gradients(layer, x, states, None, training=True)
    expected = results_and_gradients(Unrolled(again), x, states, None, training=True)
    assert_same(ours, expected, atol=1e-10)
    kept = again.cell.state_dropout_masks(states[0], training=True)
    assert len({m.numpy().tobytes() for m in kept.values()}) == len(again.cell.recurrent_sites)
    without = layer(x, initial_state=states, training=False)
    assert np.abs(without[0] - ours[0]).max() > 1e-3


@ALL
def test_every_policy(variant):
    x = np.random.default_rng(3).normal(size=SHAPE)
    tolerances = {"mixed_bfloat16": 0.08, "float32": 1e-5, "float64": 1e-12}
    each = {dtype: make(variant, UNITS, dtype=dtype) for dtype in tolerances}
    gradients = {}
    for dtype, layer in each.items():
        layer.build(SHAPE)
        layer.set_weights(each["mixed_bfloat16"].get_weights())
        with tf.GradientTape() as tape:
            outputs = layer(tf.constant(x, layer.variable_dtype), mask=MASKS["each padding"])
            loss = tf.reduce_sum(outputs**2)
        assert outputs.dtype == layer.compute_dtype
        gradients[dtype] = tape.gradient(loss, layer.trainable_weights)
    for dtype, tolerance in tolerances.items():
        for a, b in zip(gradients[dtype], gradients["float64"], strict=True):
            assert a.dtype == each[dtype].variable_dtype
            error = np.linalg.norm(np.asarray(a, "float64") - b) / np.linalg.norm(b)
            assert error < tolerance


@pytest.mark.parametrize("variant", ["simple_rnn", "gru", "lstm_gate_recurrence", "min_gru"])
def test_gradients_equal_finite_differences(variant):
    rng = np.random.default_rng(2)
    layer = make(variant, UNITS, dtype="float64")
    x = tf.constant(rng.normal(size=SHAPE))
    direction = rng.normal(size=(SHAPE[0], UNITS))
    layer.build(SHAPE)

    @tf.function
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


@ALL
def test_padded_and_masked_equals_trimmed(variant):
    rng = np.random.default_rng(3)
    layer = make(variant, UNITS)
    x = rng.normal(size=(1, 4, UNITS)).astype("float32")
    padded = np.concatenate([x, 100 * np.ones((1, 2, UNITS), "float32")], axis=1)
    mask = np.arange(6)[None] < 4
    np.testing.assert_allclose(layer(padded, mask=mask), layer(x), atol=1e-6)


@pytest.mark.parametrize("variant", ["lstm", "gru_mut1", "min_gru"])
def test_one_trace_serves_all_batch_sizes_and_lengths(variant):
    layer = make(variant, UNITS)
    layer.build((None, None, UNITS))
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, UNITS))])
    def call(x):
        traces.append(x)
        return layer(x)

    for batch, steps in ((1, 1), (2, 9), (5, 3)):
        x = tf.random.stateless_normal((batch, steps, UNITS), (1, 2))
        np.testing.assert_allclose(call(x), layer(x), atol=1e-6)
    assert len(traces) == 1


def test_second_derivatives_are_rejected():
    layer = layers.GRU(UNITS)
    x = tf.random.stateless_normal(SHAPE, (1, 2))
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


@pytest.mark.parametrize("of_weight", [True, False], ids=["weight", "input"])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_forward_mode_is_rejected_with_an_alternative(wrap, of_weight):
    layer = layers.PeepholeLSTM(UNITS)
    x = tf.random.stateless_normal(SHAPE, (1, 2))
    layer.build(x.shape)
    watched = layer.cell.peephole.value if of_weight else x

    def forward(watched):
        with tf.autodiff.ForwardAccumulator(watched, tf.ones_like(watched)) as accumulator:
            outputs = layer(x if of_weight else watched)
        return accumulator.jvp(outputs)

    with pytest.raises(NotImplementedError, match=r"(?s)forward mode.*keras.layers.RNN\(layer"):
        wrap(forward)(watched)


def test_forward_mode_for_other_tensors_is_allowed():
    x = tf.random.stateless_normal(SHAPE, (1, 2))
    with tf.autodiff.ForwardAccumulator(tf.ones(()), tf.ones(())) as accumulator:
        outputs = layers.LSTM(UNITS)(x)
    assert accumulator.jvp(outputs) is None


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
    assert_same(ours, expected)


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
def test_equations_that_break_the_rules_are_rejected(cell, message):
    class Mistaken(layers.Recurrent):
        cell_class = cell

    with pytest.raises(ValueError, match=message):
        Mistaken(UNITS)(tf.zeros(SHAPE))
