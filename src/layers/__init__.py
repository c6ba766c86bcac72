"""The recurrent units of the course as Keras layers: `from layers import GRU`."""

import layers.backend  # noqa: F401  (first: it refuses other backends before Keras is imported)
from layers.cell import Cell
from layers.conversion import from_keras, to_keras
from layers.embedding import Embedding
from layers.gru import GRU, GRUCell, SimplifiedGRU, SimplifiedGRUCell
from layers.lstm import LSTM, LSTMCell, PeepholeLSTM, PeepholeLSTMCell
from layers.minimal import MinGRU, MinGRUCell, MinLSTM, MinLSTMCell
from layers.recurrent import Recurrent
from layers.simple_rnn import SimpleRNN, SimpleRNNCell

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
]
