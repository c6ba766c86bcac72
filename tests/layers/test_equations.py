"""Each unit against NumPy code written from the lecture."""

import keras
import numpy as np
import pytest

from unrolled import layers
from unrolled.layers import variants

UNITS, INPUTS, STEPS, BATCH = 4, 3, 6, 2


def sigma(z):
    return 1 / (1 + np.exp(-z))


class Weights:
    """A cell's weights, drawn anew (zero biases would hide mistakes), taken apart by site."""

    def __init__(self, cell, rng):
        for weight in cell.weights:
            weight.assign(rng.normal(size=weight.shape))
        sees_input = [s for s in cell.sites if s not in cell.state_only]
        self.W = by_site(cell.kernel, [s for s in sees_input if s not in cell.input_itself])
        self.U = by_site(cell.recurrent_kernel, [s for s in cell.sites if s not in cell.input_only])
        self.b = by_site(cell.bias, [s for s in cell.sites if s not in cell.unbiased])
        self.p = (
            {}
            if cell.peephole is None
            else dict(zip(cell.peephole_sites, cell.peephole.numpy(), strict=True))
        )


def by_site(weight, sites):
    """The columns of each site as the lecture has them: a matrix that multiplies from the left."""
    if weight is None:
        return {}
    return {s: w.T for s, w in zip(sites, np.split(weight.numpy(), len(sites), -1), strict=True)}


def affine(weights, site, state, x):
    """W_site [state, x] + b_site."""
    W = np.hstack([weights.U[site], weights.W[site]])
    return W @ np.concatenate([state, x]) + weights.b[site]


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


def gru_reset_after(weights, x, c):
    gamma_r = sigma(affine(weights, "r", c, x))
    of_memory = weights.U["m"] @ c + weights.b["m"]
    c_tilde = np.tanh(weights.W["c"] @ x + weights.b["c"] + gamma_r * of_memory)
    gamma_u = sigma(affine(weights, "u", c, x))
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def minimal_gated_unit(weights, x, c):
    gamma_u = sigma(affine(weights, "u", c, x))
    c_tilde = np.tanh(affine(weights, "c", gamma_u * c, x))
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def minimal_gated_unit_reset_after(weights, x, c):
    gamma_u = sigma(affine(weights, "u", c, x))
    of_memory = weights.U["m"] @ c + weights.b["m"]
    c_tilde = np.tanh(weights.W["c"] @ x + weights.b["c"] + gamma_u * of_memory)
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


MUT1 = {"state_in_update_gate": False, "unweighted_input": "candidate"}
MUT2 = {"unweighted_input": "relevance"}
MUT3 = {"state_in_update_gate": "tanh"}


def mut1(weights, x, c):
    gamma_u = sigma(weights.W["u"] @ x + weights.b["u"])
    gamma_r = sigma(affine(weights, "r", c, x))
    c_tilde = np.tanh(weights.U["c"] @ (gamma_r * c) + np.tanh(x) + weights.b["c"])
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def mut2(weights, x, c):
    gamma_u = sigma(affine(weights, "u", c, x))
    gamma_r = sigma(x + weights.U["r"] @ c + weights.b["r"])
    c_tilde = np.tanh(affine(weights, "c", gamma_r * c, x))
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def mut3(weights, x, c):
    gamma_u = sigma(affine(weights, "u", np.tanh(c), x))
    gamma_r = sigma(affine(weights, "r", c, x))
    c_tilde = np.tanh(affine(weights, "c", gamma_r * c, x))
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def reset_after_with_x_itself(weights, x, c):
    gamma_u = sigma(affine(weights, "u", np.tanh(c), x))
    gamma_r = sigma(affine(weights, "r", c, x))
    of_memory = weights.U["m"] @ c + weights.b["m"]
    c_tilde = np.tanh(np.tanh(x) + weights.b["c"] + gamma_r * of_memory)
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def simplified_gru_whose_gate_sees_x_alone(weights, x, c):
    c_tilde = np.tanh(affine(weights, "c", c, x))
    gamma_u = sigma(weights.W["u"] @ x + weights.b["u"])
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def min_gru(weights, x, c):
    c_tilde = weights.W["c"] @ x + weights.b["c"]
    gamma_u = sigma(weights.W["u"] @ x + weights.b["u"])
    return (gamma_u * c_tilde + (1 - gamma_u) * c,)


def min_lstm(weights, x, c):
    c_tilde = weights.W["c"] @ x + weights.b["c"]
    gamma_u = sigma(weights.W["u"] @ x + weights.b["u"])
    gamma_f = sigma(weights.W["f"] @ x + weights.b["f"])
    both = gamma_u + gamma_f
    return (gamma_u / both * c_tilde + gamma_f / both * c,)


