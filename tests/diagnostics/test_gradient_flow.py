"""dL/da<t> against an unrolled loop over the cell, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import layers
from diagnostics import GradientFlow

UNITS, FEATURES, CLASSES, BATCH, STEPS = 4, 4, 3, 3, 6
UNROLLED = {
    **{
        name: getattr(layers, name)
        for name in ("SimpleRNN", "SimplifiedGRU", "GRU", "LSTM", "PeepholeLSTM", "MinGRU")
    },
    "MinLSTM": layers.MinLSTM,
    "CIFG": lambda *a, **k: layers.LSTM(*a, forget_gate="coupled", **k),
    "FGR": lambda *a, **k: layers.LSTM(*a, gate_recurrence=True, **k),
    "MUT1": lambda *a, **k: layers.GRU(
        *a, state_in_update_gate=False, unweighted_input="candidate", **k
    ),
    "reset after": lambda *a, **k: layers.GRU(*a, reset_after=True, **k),
    "Keras LSTM": keras.layers.LSTM,
    "Keras GRU": keras.layers.GRU,
    "Keras GRU, reset before": lambda *a, **k: keras.layers.GRU(*a, reset_after=False, **k),
    "Keras SimpleRNN": keras.layers.SimpleRNN,
    "Keras RNN": lambda units, **k: keras.layers.RNN(layers.GRUCell(units, dtype="float64"), **k),
}
MASK = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0]], bool)


def batch():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(BATCH, STEPS, FEATURES)) * MASK[..., None]
    x = x.astype("float32").astype("float64")  # A model takes its inputs in float32.
    return x, rng.integers(0, CLASSES, (BATCH, STEPS))


def crossentropy(scores, targets):
    taken = tf.gather(tf.nn.log_softmax(scores), targets, batch_dims=len(targets.shape))
    return -taken


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


def unrolled(layer, x, mask, backward=False):
    """Outputs by step and the states after each, one cell call a step."""
    cell, states, after = layer.cell, layer.get_initial_state(len(mask)), {}
    steps = range(x.shape[1])
    for t in reversed(steps) if backward else steps:
        _, new = cell(x[:, t], list(states))
        keep = mask[:, t, None]
        new = new if isinstance(new, list | tuple) else [new]
        states = after[t] = [tf.where(keep, n, s) for n, s in zip(new, states, strict=True)]
    return tf.stack([after[t][0] for t in steps], axis=1), [after[t] for t in steps]


def log10_norms(tape, loss_, states):
    """`(examples, steps)` for each state."""
    gradients = [
        tape.gradient(loss_, step, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for step in states
    ]
    with np.errstate(divide="ignore"):
        return [
            np.log10(np.stack([np.linalg.norm(g, axis=-1) for g in by_step], axis=1))
            for by_step in zip(*gradients, strict=True)
        ]


def assert_equal_where_read(flow, expected):
    np.testing.assert_array_equal(np.isnan(flow.log10_norm), ~MASK)
    np.testing.assert_allclose(
        10 ** flow.log10_norm[MASK], 10 ** expected[MASK], rtol=1e-10, atol=1e-300
    )


@pytest.mark.parametrize("unit", UNROLLED)
def test_masked_with_an_answer_a_step(unit):
    x, targets = batch()
    layer = UNROLLED[unit](UNITS, return_sequences=True, dtype="float64", name="unit")
    head = keras.layers.Dense(CLASSES, dtype="float64")
    model = keras.Sequential([keras.Input((None, FEATURES)), keras.layers.Masking(), layer, head])
    model.compile(loss=loss())
    with tf.GradientTape(persistent=True) as tape:
        outputs, states = unrolled(layer, x, MASK)
        losses = crossentropy(head(outputs), targets)
        total = tf.reduce_sum(losses * MASK)
        late = tf.reduce_sum(losses[0, 5] + losses[1, 5] + losses[2, 4])
    flow = GradientFlow(model)
    measured = flow.measure(x, targets)
    assert {(f.layer, f.direction) for f in measured} == {("unit", "forward")}
    for found, expected in zip(measured, log10_norms(tape, total, states), strict=True):
        assert_equal_where_read(found, expected)
    lags = [[5, 4, 3, 2, 1, 0], [-1, -1, 3, 2, 1, 0], [3, 2, -1, 1, 0, -1]]
    for found, expected in zip(
        flow.measure_late(x, targets), log10_norms(tape, late, states), strict=True
    ):
        assert_equal_where_read(found, expected)
        np.testing.assert_array_equal(found.lag, lags)


@pytest.mark.parametrize("unit", [layers.LSTM, layers.GRU, keras.layers.LSTM])
@pytest.mark.parametrize("per_step", [True, False])
def test_stacked_and_in_both_directions(unit, per_step):
    x, targets = batch()
    each = {"units": UNITS, "dtype": "float64"}
    lower = keras.layers.Bidirectional(
        unit(**each, return_sequences=True), dtype="float64", name="lower"
    )
    upper = keras.layers.Bidirectional(
        unit(**each, return_sequences=per_step), dtype="float64", name="upper"
    )
    head = keras.layers.Dense(CLASSES, dtype="float64")
    words = keras.Input((None, FEATURES))
    model = keras.Model(words, head(upper(lower(keras.layers.Masking()(words)))))
    states = {}
    with tf.GradientTape(persistent=True) as tape:
        below = tf.constant(x)
        for both in (lower, upper):
            ahead, states[both.name, "forward"] = unrolled(both.forward_layer, below, MASK)
            back, states[both.name, "backward"] = unrolled(both.backward_layer, below, MASK, True)
            below = tf.concat([ahead, back], axis=-1)
        if per_step:
            losses = crossentropy(head(below), targets) * MASK
        else:
            losses = crossentropy(
                head(tf.concat([ahead[:, -1], back[:, 0]], axis=-1)), targets[:, 0]
            )
        total = tf.reduce_sum(losses)
    targets = targets if per_step else targets[:, 0]
    measured = GradientFlow(model, loss()).measure(x, targets)
    for place in states:
        found = [f for f in measured if (f.layer, f.direction) == place]
        for flow, expected in zip(found, log10_norms(tape, total, states[place]), strict=True):
            assert_equal_where_read(flow, expected)
    backward = next(f for f in measured if f.direction == "backward")
    np.testing.assert_array_equal(
        backward.lag, [[0, 1, 2, 3, 4, 5], [-1, -1, 0, 1, 2, 3], [0, 1, -1, 2, 3, -1]]
    )
    if per_step:
        late = GradientFlow(model, loss()).measure_late(x, targets)
        first = next(f for f in late if (f.layer, f.direction) == ("upper", "backward"))
        with tape:
            alone = losses[0, 0] + losses[1, 2] + losses[2, 0]
        expected = log10_norms(tape, alone, states["upper", "backward"])[0]
        assert_equal_where_read(first, expected)
        np.testing.assert_array_equal(first.lag, backward.lag)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_neither_end_of_the_range_of_float64_is_in_the_way(factor):
    steps = 500
    layer = keras.layers.SimpleRNN(2, activation=None, recurrent_initializer="zeros")
    model = keras.Sequential([keras.Input((None, 1)), layer])
    layer.cell.recurrent_kernel.assign(factor * np.eye(2))
    factor = float(np.float32(factor))
    x, targets = np.zeros((1, steps, 1)), np.array([[3.0, 4.0]])
    (flow,) = GradientFlow(model, keras.losses.MeanSquaredError()).measure(x, targets)
    expected = np.log10(5) + np.arange(steps)[::-1] * np.log10(factor)
    np.testing.assert_allclose(flow.log10_norm[0], expected, rtol=1e-10)
    assert abs(flow.log10_norm).max() > 495


def test_a_gradient_that_is_zero_is_told_as_such():
    layer = keras.layers.SimpleRNN(2, recurrent_initializer="zeros")
    model = keras.Sequential([keras.Input((None, 1)), layer])
    x, targets = np.ones((1, 5, 1)), np.array([[3.0, 4.0]])
    (flow,) = GradientFlow(model, "mse").measure(x, targets)
    assert np.isfinite(flow.log10_norm[0, -1])
    assert (flow.log10_norm[0, :-1] == -np.inf).all()


def test_it_follows_the_weights_and_leaves_the_model_alone():
    model = keras.Sequential([keras.Input((None, 1)), layers.GRU(3, dropout=0.5)])
    model.compile(loss="mse", optimizer="sgd")
    x, targets = np.ones((2, 5, 1)), np.zeros((2, 3))
    flow = GradientFlow(model)
    before = [np.array(w) for w in model.weights]
    (first,), (again,) = flow.measure(x, targets), flow.measure(x, targets)
    np.testing.assert_array_equal(first.log10_norm, again.log10_norm)
    for weight, was in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, was)
    model.set_weights([2 * weight for weight in model.get_weights()])
    (after,) = flow.measure(x, targets)
    (anew,) = GradientFlow(model).measure(x, targets)
    assert (after.log10_norm != first.log10_norm).any()
    np.testing.assert_array_equal(after.log10_norm, anew.log10_norm)


class _Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.unit = layers.GRU(3)


@pytest.mark.parametrize(
    ("model", "of_loss", "message"),
    [
        (keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), "mse", "recurrent layers"),
        (_Subclassed(), "mse", "expected a Functional or a Sequential"),
        (
            keras.Sequential([keras.Input((3, 1)), layers.GRU(1)]),
            None,
            "compiled model or a `loss`",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(model, of_loss, message):
    with pytest.raises(ValueError, match=message):
        GradientFlow(model, of_loss)
