"""Every unit, and its counterpart in Keras: a built-in layer, or `keras.layers.RNN` over a cell."""

from functools import partial

import keras
import pytest

from unrolled import layers

UNITS = {
    "SimpleRNN": layers.SimpleRNN,
    "SimplifiedGRU": layers.SimplifiedGRU,
    "GRU": layers.GRU,
    "GRU_reset_after": partial(layers.variants.GRU, reset_after=True),
    "LSTM": layers.LSTM,
    "PeepholeLSTM": layers.PeepholeLSTM,
}


@pytest.fixture(params=UNITS.values(), ids=UNITS)
def unit(request):
    return request.param


@pytest.fixture(params=[n for n in UNITS if n not in ("SimplifiedGRU", "LSTM")])
def largest_unit(request):
    """Units that are not contained in another, as the simplified GRU is in the GRU: a scan of the
    larger one covers both."""
    return UNITS[request.param]


@pytest.fixture(scope="session")
def units():
    return UNITS


@pytest.fixture(scope="session")
def in_keras():
    return _in_keras


def _in_keras(layer):
    """Keras's layer that computes and learns what ours, built, does; its weights are its own."""
    # Not for a GRU with `reset_after`: Keras's learns two biases.
    if type(layer) in (layers.LSTM, layers.SimpleRNN, layers.GRU):
        return layers.to_keras(layer)
    ours = type(layer).from_config(layer.get_config())
    options = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
    shared = {name: getattr(layer, name) for name in options}
    reference = keras.layers.RNN(ours.cell, dtype=layer.dtype_policy, **shared)
    batch = layer.states[0].shape[0] if layer.stateful else None
    reference.build((batch, None, layer.cell.kernel.shape[0]))
    reference.set_weights(layer.get_weights())
    return reference
