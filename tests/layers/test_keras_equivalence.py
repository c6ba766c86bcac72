"""Our units against Keras's built-in ones, with the same weights."""

import keras
import numpy as np
import pytest

import layers

UNITS, SHAPE = 5, (3, 8, 4)


def negated_update_gate(weights):
    """Keras's z is 1 - Γ_u, and σ(-x) = 1 - σ(x)."""
    return [np.concatenate([-w[..., :UNITS], w[..., UNITS:]], axis=-1) for w in weights]


PAIRS = [
    (layers.SimpleRNN, keras.layers.SimpleRNN, {}, lambda weights: weights),
    (layers.GRU, keras.layers.GRU, {"reset_after": False}, negated_update_gate),
    (layers.LSTM, keras.layers.LSTM, {}, lambda weights: weights),
]


@pytest.mark.parametrize(("ours", "theirs", "options", "convert"), PAIRS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_same_outputs_with_the_same_weights(ours, theirs, options, convert, masked, backwards):
    rng = np.random.default_rng(1)
    x = rng.normal(size=SHAPE).astype("float32")
    mask = np.array(rng.random(SHAPE[:2]) < 0.7) if masked else None
    shared = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    reference, layer = theirs(UNITS, **options, **shared), ours(UNITS, **shared)
    reference.build(SHAPE)
    layer.build(SHAPE)
    weights = [rng.normal(size=w.shape) for w in reference.get_weights()]
    reference.set_weights(weights)
    layer.set_weights(convert(weights))
    for one, other in zip(layer(x, mask=mask), reference(x, mask=mask), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
