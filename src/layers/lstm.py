"""Long short-term memory, as the lecture has it: plain, and with peepholes."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from unrolled.layers.cell import SiteSum
from unrolled.layers.gated import GatedCell, GatedRecurrent


@keras.saving.register_keras_serializable("unrolled")
class LSTMCell(GatedCell):
    """The lecture's LSTM: update, forget and output gates.

        c̃<t> = tanh(W_c [a<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [a<t-1>, x<t>] + b_u)
        Γ_f  = σ(W_f [a<t-1>, x<t>] + b_f)
        Γ_o  = σ(W_o [a<t-1>, x<t>] + b_o)
        c<t> = Γ_u * c̃<t> + Γ_f * c<t-1>
        a<t> = Γ_o * tanh(c<t>)

    `keras.layers.LSTMCell` computes the same function. Its gates i, f, c, o are u, f, c, o here, in
    the same order, and its states (h, c) are (a, c). Both layers load the weights of the other.

    Source: the lecture; Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; Gers et al. 2000,
    "Learning to Forget", for the forget gate. Variants from the literature are options of
    `variants.LSTMCell`.

    Args:
        units: size of a<t> and c<t>.
        forget_bias: initial value of b_f, whatever `bias_initializer` is. 1 is Keras's default, and
            recommended by Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network
            Architectures".
        unit_forget_bias: Keras's option; False leaves the initial b_f to `bias_initializer`.
        **kwargs: see `unrolled.layers.gated.GatedCell` and `layers.Cell`.

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> LSTMCell(4)(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    sites: Sequence[str] = ("u", "f", "c", "o")
    states: Sequence[str] = ("a", "c")
    bias_option = ("f", "forget_bias")
    choices: ClassVar = {**GatedCell.choices, "unit_forget_bias": (True, False)}

    def equations(self, recurrent: SiteSum, a: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        g, sigma = self.activation, self.recurrent_activation

        c_tilde = g(recurrent("c", a))
        gamma_u = sigma(recurrent("u", a))
        gamma_f = sigma(recurrent("f", a))
        gamma_o = sigma(recurrent("o", a))
        c = gamma_u * c_tilde + gamma_f * c
        a = gamma_o * g(c)
        return a, c

    def __init__(
        self, units: int, *, forget_bias: float = 1.0, unit_forget_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = forget_bias
        self.unit_forget_bias = unit_forget_bias
        self.check_options()

    @property
    def weights_as_in_keras(self) -> bool:
        return type(self) is LSTMCell  # The weights of a derived unit may mean something else.

    def initial_gate_bias(self) -> float | None:
        return self.forget_bias if self.unit_forget_bias else None

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if not self.unit_forget_bias and self.forget_bias not in (0, 1):
            yield (
                "`unit_forget_bias=False` leaves the initial b_f to `bias_initializer`, and "
                f"`forget_bias` sets it to {self.forget_bias}: give one of them."
            )
        if not self.unit_forget_bias and self.longest_lag is not None:
            yield (
                "`unit_forget_bias=False` leaves the initial b_f to `bias_initializer`, and "
                "`longest_lag` sets it: give one of them."
            )


@keras.saving.register_keras_serializable("unrolled")
class PeepholeLSTMCell(LSTMCell):
    """The lecture's LSTM with peepholes, whose gates also see c<t-1>.

        c̃<t> = tanh(W_c [a<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [a<t-1>, x<t>] + p_u * c<t-1> + b_u)
        Γ_f  = σ(W_f [a<t-1>, x<t>] + p_f * c<t-1> + b_f)
        Γ_o  = σ(W_o [a<t-1>, x<t>] + p_o * c<t-1> + b_o)
        c<t> = Γ_u * c̃<t> + Γ_f * c<t-1>
        a<t> = Γ_o * tanh(c<t>)

    The lecture writes `W_u [a<t-1>, x<t>, c<t-1>]` and says that element i of c<t-1> affects only
    element i of the gates. So this part of W_u is diagonal: here it is `p_u`, a row of the weight
    `peephole`, `(3, units)`. In Gers & Schmidhuber 2000 the output gate sees the *new* c<t>
    instead: `variants.PeepholeLSTMCell(peepholes="gers")`.

    Source: the lecture; Gers & Schmidhuber 2000, "Recurrent Nets that Time and Count".

    Args:
        units: size of a<t> and c<t>.
        **kwargs: see `LSTMCell`.

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> PeepholeLSTMCell(4)(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    peephole_sites = ("u", "f", "o")

    def equations(self, recurrent: SiteSum, a: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        g, sigma = self.activation, self.recurrent_activation

        c_tilde = g(recurrent("c", a))
        gamma_u = sigma(recurrent("u", a, peephole=c))
        gamma_f = sigma(recurrent("f", a, peephole=c))
        gamma_o = sigma(recurrent("o", a, peephole=c))
        c = gamma_u * c_tilde + gamma_f * c
        a = gamma_o * g(c)
        return a, c


@keras.saving.register_keras_serializable("unrolled")
class LSTM(GatedRecurrent):
    """The LSTM through time; see `LSTMCell` for the equations, and `Recurrent` for the shapes."""

    cell_class = LSTMCell
    in_place_of = keras.layers.LSTM


@keras.saving.register_keras_serializable("unrolled")
class PeepholeLSTM(GatedRecurrent):
    """The LSTM with peepholes through time; see `PeepholeLSTMCell`, and `Recurrent`."""

    cell_class = PeepholeLSTMCell
    in_place_of = keras.layers.LSTM
