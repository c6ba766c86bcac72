"""Keras's own tests of its recurrent layers, as installed with Keras, run on our layers."""

import importlib.util
import types
from pathlib import Path

import keras
import pytest
from keras.src.layers.rnn import bidirectional

from unrolled import layers

OURS = {"LSTM": layers.LSTM, "SimpleRNN": layers.SimpleRNN}


def keras_case(name):
    """The test case of one of Keras's test modules, which sees our layers as Keras's."""
    path = Path(bidirectional.__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"keras_own_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.layers = types.SimpleNamespace(**{**vars(module.layers), **OURS})
    (case,) = (value for name, value in vars(module).items() if name.endswith("Test"))
    return case


LSTMTest = keras_case("lstm_test")
SimpleRNNTest = keras_case("simple_rnn_test")
BidirectionalTest = keras_case("bidirectional_test")


@pytest.fixture(autouse=True)
def bidirectional_takes_our_lstm_for_its_own(monkeypatch):
    """`Bidirectional` asks whether a layer is Keras's LSTM before it looks for a cuDNN form."""
    monkeypatch.setattr(bidirectional, "LSTM", layers.LSTM)


@pytest.mark.parametrize("case", [LSTMTest, SimpleRNNTest, BidirectionalTest])
def test_they_see_our_layers(case):
    seen = case.test_basics.__globals__["layers"]
    assert seen.LSTM is layers.LSTM is not keras.layers.LSTM
    assert seen.SimpleRNN is layers.SimpleRNN is not keras.layers.SimpleRNN
