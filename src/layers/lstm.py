"""Long short-term memory: the lecture's LSTM and its peephole form."""

import keras
from keras.ops import sigmoid, tanh

from layers.cell import Cell
from layers.recurrent import Recurrent


@keras.saving.register_keras_serializable("unrolled")
class LSTMCell(Cell):
    """The lecture's LSTM: update, forget and output gates.

        c̃<t> = tanh(W_c [a<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [a<t-1>, x<t>] + b_u)
        Γ_f  = σ(W_f [a<t-1>, x<t>] + b_f)
        Γ_o  = σ(W_o [a<t-1>, x<t>] + b_o)
        c<t> = Γ_u * c̃<t> + Γ_f * c<t-1>
        a<t> = Γ_o * tanh(c<t>)

    The same function as `keras.layers.LSTMCell`, whose i, f, c, o are u, f, c, o here, in the same
    order; its states (h, c) are (a, c).

    Source: the lecture; Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; the forget gate is
    from Gers et al. 2000, "Learning to Forget".

    Args:
        units: size of a<t> and c<t>.
        forget_bias: what b_f starts from. 1 is Keras's default and advised by Jozefowicz et al.
            2015, "An Empirical Exploration of Recurrent Network Architectures".
        **kwargs: see `layers.Cell`.

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> LSTMCell(4)(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "f", "c", "o")
    states = ("a", "c")

    def __init__(self, units, forget_bias=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.forget_bias = forget_bias

    def equations(self, recurrent, a, c):
        c_tilde = tanh(recurrent("c", a))
        gamma_u = sigmoid(recurrent("u", a))
        gamma_f = sigmoid(recurrent("f", a))
        gamma_o = sigmoid(recurrent("o", a))
        c = gamma_u * c_tilde + gamma_f * c
        a = gamma_o * tanh(c)
        return a, c

    def gate_biases(self):
        return {"f": self.forget_bias} if self.forget_bias else {}

    def get_config(self):
        return {**super().get_config(), "forget_bias": self.forget_bias}


@keras.saving.register_keras_serializable("unrolled")
class PeepholeLSTMCell(LSTMCell):
    """The lecture's LSTM with peepholes: all three gates also see c<t-1>.

        c̃<t> = tanh(W_c [a<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [a<t-1>, x<t>] + p_u * c<t-1> + b_u)
        Γ_f  = σ(W_f [a<t-1>, x<t>] + p_f * c<t-1> + b_f)
        Γ_o  = σ(W_o [a<t-1>, x<t>] + p_o * c<t-1> + b_o)
        c<t> = Γ_u * c̃<t> + Γ_f * c<t-1>
        a<t> = Γ_o * tanh(c<t>)

    The lecture writes `W_u [a<t-1>, x<t>, c<t-1>]` and says that element i of c<t-1> affects only
    element i of the gates: that part of W_u is diagonal, `p_u` here, a row of the weight
    `peephole`, `(3, units)`. Gers & Schmidhuber 2000 show the output gate the *new* c<t> instead.

    Source: the lecture; Gers & Schmidhuber 2000, "Recurrent Nets that Time and Count".

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> PeepholeLSTMCell(4)(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    peepholes = ("u", "f", "o")

    def equations(self, recurrent, a, c):
        c_tilde = tanh(recurrent("c", a))
        gamma_u = sigmoid(recurrent("u", a, peephole=c))
        gamma_f = sigmoid(recurrent("f", a, peephole=c))
        gamma_o = sigmoid(recurrent("o", a, peephole=c))
        c = gamma_u * c_tilde + gamma_f * c
        a = gamma_o * tanh(c)
        return a, c


@keras.saving.register_keras_serializable("unrolled")
class LSTM(Recurrent):
    """The LSTM through time; see `LSTMCell`, and `Recurrent` for the shapes."""

    cell_class = LSTMCell


@keras.saving.register_keras_serializable("unrolled")
class PeepholeLSTM(Recurrent):
    """The LSTM with peepholes through time; see `PeepholeLSTMCell`, and `Recurrent`."""

    cell_class = PeepholeLSTMCell
