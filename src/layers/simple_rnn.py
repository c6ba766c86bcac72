"""The basic recurrent neural network."""

import keras
import tensorflow as tf

from unrolled.layers.cell import Cell, SiteSum
from unrolled.layers.recurrent import Recurrent


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNNCell(Cell):
    """The basic RNN unit.

        a<t> = g(W_a [a<t-1>, x<t>] + b_a)

    with g = tanh, or ReLU with `activation="relu"`. With `activation="relu"` and
    `recurrent_initializer="identity"` it is the IRNN, which starts as a sum of its inputs.

    `keras.layers.SimpleRNNCell` computes the same function. Both layers load the weights of the
    other.

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

    def equations(self, recurrent: SiteSum, a: tf.Tensor) -> tuple[tf.Tensor, ...]:
        g = self.activation

        a = g(recurrent("a", a))
        return (a,)

    @property
    def weights_as_in_keras(self) -> bool:
        return type(self) is SimpleRNNCell  # The weights of a derived unit may mean something else.


@keras.saving.register_keras_serializable("unrolled")
class SimpleRNN(Recurrent):
    """The basic RNN through time; see `SimpleRNNCell`, and `Recurrent` for the shapes."""

    cell_class = SimpleRNNCell
    in_place_of = keras.layers.SimpleRNN
