"""dL/da<t> compared with automatic differentiation of a Python loop, in float64."""

import random
from collections import Counter
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.diagnostics.unrolled import Unrolled
from tests.layers.variants import EVERY, make
from unrolled import layers
from unrolled.diagnostics import FlowMeter
from unrolled.diagnostics.float64_copy import in_float64
from unrolled.models import build_model

UNITS = 4
EXAMPLES, STEPS = 3, 6
KERAS = {
    "keras LSTM": keras.layers.LSTM,
    "keras GRU": keras.layers.GRU,
    "keras GRU, reset before": partial(keras.layers.GRU, reset_after=False),
    "keras SimpleRNN": keras.layers.SimpleRNN,
    "keras RNN over a cell": lambda units, **options: keras.layers.RNN(
        layers.LSTMCell(units, dtype=options.pop("dtype", None)), **options
    ),
}
SAME_EQUATIONS = {"gru_chrono", "lstm_chrono", "lstm_forget_bias_0"}
"""Differ only in their initial weights, which are replaced here."""
UNITS_MADE = {name: partial(make, name) for name in EVERY if name not in SAME_EQUATIONS} | KERAS
MASKS = {
    "no mask": np.ones((EXAMPLES, STEPS), bool),
    "right": np.arange(STEPS) < np.array([[6], [2], [4]]),
    "left": np.arange(STEPS) >= np.array([[0], [2], [5]]),
    "holes": np.array([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1]], bool),
}


def with_new_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(rng.normal(size=weight.shape) * 0.7)
    return model


def model_of(recurrent, per_step, masking, dtype="float64"):
    """Inputs, stacked recurrent layers, an output layer, and mean squared error."""
    x = inputs = keras.Input((None, UNITS), dtype=dtype)
    if masking:
        x = keras.layers.Masking(dtype=dtype)(x)
    for layer in recurrent:
        x = layer(x)
    outputs = keras.layers.Dense(2, dtype=dtype, name="head")(x)
    model = with_new_weights(keras.Model(inputs, outputs))
    model.compile(loss="mse")
    assert len(model.output_shape) == (3 if per_step else 2)
    return model


def batch(mask, per_step, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(EXAMPLES, STEPS, UNITS)) * mask[..., None]
    targets = rng.normal(size=(EXAMPLES, STEPS, 2) if per_step else (EXAMPLES, 2))
    weights = rng.uniform(0.5, 2, size=targets.shape[:-1])
    return x, targets, weights


def expected(model, x, targets, weights, mask):
    """dL/ds<t> of a `model_of`; `weights` multiply the squared errors in the sum."""
    unrolled = Unrolled()
    with tf.GradientTape() as tape:
        outputs = tf.constant(x)
        tape.watch(outputs)
        for layer in model.layers:
            if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
                outputs = unrolled.layer(layer, outputs, tf.constant(mask))
        errors = tf.reduce_mean((model.get_layer("head")(outputs) - targets) ** 2, axis=-1)
        real = mask if errors.shape.rank == 2 else np.ones(len(x), bool)
        loss = tf.reduce_sum(errors * weights * real) / real.sum()
    return unrolled.gradients(tape, loss)


def assert_flows(flows, gradients, mask):
    """Checks that the flows are the norms of the gradients, to a relative error of 1e-10."""
    numbers = Counter()
    assert len(flows) == len(gradients)
    for flow in flows:
        number = numbers[flow.layer, flow.direction]
        numbers[flow.layer, flow.direction] += 1
        norms = np.linalg.norm(gradients[flow.layer, flow.direction, number], axis=-1)
        assert np.isnan(flow.log10_norms[~mask]).all()
        np.testing.assert_array_equal(flow.mask, mask)
        np.testing.assert_allclose(10 ** flow.log10_norms[mask], norms[mask], rtol=1e-10)
        assert norms[mask].max() > 1e-6


def bidirectional(name, merge="concat", **options):
    unit = UNITS_MADE[name](UNITS, dtype="float64", **options)
    return keras.layers.Bidirectional(unit, merge_mode=merge, dtype="float64", name="both")


