"""The basic recurrent neural network."""

import keras

from layers.cell import Cell
from layers.recurrent import Recurrent


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNNCell(Cell):
    """The basic RNN unit.

        a<t> = g(W_a [a<t-1>, x<t>] + b_a)

    with g = tanh, or ReLU with `activation="relu"`. The same function as
    `keras.layers.SimpleRNNCell`; the site `a` is all of its kernel.

    Source: the lecture; Elman 1990, "Finding Structure in Time".

    Args:
        units: size of a<t>.
        activation: g.
        **kwargs: see `layers.Cell`.

    >>> SimpleRNNCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("a",)
    states = ("a",)

    def __init__(self, units, activation="tanh", **kwargs):
        super().__init__(units, **kwargs)
        self.activation = keras.activations.get(activation)

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a)),)

    def get_config(self):
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNN(Recurrent):
    """The basic RNN through time; see `SimpleRNNCell`, and `Recurrent` for the shapes."""

    cell_class = SimpleRNNCell