def no_update_gate(weights, x, a, c):
    c = np.tanh(affine(weights, "c", a, x)) + sigma(affine(weights, "f", a, x)) * c
    return sigma(affine(weights, "o", a, x)) * np.tanh(c), c


def no_forget_gate(weights, x, a, c):
    c = sigma(affine(weights, "u", a, x)) * np.tanh(affine(weights, "c", a, x)) + c
    return sigma(affine(weights, "o", a, x)) * np.tanh(c), c


def no_output_gate(weights, x, a, c):
    gamma_u, gamma_f = (sigma(affine(weights, gate, a, x)) for gate in "uf")
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + gamma_f * c
    return np.tanh(c), c


def no_candidate_activation(weights, x, a, c):
    gamma_u, gamma_f, gamma_o = (sigma(affine(weights, gate, a, x)) for gate in "ufo")
    c = gamma_u * affine(weights, "c", a, x) + gamma_f * c
    return gamma_o * np.tanh(c), c


def no_output_activation(weights, x, a, c):
    gamma_u, gamma_f, gamma_o = (sigma(affine(weights, gate, a, x)) for gate in "ufo")
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + gamma_f * c
    return gamma_o * c, c


def coupled(weights, x, a, c):
    gamma_u, gamma_o = (sigma(affine(weights, gate, a, x)) for gate in "uo")
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + (1 - gamma_u) * c
    return gamma_o * np.tanh(c), c


def peepholes(weights, x, a, c):
    gamma_u, gamma_f, gamma_o = (
        sigma(affine(weights, gate, a, x) + weights.p[gate] * c) for gate in "ufo"
    )
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + gamma_f * c
    return gamma_o * np.tanh(c), c


def peepholes_of_gers(weights, x, a, c):
    gamma_u, gamma_f = (sigma(affine(weights, gate, a, x) + weights.p[gate] * c) for gate in "uf")
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + gamma_f * c
    gamma_o = sigma(affine(weights, "o", a, x) + weights.p["o"] * c)
    return gamma_o * np.tanh(c), c


def peepholes_of_gers_without_forget_gate(weights, x, a, c):
    gamma_u = sigma(affine(weights, "u", a, x) + weights.p["u"] * c)
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + c
    gamma_o = sigma(affine(weights, "o", a, x) + weights.p["o"] * c)
    return gamma_o * np.tanh(c), c


def gate_recurrence(weights, x, a, c, *gammas):
    gamma_u, gamma_f, gamma_o = (
        sigma(
            affine(weights, gate, a, x)
            + sum(weights.U[f"{v}{gate}"] @ gamma for v, gamma in zip("ufo", gammas, strict=True))
        )
        for gate in "ufo"
    )
    c = gamma_u * np.tanh(affine(weights, "c", a, x)) + gamma_f * c
    return gamma_o * np.tanh(c), c, gamma_u, gamma_f, gamma_o


def coupled_with_peepholes_of_gers_and_no_activations(weights, x, a, c):
    gamma_u = sigma(affine(weights, "u", a, x) + weights.p["u"] * c)
    c = gamma_u * affine(weights, "c", a, x) + (1 - gamma_u) * c
    return sigma(affine(weights, "o", a, x) + weights.p["o"] * c) * c, c


