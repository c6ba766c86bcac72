"""The recurrent units of the course as Keras layers: `from unrolled.layers import GRU`."""

import unrolled.layers.backend  # noqa: F401  (first: it rejects other backends before Keras is imported)
from unrolled.layers import variants
from unrolled.layers.cell import Cell
from unrolled.layers.conversion import from_keras, to_keras
from unrolled.layers.embedding import Embedding
from unrolled.layers.gru import GRU, GRUCell, SimplifiedGRU, SimplifiedGRUCell
from unrolled.layers.lstm import LSTM, LSTMCell, PeepholeLSTM, PeepholeLSTMCell
from unrolled.layers.minimal import MinGRU, MinGRUCell, MinLSTM, MinLSTMCell
from unrolled.layers.recurrent import Recurrent
from unrolled.layers.simple_rnn import SimpleRNN, SimpleRNNCell

__all__ = [
    "GRU",
    "LSTM",
    "Cell",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "MinGRU",
    "MinGRUCell",
    "MinLSTM",
    "MinLSTMCell",
    "PeepholeLSTM",
    "PeepholeLSTMCell",
    "Recurrent",
    "SimpleRNN",
    "SimpleRNNCell",
    "SimplifiedGRU",
    "SimplifiedGRUCell",
    "from_keras",
    "to_keras",
    "variants",
]
