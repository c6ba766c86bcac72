"""Gated recurrent units: the lecture's simplified GRU and its full GRU."""

import keras
from keras.ops import sigmoid, tanh

from layers.cell import Cell
from layers.recurrent import Recurrent


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRUCell(Cell):
    """The lecture's simplified GRU: an update gate alone.

        c̃<t> = tanh(W_c [c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    Source: the lecture.

    Args:
        units: size of c<t>.
        update_bias: what b_u starts from. Below 0 the gate starts nearly shut, and the unit starts
            with a long memory.
        **kwargs: see `layers.Cell`.

    >>> SimplifiedGRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "c")
    states = ("c",)

    def __init__(self, units, update_bias=0.0, **kwargs):
        super().__init__(units, **kwargs)
        self.update_bias = update_bias

    def equations(self, recurrent, c):
        c_tilde = tanh(recurrent("c", c))
        gamma_u = sigmoid(recurrent("u", c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)

    def gate_biases(self):
        return {"u": self.update_bias} if self.update_bias else {}

    def get_config(self):
        return {**super().get_config(), "update_bias": self.update_bias}


@keras.saving.register_keras_serializable("unrolled")
class GRUCell(SimplifiedGRUCell):
    """The lecture's full GRU: an update gate and a relevance gate.

        c̃<t> = tanh(W_c [Γ_r * c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        Γ_r  = σ(W_r [c<t-1>, x<t>] + b_r)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    `keras.layers.GRUCell(reset_after=False)` is the same function with Keras's z = 1 - Γ_u, that is
    with kernel, recurrent kernel and bias of its update gate negated; Keras's r is Γ_r. Keras's
    default, `reset_after=True`, multiplies by the relevance gate after the product and is another
    function.

    Source: the lecture; Cho et al. 2014, "Learning Phrase Representations using RNN
    Encoder-Decoder for Statistical Machine Translation".

    >>> GRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "r", "c")

    def equations(self, recurrent, c):
        gamma_u = sigmoid(recurrent("u", c))
        gamma_r = sigmoid(recurrent("r", c))
        c_tilde = tanh(recurrent("c", gamma_r * c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRU(Recurrent):
    """The simplified GRU through time; see `SimplifiedGRUCell`, and `Recurrent` for the shapes."""

    cell_class = SimplifiedGRUCell


@keras.saving.register_keras_serializable("unrolled")
class GRU(Recurrent):
    """The full GRU through time; see `GRUCell`, and `Recurrent` for the shapes."""

    cell_class = GRUCell