@pytest.mark.parametrize("name", UNITS_MADE)
def test_every_unit(name):
    unit = UNITS_MADE[name](UNITS, return_sequences=True, dtype="float64")
    model = model_of([unit], per_step=True, masking=True)
    mask = MASKS["holes"]
    x, targets, weights = batch(mask, per_step=True)
    flows = FlowMeter(model).measure(x, targets, weights)
    assert_flows(flows, expected(model, x, targets, weights, mask), mask)


@pytest.mark.parametrize(
    ("name", "mask", "merge", "per_step"),
    [
        ("lstm", "no mask", "concat", True),
        ("keras LSTM", "no mask", "concat", False),
        ("gru", "right", "sum", True),
        ("keras GRU", "right", "ave", False),
        ("simple_rnn", "left", "mul", True),
        ("lstm_peephole_gers", "holes", "concat", False),
        ("FGR with CIFG and peepholes", "left", "concat", True),
        ("min_lstm", "holes", "ave", True),
    ],
)
def test_both_directions_under_another_layer(name, mask, merge, per_step):
    lower = bidirectional(name, merge, return_sequences=True)
    upper = {"return_sequences": per_step, "dtype": "float64", "name": "upper"}
    # Keras gives the outputs of a layer that goes backwards in the order it makes them.
    upper = UNITS_MADE[name](UNITS, **upper, go_backwards=not per_step)
    masking, mask = mask != "no mask", MASKS[mask]
    model = model_of([lower, upper], per_step, masking)
    x, targets, weights = batch(mask, per_step)
    flows = FlowMeter(model).measure(x, targets, weights)
    way = "forward" if per_step else "backward"
    found = {(flow.layer, flow.direction) for flow in flows}
    assert found == {("both", "forward"), ("both", "backward"), ("upper", way)}
    assert_flows(flows, expected(model, x, targets, weights, mask), mask)


def test_the_loss_at_one_late_step_by_lag_in_each_directions_own_time():
    model = model_of([bidirectional("lstm", return_sequences=True)], per_step=True, masking=True)
    mask = MASKS["holes"]
    x, targets, _ = batch(mask, per_step=True)
    flows = FlowMeter(model).measure(x, targets, loss="late")
    last = np.array([[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]])
    first = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    late = {
        "forward": expected(model, x, targets, last, mask),
        "backward": expected(model, x, targets, first, mask),
    }
    gradients = {name: late[name[1]][name] for name in late["forward"]}
    assert_flows(flows, gradients, mask)
    lags = {
        "forward": [[3, 0, 2, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]],
        "backward": [[0, 0, 1, 2, 0, 3], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]],
    }
    for flow in flows:
        assert flow.loss == "late"
        np.testing.assert_array_equal(flow.lags[mask], np.array(lags[flow.direction])[mask])
        np.testing.assert_array_equal(flow.by_lag().count, [3, 3, 1, 1])
        at_three = flow.log10_norms[0, {"forward": 0, "backward": 5}[flow.direction]]
        assert flow.by_lag().log10_mean[3] == at_three


def test_the_late_step_is_the_last_with_a_sample_weight():
    model = model_of([make("gru", UNITS, return_sequences=True, dtype="float64")], True, False)
    mask = MASKS["no mask"]
    x, targets, weights = batch(mask, per_step=True)
    weights[0, 4:] = 0
    weights[1] = 0
    (flow,) = FlowMeter(model).measure(x, targets, weights, loss="late")
    alone = weights * (np.arange(STEPS) == np.array([[3], [0], [5]]))
    ((_, gradients),) = expected(model, x, targets, alone, mask).items()
    norms = np.linalg.norm(gradients, axis=-1)
    np.testing.assert_allclose(10 ** flow.log10_norms[::2], norms[::2], rtol=1e-10)
    assert (flow.log10_norms[0, 4:] == -np.inf).all()
    np.testing.assert_array_equal(flow.mask, np.array([[1], [0], [1]]) * np.ones(STEPS))
    np.testing.assert_array_equal(flow.lags[::2], [[3, 2, 1, 0, -1, -2], [5, 4, 3, 2, 1, 0]])