CASES = [
    (layers.SimpleRNN, {}, simple_rnn),
    (layers.SimpleRNN, {"activation": "relu"}, simple_rnn_relu),
    (layers.SimplifiedGRU, {}, simplified_gru),
    (layers.GRU, {}, gru),
    (variants.GRU, {"relevance_gate": False}, simplified_gru),
    (variants.GRU, {"reset_after": True}, gru_reset_after),
    (variants.GRU, {"relevance_gate": "shared"}, minimal_gated_unit),
    (
        variants.GRU,
        {"reset_after": True, "relevance_gate": "shared"},
        minimal_gated_unit_reset_after,
    ),
    (variants.GRU, MUT1, mut1),
    (variants.GRU, MUT2, mut2),
    (variants.GRU, MUT3, mut3),
    (
        variants.GRU,
        {"reset_after": True, "state_in_update_gate": "tanh", "unweighted_input": "candidate"},
        reset_after_with_x_itself,
    ),
    (
        variants.SimplifiedGRU,
        {"state_in_update_gate": False},
        simplified_gru_whose_gate_sees_x_alone,
    ),
    (layers.MinGRU, {}, min_gru),
    (layers.MinLSTM, {}, min_lstm),
    (layers.LSTM, {}, lstm),
    (variants.LSTM, {"update_gate": False}, no_update_gate),
    (variants.LSTM, {"forget_gate": False}, no_forget_gate),
    (variants.LSTM, {"output_gate": False}, no_output_gate),
    (variants.LSTM, {"candidate_activation": False}, no_candidate_activation),
    (variants.LSTM, {"output_activation": False}, no_output_activation),
    (variants.LSTM, {"forget_gate": "coupled"}, coupled),
    (variants.LSTM, {"peepholes": "lecture"}, peepholes),
    (
        variants.LSTM,
        {"peepholes": "gers", "forget_gate": False},
        peepholes_of_gers_without_forget_gate,
    ),
    (variants.LSTM, {"gate_recurrence": True}, gate_recurrence),
    (layers.PeepholeLSTM, {}, peepholes),
    (variants.PeepholeLSTM, {"peepholes": "gers"}, peepholes_of_gers),
    (
        variants.LSTM,
        {
            "peepholes": "gers",
            "forget_gate": "coupled",
            "candidate_activation": False,
            "output_activation": False,
        },
        coupled_with_peepholes_of_gers_and_no_activations,
    ),
]


def built(unit, inputs, **options):
    layer = unit(UNITS, **options)
    layer.build((None, None, inputs))
    return layer


@pytest.mark.parametrize(("unit", "options", "equations"), CASES)
def test_the_layer_computes_the_lectures_equations(unit, options, equations):
    rng = np.random.default_rng(0)
    both = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    inputs = UNITS if options.get("unweighted_input") else INPUTS
    layer = built(unit, inputs, **both, **options)
    x = rng.normal(size=(BATCH, STEPS, inputs))
    weights = Weights(layer.cell, rng)

    outputs, *last = layer(x)

    for example in range(BATCH):
        states = [np.zeros(UNITS) for _ in layer.cell.states]
        for t in range(STEPS):
            states = equations(weights, x[example, t], *states)
            np.testing.assert_allclose(outputs[example, t], states[0], atol=1e-12)
        for ours, theirs in zip(last, states, strict=True):
            np.testing.assert_allclose(ours[example], theirs, atol=1e-12)


def starts(layer):
    """What each site's bias starts from."""
    return by_site(layer.cell.bias, layer.cell.sites)


@pytest.mark.parametrize(
    ("unit", "option", "site"),
    [
        (layers.LSTM, "forget_bias", "f"),
        (layers.PeepholeLSTM, "forget_bias", "f"),
        (layers.MinLSTM, "forget_bias", "f"),
        (layers.GRU, "update_bias", "u"),
        (layers.SimplifiedGRU, "update_bias", "u"),
        (layers.MinGRU, "update_bias", "u"),
    ],
)
def test_a_gate_starts_with_its_bias(unit, option, site):
    layer = built(unit, UNITS, **{option: -2.5})
    first = layer.cell.bias.numpy().reshape(-1, UNITS)
    assert (first[layer.cell.sites.index(site)] == -2.5).all()
    assert np.count_nonzero(first) == UNITS


def test_the_default_forget_bias_is_one():
    assert (starts(built(layers.LSTM, INPUTS))["f"] == 1).all()
    for option in ({"unit_forget_bias": False}, {"forget_bias": 0}):
        assert not built(layers.LSTM, INPUTS, **option).cell.bias.numpy().any()


@pytest.mark.parametrize(
    ("unit", "options", "site", "expected"),
    [
        (layers.LSTM, {"forget_bias": 0}, "f", 0),
        (layers.LSTM, {}, "f", 1),
        (layers.LSTM, {"unit_forget_bias": False}, "f", 3),
        (layers.GRU, {}, "u", 3),
    ],
)
def test_an_initial_bias_replaces_the_initializer(unit, options, site, expected):
    three = keras.initializers.Constant(3)
    first = starts(built(unit, INPUTS, bias_initializer=three, **options))
    assert (first.pop(site) == expected).all()
    assert all((bias == 3).all() for bias in first.values())


@pytest.mark.parametrize("unit", [layers.LSTM, layers.GRU, layers.MinGRU, layers.MinLSTM])
def test_chrono_initialization_spreads_memories_up_to_the_longest_lag(unit):
    keras.utils.set_random_seed(0)
    layer = unit(400, longest_lag=50)
    layer.build((None, None, 1))
    first = starts(layer)
    memory = np.exp(-first["u"])
    assert 1 <= memory.min() < 1.2
    assert 48 < memory.max() <= 49
    np.testing.assert_allclose(memory.mean(), 25, atol=2)
    if "f" in first:
        np.testing.assert_array_equal(first["f"], -first["u"])
    assert not first["c"].any()


