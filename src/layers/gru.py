"""Gated recurrent units, as the lecture has them: the simplified and the full GRU."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from unrolled.layers.cell import SiteSum
from unrolled.layers.gated import GatedCell, GatedRecurrent


@keras.saving.register_keras_serializable("unrolled")
class GRUCell(GatedCell):
    """The lecture's full GRU: an update gate and a relevance gate.

        c̃<t> = tanh(W_c [Γ_r * c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        Γ_r  = σ(W_r [c<t-1>, x<t>] + b_r)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    `keras.layers.GRUCell(reset_after=False)` computes the same function with z = 1 - Γ_u and
    r = Γ_r, that is with kernel, recurrent kernel and bias of the update gate negated. Keras's
    default is `reset_after=True`, which `variants.GRUCell` has. `layers.from_keras` converts both,
    `layers.to_keras` converts back. Neither layer loads the weights of the other, see
    `unrolled.layers.mark`.

    Source: the lecture; Cho et al. 2014, "Learning Phrase Representations using RNN
    Encoder-Decoder for Statistical Machine Translation". Variants from the literature are options
    of `variants.GRUCell`.

    Args:
        units: size of c<t>.
        update_bias: initial value of b_u; 0 leaves it to `bias_initializer`. With a negative value
            the gate is almost closed at first, so the unit starts with a long memory.
        **kwargs: see `unrolled.layers.gated.GatedCell` and `layers.Cell`.

    >>> GRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites: Sequence[str] = ("u", "r", "c")
    states = ("c",)
    bias_option = ("u", "update_bias")

    def equations(self, recurrent: SiteSum, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        g, sigma = self.activation, self.recurrent_activation

        gamma_u = sigma(recurrent("u", c))
        gamma_r = sigma(recurrent("r", c))
        c_tilde = g(recurrent("c", gamma_r * c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)

    def __init__(self, units: int, *, update_bias: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.update_bias = update_bias
        self.check_options()


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRUCell(GRUCell):
    """The lecture's simplified GRU, with an update gate alone.

        c̃<t> = tanh(W_c [c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    Source: the lecture.

    Args:
        units: size of c<t>.
        **kwargs: see `GRUCell`.

    >>> SimplifiedGRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "c")

    def equations(self, recurrent: SiteSum, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        g, sigma = self.activation, self.recurrent_activation

        gamma_u = sigma(recurrent("u", c))
        c_tilde = g(recurrent("c", c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)


@keras.saving.register_keras_serializable("unrolled")
class GRU(GatedRecurrent):
    """The full GRU through time; see `GRUCell` for the equations, and `Recurrent` for the shapes.

    It accepts `reset_after=False`, as `keras.layers.GRU` does; for True use `variants.GRU`.
    """

    cell_class = GRUCell
    in_place_of = keras.layers.GRU


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRU(GatedRecurrent):
    """The simplified GRU through time; see `SimplifiedGRUCell`, and `Recurrent` for the shapes."""

    cell_class = SimplifiedGRUCell
    in_place_of = keras.layers.GRU