def test_with_one_output_per_sequence_the_own_loss_is_the_late_loss():
    model = model_of([make("gru", UNITS, dtype="float64")], False, True)
    x, targets, weights = batch(MASKS["left"], per_step=False)
    meter = FlowMeter(model)
    (own,), (late,) = (meter.measure(x, targets, weights, loss=loss) for loss in ("own", "late"))
    np.testing.assert_array_equal(own.log10_norms, late.log10_norms)
    np.testing.assert_array_equal(own.lags[:, 2:], [[3, 2, 1, 0], [3, 2, 1, 0], [1, 1, 1, 0]])
    np.testing.assert_array_equal(own.by_step().at, range(STEPS))
    np.testing.assert_array_equal(own.by_step().count, [1, 1, 2, 2, 2, 3])


@pytest.mark.parametrize("per_step", [True, False])
def test_a_model_of_the_project_as_it_is_trained(per_step):
    """Token ids, padding, dropout, float32 and cross-entropy; the model is not changed."""
    shape = {"vocabulary_size": 9, "classes": 3, "per_step": per_step, "units": UNITS}
    options = {"layers": 2, "direction": "bidirectional", "embedding": UNITS, "dropout": 0.5}
    model = build_model(layers.GRU, **shape, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    rng = np.random.default_rng(3)
    words = rng.integers(1, 9, (EXAMPLES, STEPS)) * MASKS["right"]
    answers = rng.integers(0, 3, (EXAMPLES, STEPS) if per_step else EXAMPLES)
    before, numbers = [weight.numpy() for weight in model.variables], random.getstate()
    flows = FlowMeter(model).measure(words, answers)
    assert random.getstate() == numbers
    for weight, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)

    exact = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(in_float64(layer.get_config())),
    )
    exact.set_weights(model.get_weights())
    mask, unrolled = tf.constant(words != 0), Unrolled()
    with tf.GradientTape() as tape:
        x = exact.get_layer("embedding")(words)
        tape.watch(x)
        x = unrolled.layer(exact.get_layer("recurrent_1"), x, mask)
        x = unrolled.layer(exact.get_layer("recurrent_2"), x, mask)
        x = exact.get_layer("scores")(x)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(answers, x)
        real = tf.cast(mask if per_step else tf.ones(EXAMPLES), "float64")
        value = tf.reduce_sum(losses * real) / tf.reduce_sum(real)
    assert_flows(flows, unrolled.gradients(tape, value), mask.numpy())


def test_loss_weights_and_activity_regularization_count():
    penalty = {"activity_regularizer": keras.regularizers.L2(0.25)}
    unit = make("gru", UNITS, return_sequences=True, dtype="float64", **penalty)
    model = model_of([unit], per_step=True, masking=False)
    x, targets, _ = batch(MASKS["no mask"], per_step=True)
    (own,) = FlowMeter(model).measure(x, targets)
    (late,) = FlowMeter(model).measure(x, targets, loss="late")

    unrolled = Unrolled()
    with tf.GradientTape() as tape:
        states = tf.constant(x)
        tape.watch(states)
        states = unrolled.layer(unit, states, tf.constant(MASKS["no mask"]))
        squares = (model.get_layer("head")(states) - targets) ** 2
        loss = tf.reduce_mean(squares) + 0.25 * tf.reduce_sum(states**2) / EXAMPLES
    assert_flows([own], unrolled.gradients(tape, loss), MASKS["no mask"])
    weights = np.arange(STEPS) == np.full((EXAMPLES, 1), STEPS - 1)
    assert_flows([late], expected(model, x, targets, weights, MASKS["no mask"]), MASKS["no mask"])

    model.compile(loss=keras.losses.MeanSquaredError(reduction="sum"), loss_weights=[100.0])
    (heavy,) = FlowMeter(model).measure(x, targets, loss="late")
    factor = np.log10(100 * EXAMPLES * STEPS)
    np.testing.assert_allclose(heavy.log10_norms, late.log10_norms + factor, atol=1e-10)

    def tenfold(y, prediction):
        return 10 * keras.losses.mean_squared_error(y, prediction)

    (given,) = FlowMeter(model, loss=tenfold).measure(x, targets, loss="late")
    np.testing.assert_allclose(given.log10_norms, late.log10_norms + 1, atol=1e-10)