def test_the_irnn_starts_as_a_sum_of_its_inputs():
    layer = built(layers.SimpleRNN, INPUTS, activation="relu", recurrent_initializer="identity")
    x = np.abs(np.random.default_rng(0).normal(size=(1, STEPS, INPUTS)))
    layer.cell.kernel.assign(np.abs(layer.cell.kernel))
    np.testing.assert_allclose(layer(x), x.sum(axis=1) @ layer.cell.kernel.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("unit", "options", "sizes"),
    [
        (variants.LSTM, {"update_gate": False}, [3, 3, 3]),
        (variants.LSTM, {"forget_gate": "coupled", "use_bias": False}, [3, 3]),
        (variants.PeepholeLSTM, {"output_gate": False}, [3, 3, 3, 2]),
        (variants.LSTM, {"gate_recurrence": True}, [4, 4 + 9, 4]),
        (layers.GRU, {"use_bias": False}, [3, 3]),
        (variants.GRU, {"reset_after": True}, [3, 3, 4]),
        (variants.GRU, {"relevance_gate": "shared"}, [2, 2, 2]),
        (variants.GRU, MUT1, [2, 2, 3]),
        (variants.GRU, MUT2, [2, 3, 3]),
        (variants.GRU, MUT3, [3, 3, 3]),
        (variants.GRU, {**MUT1, "reset_after": True}, [2, 2, 4]),
        (layers.MinLSTM, {}, [3, 3]),
    ],
    ids=str,
)
def test_what_is_absent_has_no_weights(unit, options, sizes):
    layer = built(unit, UNITS, **options)
    weights = layer.trainable_weights
    assert [w.shape[0 if w.name == "peephole" else -1] for w in weights] == [
        size if w.name == "peephole" else size * UNITS
        for size, w in zip(sizes, weights, strict=True)
    ]


NO_GATE = {"update_gate": False, "forget_gate": False, "output_gate": False}
NO_ACTIVATION = {"candidate_activation": False, "output_activation": False}


