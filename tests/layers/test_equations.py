"""Each unit against NumPy, written from the lecture and from nothing else."""

import numpy as np
import pytest

import layers

UNITS, INPUTS, STEPS, BATCH = 4, 3, 6, 2


def sigma(z):
    return 1 / (1 + np.exp(-z))


def columns(weights, name, sites, site):
    start = weights[sites].index(site) * UNITS
    return weights[name][..., start : start + UNITS]


def w(weights, site):
    """W_site and b_site as the lecture has them: W multiplies [state, x] stacked."""
    W = [
        columns(weights, "recurrent_kernel", "recurrent_sites", site),
        columns(weights, "kernel", "gates", site),
    ]
    return np.vstack(W).T, columns(weights, "bias", "gates", site)


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


def lstm_variant(
    *absent, coupled=False, g=np.tanh, h=np.tanh, peepholes=None, gate_recurrence=False
):
    """The variants of Greff et al. 2017 as the paper's appendix states them, in our letters."""

    def equations(weights, x, a, c, *gammas):
        def gate(site, seen):
            if site in absent:
                return 1.0
            z = affine(weights, site, a, x)
            if peepholes:
                z = (
                    z
                    + weights["peephole"][[s for s in "ufo" if s not in absent].index(site)] * seen
                )
            for other, gamma in zip("ufo", gammas, strict=False):
                R = columns(weights, "recurrent_kernel", "recurrent_sites", f"{other}{site}")
                z = z + gamma @ R
            return sigma(z)

        c_tilde = g(affine(weights, "c", a, x))
        gamma_u = gate("u", c)
        gamma_f = 1 - gamma_u if coupled else gate("f", c)
        new = gamma_u * c_tilde + gamma_f * c
        gamma_o = gate("o", new if peepholes == "gers" else c)
        kept = (gamma_u, gamma_f, gamma_o) if gate_recurrence else ()
        return gamma_o * h(new), new, *kept

    return equations


def identity(z):
    return z


def minimal_gated_unit(weights, x, c):
    gamma = sigma(affine(weights, "u", c, x))
    c_tilde = np.tanh(affine(weights, "c", gamma * c, x))
    return (gamma * c_tilde + (1 - gamma) * c,)


CASES = [
    (layers.SimpleRNN, {}, simple_rnn),
    (layers.SimpleRNN, {"activation": "relu"}, simple_rnn_relu),
    (layers.SimplifiedGRU, {}, simplified_gru),
    (layers.GRU, {}, gru),
    (layers.LSTM, {}, lstm),
    (layers.PeepholeLSTM, {}, peephole_lstm),
    (layers.GRU, {"relevance_gate": False}, simplified_gru),
    (layers.GRU, {"relevance_gate": "shared"}, minimal_gated_unit),
    (layers.LSTM, {"update_gate": False}, lstm_variant("u")),
    (layers.LSTM, {"forget_gate": False}, lstm_variant("f")),
    (layers.LSTM, {"output_gate": False}, lstm_variant("o")),
    (layers.LSTM, {"forget_gate": "coupled"}, lstm_variant("f", coupled=True)),
    (layers.LSTM, {"candidate_activation": False}, lstm_variant(g=identity)),
    (layers.LSTM, {"output_activation": False}, lstm_variant(h=identity)),
    (layers.LSTM, {"peepholes": "lecture"}, peephole_lstm),
    (layers.LSTM, {"peepholes": "gers"}, lstm_variant(peepholes="gers")),
    (
        layers.LSTM,
        {"peepholes": "gers", "forget_gate": False},
        lstm_variant("f", peepholes="gers"),
    ),
    (layers.LSTM, {"gate_recurrence": True}, lstm_variant(gate_recurrence=True)),
]


@pytest.mark.parametrize(("unit", "options", "equations"), CASES)
def test_the_layer_computes_the_lectures_equations(unit, options, equations):
    rng = np.random.default_rng(0)
    layer = unit(UNITS, return_sequences=True, return_state=True, dtype="float64", **options)
    x = rng.normal(size=(BATCH, STEPS, INPUTS))
    layer.build(x.shape)
    cell = layer.cell
    weights = {
        "gates": [site for site in cell.sites if len(site) == 1],
        "recurrent_sites": cell.recurrent_sites,
    }
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