def test_a_shared_layer_and_states_passed_to_another_layer():
    one, other = (keras.Input((None, UNITS), dtype="float64") for _ in range(2))
    shared = keras.layers.LSTM(UNITS, return_state=True, dtype="float64", name="shared")
    first, second = shared(one), shared(other)
    decoder = make("lstm", UNITS, dtype="float64", name="decoder")
    outputs = decoder(other, initial_state=[first[1], second[2]])
    model = with_new_weights(keras.Model([one, other], outputs))
    model.compile(loss="mse")
    x, y = (batch(MASKS["no mask"], per_step=False, seed=seed)[0] for seed in (1, 2))
    flows = FlowMeter(model).measure([x, y], np.zeros((EXAMPLES, UNITS)))
    names = [(flow.layer, flow.state) for flow in flows]
    calls = ["shared", "shared (call 2)", "decoder"]
    assert names == [(call, state) for call in calls for state in "ac"]

    runs = [shared.cell, shared.cell, decoder.cell]
    with tf.GradientTape() as tape:
        tape.watch(zeros := [tf.zeros((EXAMPLES, UNITS), "float64")] * 2)
        kept = []
        for run, (cell, sequence) in enumerate(zip(runs, [x, y, y], strict=True)):
            states = [kept[0][-1][0], kept[1][-1][1]] if run == 2 else zeros
            kept.append([])
            for t in range(STEPS):
                _, states = cell(tf.constant(sequence[:, t]), states)
                kept[-1].append(states)
        loss = tf.reduce_mean(states[0] ** 2)
    gradients = tape.gradient(loss, kept, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    norms = np.linalg.norm(gradients, axis=-1)  # By run, step, state and example.
    for number, flow in enumerate(flows):
        found = 10**flow.log10_norms
        np.testing.assert_allclose(found, norms[number // 2, :, number % 2].T, rtol=1e-10)


def test_cells_stacked_in_one_layer():
    cells = [layers.LSTMCell(UNITS, dtype="float64"), layers.GRUCell(UNITS, dtype="float64")]
    model = model_of([keras.layers.RNN(cells, dtype="float64")], per_step=False, masking=False)
    x, targets, _ = batch(MASKS["no mask"], per_step=False)
    flows = FlowMeter(model).measure(x, targets)
    assert [flow.state for flow in flows] == ["1.a", "1.c", "2.c"]

    kept = []
    with tf.GradientTape() as tape:
        states = [tf.zeros((EXAMPLES, UNITS), "float64")] * 3
        tape.watch(states)
        for t in range(STEPS):
            a, (a, c) = cells[0](tf.constant(x[:, t]), states[:2])
            top, _ = cells[1](a, states[2:])
            states = [a, c, top]
            kept.append(states)
        loss = tf.reduce_mean((model.get_layer("head")(top) - targets) ** 2)
    gradients = tape.gradient(loss, kept)
    for number, flow in enumerate(flows):
        norms = np.linalg.norm([at[number] for at in gradients], axis=-1).T
        np.testing.assert_allclose(10**flow.log10_norms, norms, rtol=1e-10)


def test_a_stateful_layer_continues_from_its_states_which_do_not_change():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(EXAMPLES, STEPS, UNITS), dtype="float64"),
            make("gru", UNITS, stateful=True, dtype="float64"),
        ]
    )
    with_new_weights(model).compile(loss="mse")
    x, *_ = batch(MASKS["no mask"], per_step=False)
    targets = np.zeros((EXAMPLES, UNITS))
    meter = FlowMeter(model)
    (fresh,) = meter.measure(x, targets)
    (again,) = meter.measure(x, targets)
    np.testing.assert_array_equal(fresh.log10_norms, again.log10_norms)
    model.predict(x, batch_size=EXAMPLES, verbose=0)
    states = model.layers[0].states[0].numpy()
    (later,) = meter.measure(x, targets)
    np.testing.assert_array_equal(model.layers[0].states[0], states)
    assert np.abs(states).max() > 0.1
    assert not np.allclose(later.log10_norms, fresh.log10_norms)


