"""A unit and its peer: the same function, or no comparison."""

import sys

import keras
import numpy as np
import pytest

from benchmarks import peers
from benchmarks.memory import measure_memory
from benchmarks.peers import DifferentFunctionsError, Shape, make_pair, name_of_peer
from benchmarks.plan import make_plan
from benchmarks.steps import measure_steps, products_of_training

SHAPE = Shape(batch=3, steps=7, inputs=4, units=5)
OPTIONS = {"repeats": 1, "tolerance": 1e-4, "seed": 1}


@pytest.mark.parametrize(
    ("unit", "peer"),
    [
        ("simple_rnn", "keras.layers.SimpleRNN"),
        ("gru_simplified", "keras.layers.RNN(cell)"),
        ("gru", "keras.layers.GRU(reset_after=False)"),
        ("lstm", "keras.layers.LSTM"),
        ("lstm_peephole", "keras.layers.RNN(cell)"),
    ],
)
def test_the_peer_is_keras_own_layer_if_there_is_one(unit, peer):
    assert unit in make_plan([]).units
    assert name_of_peer(make_pair(unit, SHAPE, False, 1).peer) == peer


def test_masks_leave_each_example_a_length_of_its_own():
    mask = make_pair("lstm", Shape(50, 40, 2, 2), True, 1).mask.numpy()
    lengths = mask.sum(axis=1)
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()  # padding on the right
    assert lengths.min() >= 1
    assert lengths.max() == 40
    assert len(set(lengths)) > 10


@pytest.mark.parametrize("masked", [False, True])
def test_a_peer_of_another_function_is_refused(masked, monkeypatch):
    def other(layer):
        options = {"return_sequences": True, "recurrent_activation": "hard_sigmoid"}
        peer = keras.layers.LSTM(SHAPE.units, **options)
        peer.build((None, None, SHAPE.inputs))
        peer.set_weights(layer.get_weights())
        return peer

    monkeypatch.setattr(peers, "peer_of", other)
    with pytest.raises(DifferentFunctionsError, match="The outputs of the unit and of its peer"):
        measure_steps("lstm", SHAPE, masked, **OPTIONS)


@keras.saving.register_keras_serializable("tests")
class HalfDeaf(keras.layers.LSTM):
    """The outputs of an LSTM, and half of its gradient by the input."""

    def call(self, sequences, **kwargs):
        half = sequences / 2
        return super().call(half + keras.ops.stop_gradient(half), **kwargs)


@keras.saving.register_keras_serializable("tests")
class Truncated(keras.layers.LSTM):
    """The outputs of an LSTM, and a gradient that goes back no further than to step 4."""

    def inner_loop(self, sequences, initial_state, mask, training=False):  # noqa: ARG002
        first, rest = sequences[:, :4], sequences[:, 4:]
        _, outputs, states = super().inner_loop(first, initial_state, None, training)
        states = [keras.ops.stop_gradient(state) for state in states]
        last, more, states = super().inner_loop(rest, states, None, training)
        return last, keras.ops.concatenate([outputs, more], axis=1), states


@pytest.mark.parametrize("kind", [HalfDeaf, Truncated])
def test_a_peer_of_another_gradient_is_refused(kind, monkeypatch):
    def other(layer):
        peer = kind(SHAPE.units, return_sequences=True)
        peer.build((None, None, SHAPE.inputs))
        peer.set_weights(layer.get_weights())
        return peer

    monkeypatch.setattr(peers, "peer_of", other)
    with pytest.raises(DifferentFunctionsError, match="The gradients with respect to x"):
        measure_steps("lstm", SHAPE, False, **OPTIONS)


def test_gradients_by_weights_are_compared_with_their_signs():
    outputs, by_x, ones = (np.ones(3), np.ones(3)), np.ones(2), np.ones(6)
    negated = ones * [-1, -1, 1, 1, 1, 1]  # Keras's update gate is 1 minus ours.
    gru, lstm = keras.layers.GRU(2, reset_after=False), keras.layers.LSTM(2)
    peers.require_same_function(outputs, ([by_x, negated], [by_x, ones]), 1e-4, gru)
    peers.require_same_function(outputs, ([by_x, ones], [by_x, ones]), 1e-4, lstm)
    for ours, peer in ((ones, gru), (negated, lstm), (2 * ones, lstm)):
        with pytest.raises(DifferentFunctionsError, match="The gradients with respect to weights"):
            peers.require_same_function(outputs, ([by_x, ours], [by_x, ones]), 1e-4, peer)
    with pytest.raises(DifferentFunctionsError, match="differ by nan"):
        peers.require_same_function((np.full(3, np.nan), np.ones(3)), ([by_x], [by_x]), 1e-4, lstm)


def test_products_are_counted_from_the_weights():
    lstm = make_pair("lstm", SHAPE, False, 1).ours
    sums_of_a_step = 4 * 5 * (4 + 5)  # gates, units, what each is made of
    assert products_of_training(lstm, SHAPE) == 3 * 2 * 3 * 7 * sums_of_a_step
    peephole = make_pair("lstm_peephole", SHAPE, False, 1).ours
    assert products_of_training(peephole, SHAPE) == products_of_training(lstm, SHAPE)


def test_a_process_that_dies_measuring_memory_says_how(monkeypatch, tmp_path):
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho first >&2; echo no memory left >&2; exit 3\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(RuntimeError, match="ended with code 3: no memory left"):
        measure_memory("lstm", SHAPE, False, repeats=1, seed=1)
