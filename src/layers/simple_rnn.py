"""The basic recurrent neural network."""

import keras

from unrolled.layers.cell import Cell
from unrolled.layers.recurrent import Recurrent


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNNCell(Cell):
    """The basic RNN unit.

        a<t> = g(W_a [a<t-1>, x<t>] + b_a)

    with g = tanh, or ReLU with `activation="relu"`. With `activation="relu"` and
    `recurrent_initializer="identity"` it is the IRNN: it starts by adding up what it sees.

    The same function as `keras.layers.SimpleRNNCell`; the site `a` is all of its kernel.

    Source: the lecture; Elman 1990, "Finding Structure in Time"; for the IRNN Le et al. 2015, "A
    Simple Way to Initialize Recurrent Networks of Rectified Linear Units".

    Args:
        units: size of a<t>.
        **kwargs: see `layers.Cell`; `activation` is g.

    >>> SimpleRNNCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("a",)
    states = ("a",)

    @property
    def weights_as_in_keras(self):
        return type(self) is SimpleRNNCell  # A unit derived from it may mean something else.

    def equations(self, recurrent, a):
        return (self.activation(recurrent("a", a)),)


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNN(Recurrent):
    """The basic RNN through time; see `SimpleRNNCell`, and `Recurrent` for the shapes."""

    cell_class = SimpleRNNCell
    in_place_of = keras.layers.SimpleRNN