def test_the_late_step_of_an_answer_that_is_another_sequence():
    """An encoder whose last state is all that the decoder reads."""
    model = keras.Sequential(
        [
            keras.Input((None, UNITS)),
            make("gru", UNITS, name="encoder"),
            keras.layers.RepeatVector(3),
            make("gru", UNITS, return_sequences=True, name="decoder"),
        ]
    )
    model.compile(loss="mse")
    x, *_ = batch(MASKS["no mask"], per_step=True)
    targets = np.ones((EXAMPLES, 3, UNITS))
    weights = np.array([[1, 1, 0]] * EXAMPLES)
    encoder, decoder = FlowMeter(model).measure(x, targets, weights, loss="late")
    np.testing.assert_array_equal(encoder.lags[0], [5, 4, 3, 2, 1, 0])
    np.testing.assert_array_equal(decoder.lags[0], [1, 0, -1])
    assert (decoder.log10_norms[:, 2] == -np.inf).all()
    assert np.isfinite(encoder.log10_norms).all()


def test_the_result_does_not_depend_on_the_form_or_precision_of_the_model():
    def layers_of(**options):
        return [
            make("lstm", UNITS, return_sequences=True, name="lower", **options),
            keras.layers.GRU(UNITS, name="upper", **options),
        ]

    plain = keras.Sequential([keras.Input((STEPS, UNITS)), *layers_of(dtype="float64")])
    lower, upper = layers_of(dtype="mixed_bfloat16", unroll=True)
    inputs = keras.Input((STEPS, UNITS), name="inputs")
    nested = keras.Sequential([keras.Input((STEPS, UNITS)), lower], name="nested")
    outputs = {"answer": upper(nested(inputs) * 0.5 + 0.5 * nested(inputs))}
    model = keras.Model({"inputs": inputs}, outputs)
    plain.set_weights([weight.numpy() for layer in (lower, upper) for weight in layer.weights])
    x, *_ = batch(MASKS["no mask"], per_step=False)
    targets = np.ones((EXAMPLES, UNITS))
    *_, expected = FlowMeter(plain, loss="mse").measure(x, targets)
    flows = FlowMeter(model, loss={"answer": "mse"}).measure({"inputs": x}, {"answer": targets})
    assert [flow.layer for flow in flows][::2] == ["lower", "lower (call 2)", "upper"]
    np.testing.assert_allclose(flows[-1].log10_norms, expected.log10_norms, atol=1e-10)


def test_a_lambda_with_a_closure():
    unit = make("gru", UNITS, dtype="float64")
    halves = keras.layers.Lambda(lambda x, by: x / (by * np.sqrt(UNITS)), arguments={"by": 1.0})
    x, *_ = batch(MASKS["no mask"], per_step=False)
    found = [
        FlowMeter(keras.Sequential([keras.Input((STEPS, UNITS)), *below, unit]), loss="mse")
        .measure(given, np.zeros((EXAMPLES, UNITS)))[0]
        .log10_norms
        for below, given in (([halves], x), ([], x / 2))
    ]
    np.testing.assert_allclose(*found, atol=1e-10)


def test_a_sequential_model_that_was_built_by_its_first_batch():
    unit = make("gru", UNITS, dtype="float64")
    model = keras.Sequential([unit, keras.layers.Dense(2, name="head", dtype="float64")])
    mask = MASKS["no mask"]
    x, targets, weights = batch(mask, per_step=False)
    model(x)
    with_new_weights(model).compile(loss="mse")
    flows = FlowMeter(model).measure(x, targets, weights)
    assert_flows(flows, expected(model, x, targets, weights, mask), mask)


def test_new_weights_are_measured_and_few_shapes_are_traced():
    model = model_of([make("gru", UNITS, dtype="float64")], per_step=False, masking=False)
    meter, mask = FlowMeter(model), MASKS["no mask"]
    for seed in range(5):
        with_new_weights(model, seed)
        x, targets, weights = batch(mask, per_step=False, seed=seed)
        x, targets, weights = (part[: seed // 2 + 1] for part in (x, targets, weights))
        x, real = x[:, seed:], mask[: len(x), seed:]
        flows = meter.measure(x, targets, weights)
        assert_flows(flows, expected(model, x, targets, weights, real), real)
    assert meter._gradients.experimental_get_tracing_count() <= 3
