"""Each unit against NumPy, written from the lecture and from nothing else."""

import numpy as np
import pytest

import layers

UNITS, INPUTS, STEPS, BATCH = 4, 3, 6, 2


def sigma(z):
    return 1 / (1 + np.exp(-z))


def w(weights, site):
    """W_site and b_site as the lecture has them: W multiplies [state, x] stacked."""
    kernel, recurrent_kernel, bias = weights["kernel"], weights["recurrent_kernel"], weights["bias"]
    columns = slice(
        weights["sites"].index(site) * UNITS, (weights["sites"].index(site) + 1) * UNITS
    )
    return np.vstack([recurrent_kernel[:, columns], kernel[:, columns]]).T, bias[columns]


def affine(weights, site, state, x):
    W, b = w(weights, site)
    return W @ np.concatenate([state, x]) + b


def simple_rnn(weights, x, a):
    return (np.tanh(affine(weights, "a", a, x)),)


def simple_rnn_relu(weights, x, a):
    return (np.maximum(affine(weights, "a", a, x), 0),)


def simplified_gru(weights, x, c):
    c_tilde = np.tanh(affine(weights, "c", c, x))
    gamma_u = sigma(affine(weights, "u", c, x))
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def gru(weights, x, c):
    gamma_r = sigma(affine(weights, "r", c, x))
    c_tilde = np.tanh(affine(weights, "c", gamma_r * c, x))
    gamma_u = sigma(affine(weights, "u", c, x))
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def lstm(weights, x, a, c):
    c_tilde = np.tanh(affine(weights, "c", a, x))
    gamma_u = sigma(affine(weights, "u", a, x))
    gamma_f = sigma(affine(weights, "f", a, x))
    gamma_o = sigma(affine(weights, "o", a, x))
    c = gamma_u * c_tilde + gamma_f * c
    return gamma_o * np.tanh(c), c


def peephole_lstm(weights, x, a, c):
    p_u, p_f, p_o = weights["peephole"]
    c_tilde = np.tanh(affine(weights, "c", a, x))
    gamma_u = sigma(affine(weights, "u", a, x) + p_u * c)
    gamma_f = sigma(affine(weights, "f", a, x) + p_f * c)
    gamma_o = sigma(affine(weights, "o", a, x) + p_o * c)
    c = gamma_u * c_tilde + gamma_f * c
    return gamma_o * np.tanh(c), c


CASES = [
    (layers.SimpleRNN, {}, simple_rnn),
    (layers.SimpleRNN, {"activation": "relu"}, simple_rnn_relu),
    (layers.SimplifiedGRU, {}, simplified_gru),
    (layers.GRU, {}, gru),
    (layers.LSTM, {}, lstm),
    (layers.PeepholeLSTM, {}, peephole_lstm),
]


@pytest.mark.parametrize(("unit", "options", "equations"), CASES)
def test_the_layer_computes_the_lectures_equations(unit, options, equations):
    rng = np.random.default_rng(0)
    layer = unit(UNITS, return_sequences=True, return_state=True, dtype="float64", **options)
    x = rng.normal(size=(BATCH, STEPS, INPUTS))
    layer.build(x.shape)
    weights = {"sites": layer.cell.sites}
    for variable in layer.weights:  # Not the initial ones: zero biases would hide mistakes.
        variable.assign(rng.normal(size=variable.shape))
        weights[variable.name] = variable.numpy()

    outputs, *last = layer(x)

    for example in range(BATCH):
        states = [np.zeros(UNITS) for _ in layer.cell.states]
        for t in range(STEPS):
            states = equations(weights, x[example, t], *states)
            np.testing.assert_allclose(outputs[example, t], states[0], atol=1e-12)
        for ours, theirs in zip(last, states, strict=True):
            np.testing.assert_allclose(ours[example], theirs, atol=1e-12)


def test_the_lstm_starts_with_the_forget_bias():
    layer = layers.LSTM(UNITS, forget_bias=2.5)
    layer.build((None, None, INPUTS))
    bias = layer.cell.bias.numpy().reshape(4, UNITS)
    assert (bias[layer.cell.sites.index("f")] == 2.5).all()
    assert np.count_nonzero(bias) == UNITS


@pytest.mark.parametrize("unit", [layers.GRU, layers.SimplifiedGRU])
def test_the_gru_starts_with_the_update_bias(unit):
    layer = unit(UNITS, update_bias=-3.0)
    layer.build((None, None, INPUTS))
    bias = layer.cell.bias.numpy().reshape(-1, UNITS)
    assert (bias[layer.cell.sites.index("u")] == -3.0).all()
    assert np.count_nonzero(bias) == UNITS


def test_without_bias_a_unit_has_none():
    layer = layers.GRU(UNITS, use_bias=False)
    layer.build((None, None, INPUTS))
    assert [weight.name for weight in layer.weights] == ["kernel", "recurrent_kernel"]
