"""Gates compared with NumPy implementations of the lecture's equations, run on the same states."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.diagnostics.unrolled import Unrolled
from tests.layers.test_equations import Weights, affine, sigma
from tests.layers.variants import EVERY, make
from unrolled import layers
from unrolled.diagnostics import FlowMeter, GateMeter, Gates, decay
from unrolled.models import build_model

UNITS = 4
MASK = np.array([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1]], bool)


def lstm(names, peepholes=False):
    """Γ = σ(W [a<t-1>, x<t>] + b), with peepholes + p * c<t-1>, for some gates of an LSTM."""

    def by_hand(weights, x, a, c, *_):
        seen = {gate: weights.p[gate] * c if peepholes else 0 for gate in names}
        return {gate: sigma(affine(weights, gate, a, x) + seen[gate]) for gate in names}

    return by_hand


def coupled(weights, x, a, c, new):
    found = lstm("uo")(weights, x, a, c, new)
    return found | {"f": 1 - found["u"]}


def peepholes_of_gers(weights, x, a, c, new):
    found = lstm("uf", peepholes=True)(weights, x, a, c, new)
    return found | {"o": sigma(affine(weights, "o", a, x) + weights.p["o"] * new[1])}


def gate_recurrence(weights, x, a, _c, *gammas_and_new):
    *gammas, _ = gammas_and_new
    recurring = {
        gate: sum(weights.U[f"{v}{gate}"] @ gamma for v, gamma in zip("ufo", gammas, strict=True))
        for gate in "ufo"
    }
    return {gate: sigma(affine(weights, gate, a, x) + recurring[gate]) for gate in "ufo"}


def gru(weights, x, c, _):
    return {gate: sigma(affine(weights, gate, c, x)) for gate in "ur"}


def minimal_gated_unit(weights, x, c, _):
    gamma_u = sigma(affine(weights, "u", c, x))
    return {"u": gamma_u, "r": gamma_u}


def mut1(weights, x, c, _):
    gamma_u = sigma(weights.W["u"] @ x + weights.b["u"])
    return {"u": gamma_u, "r": sigma(affine(weights, "r", c, x))}


def mut2(weights, x, c, _):
    gamma_r = sigma(x + weights.U["r"] @ c + weights.b["r"])
    return {"u": sigma(affine(weights, "u", c, x)), "r": gamma_r}


def mut3(weights, x, c, _):
    gamma_u = sigma(affine(weights, "u", np.tanh(c), x))
    return {"u": gamma_u, "r": sigma(affine(weights, "r", c, x))}


def min_lstm(weights, x, _c, _):
    gamma_u, gamma_f = (sigma(weights.W[gate] @ x + weights.b[gate]) for gate in "uf")
    return {"u": gamma_u / (gamma_u + gamma_f), "f": gamma_f / (gamma_u + gamma_f)}


BY_HAND = {
    "lstm": lstm("ufo"),
    "lstm_no_update_gate": lstm("fo"),
    "lstm_no_forget_gate": lstm("uo"),
    "lstm_no_output_gate": lstm("uf"),
    "no gates": lstm(""),
    "lstm_coupled": coupled,
    "lstm_peephole": lstm("ufo", peepholes=True),
    "lstm_peephole_gers": peepholes_of_gers,
    "lstm_gate_recurrence": gate_recurrence,
    "gru": gru,
    "gru_reset_after": gru,
    "gru_simplified": lambda weights, x, c, _: {"u": sigma(affine(weights, "u", c, x))},
    "gru_minimal": minimal_gated_unit,
    "gru_mut1": mut1,
    "gru_mut2": mut2,
    "gru_mut3": mut3,
    "min_gru": lambda weights, x, _c, _: {"u": sigma(weights.W["u"] @ x + weights.b["u"])},
    "min_lstm": min_lstm,
}


def model_of(*recurrent):
    inputs = keras.Input((None, UNITS), dtype="float64")
    x = keras.layers.Masking(dtype="float64")(inputs)
    for layer in recurrent:
        x = layer(x)
    return keras.Model(inputs, x)


def measured(unit, seed=0):
    """Returns the gates of one layer, its input, and its states before and after every step."""
    model = model_of(unit)
    rng = np.random.default_rng(seed)
    weights = Weights(unit.cell, rng) if isinstance(unit, layers.Recurrent) else None
    x = rng.normal(size=(*MASK.shape, UNITS)) * MASK[..., None]
    (found,) = GateMeter(model).measure(x)
    unrolled = Unrolled()
    unrolled.layer(unit, tf.constant(x), tf.constant(MASK))
    np.testing.assert_array_equal(found.mask, MASK)
    return found, weights, x, unrolled.steps[unit.name, found.direction]


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("simple_rnn")])
def test_the_gates_of_every_unit(name):
    unit = make(name, UNITS, dtype="float64", go_backwards=len(name) % 2 == 0)
    found, weights, x, steps = measured(unit)
    for values in [found.keep, *found.values.values()]:
        np.testing.assert_array_equal(np.isnan(values).any(axis=-1), ~MASK)
    np.testing.assert_allclose(found.keep[MASK], retained(unit, found.values)[MASK], atol=1e-12)
    if name not in BY_HAND:
        return
    for example, t in np.argwhere(MASK):
        before, after = ([state.numpy()[example] for state in states] for states in steps[t])
        expected = BY_HAND[name](weights, x[example, t], *before, after)
        assert found.values.keys() == expected.keys()
        for gate, values in expected.items():
            np.testing.assert_allclose(found.values[gate][example, t], values, atol=1e-12)


def retained(unit, gates):
    """The factor of c<t-1> in c<t>, from the gate that controls it in the lecture."""
    if "f" in gates:
        return gates["f"]
    if isinstance(unit.cell, layers.LSTMCell):
        return np.ones((*MASK.shape, UNITS))
    return 1 - gates["u"]


@pytest.mark.parametrize("cell_alone", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("LSTM", {}), ("GRU", {"reset_after": True}), ("GRU", {"reset_after": False})],
)
def test_keras_gates_are_converted_to_the_lecture(kind, options, cell_alone):
    unit = getattr(keras.layers, kind)(UNITS, dtype="float64", **options)
    if cell_alone:
        cell = getattr(keras.layers, f"{kind}Cell")(UNITS, dtype="float64", **options)
        unit = keras.layers.RNN(cell, dtype="float64")
    unit.build((None, None, UNITS))
    rng = np.random.default_rng(2)
    for weight in unit.weights:
        weight.assign(rng.normal(size=weight.shape))
    kernel, recurrent_kernel, bias = (weight.numpy() for weight in unit.weights)
    found, _, x, steps = measured(unit)
    for example, t in np.argwhere(MASK):
        a, *_ = (state.numpy()[example] for state in steps[t][0])
        z = x[example, t] @ kernel + a @ recurrent_kernel + bias.reshape(-1, kernel.shape[1]).sum(0)
        first, second, _, *last = sigma(z.reshape(-1, UNITS))
        expected = {"u": 1 - first, "r": second}
        if kind == "LSTM":
            expected = {"u": first, "f": second, "o": last[0]}
        assert found.values.keys() == expected.keys()
        for gate, values in expected.items():
            np.testing.assert_allclose(found.values[gate][example, t], values, atol=1e-12)


def test_a_model_of_the_project_whose_weights_change():
    """The meter measures both directions of every layer, with the current weights."""
    unit = keras.layers.GRU
    shape = {"vocabulary_size": 9, "classes": 3, "per_step": False, "units": 3, "layers": 2}
    model = build_model(unit, **shape, direction="bidirectional", dropout=0.5)
    words = np.array([[1, 2, 3, 4], [5, 6, 0, 0]])
    meter = GateMeter(model)
    before = meter.measure(words)
    numbers = random.getstate()
    for weight in model.trainable_weights:
        weight.assign_add(np.full(weight.shape, 0.01))
    after = meter.measure(words[:, :3])
    assert random.getstate() == numbers
    ways = [("recurrent_1", "forward"), ("recurrent_1", "backward")]
    ways += [("recurrent_2", "forward"), ("recurrent_2", "backward")]
    for one, other, way in zip(before, after, ways, strict=True):
        assert (one.layer, one.direction) == (other.layer, other.direction) == way
        np.testing.assert_array_equal(other.mask, words[:, :3] != 0)
        forward = one.direction == "forward"
        difference = np.abs(one.values["u"][:, :3] - other.values["u"])
        assert 1e-5 < difference[0, 0 if forward else 2].max() < 0.1


def test_a_layer_without_gates_below_one_with_gates():
    model = model_of(
        keras.layers.SimpleRNN(UNITS, return_sequences=True, dtype="float64"),
        make("gru", UNITS, dtype="float64", name="upper"),
    )
    (found,) = GateMeter(model).measure(np.ones((2, 3, UNITS)))
    assert found.layer == "upper"


def test_a_model_without_gates():
    model = model_of(keras.layers.SimpleRNN(UNITS))
    with pytest.raises(ValueError, match=r"expected units with gates.*SimpleRNNCell"):
        GateMeter(model)


def test_summaries_ignore_masked_steps():
    values = np.array([[[0.05, 0.5], [0.95, 0.2]], [[0.05, 0.7], [9.0, 9.0]]])
    mask = np.array([[True, True], [True, False]])
    found = Gates("gru", "forward", {"u": values}, 1 - values, mask)
    by_unit = found.by_unit("u")
    np.testing.assert_allclose(by_unit.mean, [1.05 / 3, 1.4 / 3])
    np.testing.assert_allclose(by_unit.shut, [2 / 3, 0])
    np.testing.assert_allclose(by_unit.open, [1 / 3, 0])
    by_step = found.by_step("u")
    np.testing.assert_allclose(by_step.mean, [1.3 / 4, 1.15 / 2])
    np.testing.assert_allclose(by_step.shut, [0.5, 0])
    both = found.by_step_and_unit("u")
    np.testing.assert_allclose(both.mean, [[0.05, 0.6], [0.95, 0.2]])
    nowhere = Gates("gru", "forward", {"u": values}, values, mask & [True, False])
    assert np.isnan(nowhere.by_step("u").mean[1])


def test_the_time_constant_follows_from_the_mean_of_keep():
    keep = np.array([[[0.9, 1.0, 0.0, 0.5], [0.7, 1.0, 0.0, 0.5], [9, 9, 9, 9]]])
    found = Gates("gru", "forward", {}, keep, np.array([[True, True, False]]))
    expected = [1 / -np.log(0.8), np.inf, 0, 1 / np.log(2)]
    np.testing.assert_allclose(found.time_constants(), expected)
    np.testing.assert_allclose(found.time_constant_quantiles((0.5, 1)), [1 / np.log(2), np.inf])


@pytest.mark.parametrize("unit", [layers.GRU, layers.LSTM, keras.layers.GRU, keras.layers.LSTM])
def test_without_recurrent_weights_the_time_constant_is_that_of_the_gradient(unit):
    """No weights multiply the state, so half of dL/dc<t> remains after log 2 time constants."""
    model = keras.Sequential(
        [
            keras.Input((None, 2), dtype="float64"),
            unit(UNITS, dtype="float64", recurrent_initializer="zeros", kernel_initializer="zeros"),
        ]
    )
    bias = model.weights[2]
    bias.assign(np.random.default_rng(0).normal(size=bias.shape))
    bias.assign(bias.numpy().reshape(-1, UNITS)[:, :1].repeat(UNITS, 1).reshape(bias.shape))
    x = np.zeros((1, 40, 2))
    (found,) = GateMeter(model).measure(x)
    flow = FlowMeter(model, loss="mse").measure(x, np.zeros((1, UNITS)))[-1]
    curve = flow.by_lag()
    half_life = decay(curve.at, curve.log10_mean).half_life
    np.testing.assert_allclose(found.time_constants() * np.log(2), half_life, rtol=1e-6)