@pytest.mark.parametrize(
    ("unit", "options", "message"),
    [
        (
            variants.LSTM,
            {"update_gate": "coupled"},
            "`update_gate`: expected True or False, got",
        ),
        (variants.LSTM, {"forget_gate": "none"}, "`forget_gate`: expected True or False or"),
        (variants.LSTM, {"output_gate": "none"}, "`output_gate`: expected True or False, got"),
        (
            variants.LSTM,
            {"candidate_activation": "relu"},
            "`candidate_activation`: expected True",
        ),
        (
            variants.LSTM,
            {"output_activation": None},
            "`output_activation`: expected True or False",
        ),
        (
            variants.LSTM,
            {"peepholes": True},
            "`peepholes`: expected False or 'lecture' or 'gers'",
        ),
        (
            variants.LSTM,
            {"gate_recurrence": 1},
            "`gate_recurrence`: expected False or True, got 1",
        ),
        (layers.LSTM, {"unit_forget_bias": 2}, "`unit_forget_bias`: expected True or False"),
        (layers.LSTM, {"implementation": 3}, "`implementation`: expected 1 or 2"),
        (layers.LSTM, {"forget_bias": "one"}, "`forget_bias`: expected a finite number, got 'one'"),
        (layers.LSTM, {"forget_bias": np.nan}, "`forget_bias`: expected a finite number, got nan"),
        (
            variants.LSTM,
            {"forget_gate": "coupled", "update_gate": False},
            "`update_gate` must be",
        ),
        (
            variants.LSTM,
            {"forget_gate": False, "forget_bias": 2.0},
            "a forget gate of its own",
        ),
        (
            variants.LSTM,
            {"forget_gate": "coupled", "forget_bias": 2.0},
            "a forget gate of its own",
        ),
        (variants.LSTM, {"forget_gate": False, "longest_lag": 9}, "needs a gate to forget"),
        (layers.LSTM, {"forget_bias": 2.0, "longest_lag": 9}, "give one of them"),
        (layers.LSTM, {"unit_forget_bias": False, "longest_lag": 9}, "^`unit_forget_bias=F"),
        (layers.LSTM, {"forget_bias": 2.0, "unit_forget_bias": False}, "give one of them"),
        (layers.LSTM, {"forget_bias": 2.0, "use_bias": False}, "`use_bias` must be True"),
        (variants.LSTM, {"peepholes": "gers", "output_gate": False}, "`output_gate` must be"),
        (variants.PeepholeLSTM, NO_GATE, "every gate is left out"),
        (variants.LSTM, {"gate_recurrence": True, **NO_GATE}, "every gate is left out"),
        (variants.LSTM, {"activation": "relu", **NO_ACTIVATION}, "`activation` is that of"),
        (layers.LSTM, {"longest_lag": 2}, "`longest_lag`: expected a number of steps above 2"),
        (layers.LSTM, {"longest_lag": "many"}, "`longest_lag`: expected a number of steps above 2"),
        (layers.LSTM, {"longest_lag": 9, "use_bias": False}, "`use_bias` must be True"),
        (layers.GRU, {"update_bias": -1.0, "use_bias": False}, "`use_bias` must be True"),
        (layers.GRU, {"update_bias": -1.0, "longest_lag": 9}, "give one of them"),
        (layers.GRU, {"update_bias": None}, "`update_bias`: expected a finite number, got None"),
        (
            variants.GRU,
            {"relevance_gate": "none"},
            "`relevance_gate`: expected True or False or",
        ),
        (
            variants.GRU,
            {"reset_after": "yes"},
            "`reset_after`: expected False or True, got 'yes'",
        ),
        (
            variants.GRU,
            {"state_in_update_gate": "x"},
            "`state_in_update_gate`: expected True or",
        ),
        (
            variants.GRU,
            {"unweighted_input": True},
            "`unweighted_input`: expected False or 'cand",
        ),
        (
            variants.GRU,
            {"relevance_gate": False, "reset_after": True},
            "`relevance_gate` must be",
        ),
        (variants.GRU, {"relevance_gate": "shared", **MUT2}, "`relevance_gate` must be True"),
        (variants.SimplifiedGRU, MUT2, "`relevance_gate` must be True"),
        (layers.MinGRU, {"update_bias": -1.0, "longest_lag": 9}, "give one of them"),
        (layers.MinLSTM, {"forget_bias": 1.0, "use_bias": False}, "`use_bias` must be True"),
        (layers.MinGRU, {"recurrent_dropout": 0.1}, "no state meets weights"),
        (layers.MinLSTM, {"recurrent_initializer": "zeros"}, "no state meets weights"),
        (layers.MinLSTM, {"recurrent_activation": "relu"}, "stable for σ alone"),
    ],
    ids=str,
)
def test_contradictory_options_are_rejected(unit, options, message):
    with pytest.raises(ValueError, match=message):
        unit(UNITS, **options)
    with pytest.raises(ValueError, match=message):
        unit.cell_class(UNITS, **options)


@pytest.mark.parametrize(
    ("unit", "options"),
    [
        (layers.LSTM, {"use_bias": False, "unit_forget_bias": False}),
        (layers.LSTM, {"use_bias": False, "forget_bias": 0}),
        (variants.LSTM, {"longest_lag": 9, "forget_gate": "coupled"}),
        (variants.LSTM, {"longest_lag": np.float32(2.5), "update_gate": False}),
        (variants.LSTM, {"activation": "relu", "candidate_activation": False}),
        (variants.LSTM, {"peepholes": False, **NO_GATE}),
        (variants.LSTM, {"unit_forget_bias": False, "forget_gate": "coupled"}),
        (layers.GRU, {"update_bias": 0, "longest_lag": 9}),
        (layers.MinGRU, {"recurrent_dropout": 0.0}),
        (layers.MinGRU, {"activation": "tanh", "recurrent_activation": "hard_sigmoid"}),
    ],
    ids=str,
)
def test_what_only_looks_like_a_contradiction_is_accepted(unit, options):
    assert np.isfinite(unit(UNITS, **options)(np.ones((1, STEPS, INPUTS), "float32"))).all()


@pytest.mark.parametrize("options", [MUT1, MUT2], ids=["MUT1", "MUT2"])
def test_an_unweighted_input_must_have_the_size_of_the_state(options):
    with pytest.raises(ValueError, match=r"as many inputs as units: expected 4, got 3\. Set"):
        built(variants.GRU, 3, **options)


def test_the_gates_of_the_min_lstm_may_both_be_closed():
    layer = built(layers.MinLSTM, INPUTS)
    layer.cell.bias.assign(np.repeat([-200.0, -200.0, 0.0], UNITS))
    assert np.isfinite(layer(np.ones((1, STEPS, INPUTS), "float32"))).all()
