"""minGRU and minLSTM: gates that do not see the previous state, so that time runs in parallel."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.ops import log_sigmoid, sigmoid

from unrolled.layers.cell import SiteSum
from unrolled.layers.embedding import apply_to_vectors
from unrolled.layers.gated import GatedCell, GatedRecurrent
from unrolled.layers.scan.masking import zero_gradient_where_masked
from unrolled.layers.scan.parallel import parallel_scan

_NO_RECURRENT_WEIGHTS = dict.fromkeys(
    ("recurrent_dropout", "recurrent_initializer", "recurrent_regularizer", "recurrent_constraint"),
    "no state meets weights in this unit",
)
_SIGMOID_ONLY = {
    "recurrent_activation": "the gates are normalized in a form that is stable for σ alone"
}


class LinearCell(GatedCell):
    """A unit that is linear in its state: c<t> = keep<t> * c<t-1> + new<t>.

    A subclass states keep<t> and new<t> in `coefficients`; they depend on the input alone.

    Args:
        units: size of c<t>.
        activation: g of the candidate; none by default, as in the paper's equations.
        **kwargs: see `unrolled.layers.gated.GatedCell` and `layers.Cell`.
    """

    states = ("c",)
    unsupported = _NO_RECURRENT_WEIGHTS

    def equations(self, recurrent: SiteSum, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        keep, new = self.coefficients(recurrent)
        return (keep * c + new,)

    def coefficients(self, recurrent: SiteSum) -> tuple[tf.Tensor, tf.Tensor]:
        """keep<t> and new<t>, each `(..., units)`; `recurrent("u")` is `W_u x<t> + b_u`."""
        raise NotImplementedError

    def __init__(self, units: int, *, activation: Any = None, **kwargs: Any) -> None:
        for name in sorted(kwargs.keys() & self.unsupported.keys()):
            if kwargs.pop(name) != GatedCell.options()[name].default:
                raise ValueError(
                    f"`{name}` has no meaning here: {self.unsupported[name]}. Leave it out."
                )
        super().__init__(units, activation=activation, **kwargs)
        self.input_only = self.sites


@keras.saving.register_keras_serializable("unrolled")
class MinGRUCell(LinearCell):
    """minGRU: the lecture's simplified GRU, whose candidate and gate see x<t> alone.

        c̃<t> = W_c x<t> + b_c
        Γ_u  = σ(W_u x<t> + b_u)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    Source: Feng et al. 2024, "Were RNNs All We Needed?", its equations. The paper trains a form in
    logarithms, which is another function: there c̃<t> = g(W_c x<t> + b_c) with g(z) = z + 0.5 for
    z >= 0 and σ(z) below, so that every state is positive. Here g is the option `activation`.

    Args:
        units: size of c<t>.
        update_bias: initial value of b_u; 0 leaves it to `bias_initializer`. With a negative value
            the unit starts with a long memory.
        **kwargs: see `unrolled.layers.minimal.LinearCell`.

    >>> MinGRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "c")
    bias_option = ("u", "update_bias")

    def coefficients(self, recurrent: SiteSum) -> tuple[tf.Tensor, tf.Tensor]:
        g, sigma = self.activation, self.recurrent_activation

        c_tilde = g(recurrent("c"))
        gamma_u = sigma(recurrent("u"))
        return 1 - gamma_u, gamma_u * c_tilde

    def __init__(self, units: int, *, update_bias: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.update_bias = update_bias
        self.check_options()


@keras.saving.register_keras_serializable("unrolled")
class MinLSTMCell(LinearCell):
    """minLSTM: update and forget gates that see x<t> alone and are normalized to a sum of 1.

        c̃<t> = W_c x<t> + b_c
        Γ_u  = σ(W_u x<t> + b_u)
        Γ_f  = σ(W_f x<t> + b_f)
        c<t> = Γ_u / (Γ_u + Γ_f) * c̃<t> + Γ_f / (Γ_u + Γ_f) * c<t-1>
        a<t> = c<t>

    Source: Feng et al. 2024, "Were RNNs All We Needed?", its equations; for the form in logarithms
    see `MinGRUCell`.

    Args:
        units: size of c<t>.
        forget_bias: initial value of b_f; 0 leaves it to `bias_initializer`. With a positive value
            the unit starts with a longer memory.
        **kwargs: see `unrolled.layers.minimal.LinearCell`.

    >>> MinLSTMCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "f", "c")
    bias_option = ("f", "forget_bias")
    unsupported = _NO_RECURRENT_WEIGHTS | _SIGMOID_ONLY

    def coefficients(self, recurrent: SiteSum) -> tuple[tf.Tensor, tf.Tensor]:
        c_tilde = self.activation(recurrent("c"))
        gammas = self.gates({"f": recurrent("f"), "u": recurrent("u")})
        return gammas["f"], gammas["u"] * c_tilde

    def gates(self, z: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Γ_f and Γ_u as they are used, each divided by Γ_u + Γ_f."""
        # Γ_f / (Γ_u + Γ_f) is 0 / 0 where both gates are closed; σ(log Γ_f - log Γ_u) is not.
        log_ratio = log_sigmoid(z["f"]) - log_sigmoid(z["u"])
        return {"f": sigmoid(log_ratio), "u": sigmoid(-log_ratio)}

    def __init__(self, units: int, *, forget_bias: float = 0.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.forget_bias = forget_bias
        self.check_options()


class _InParallel(GatedRecurrent):
    """A layer over a `LinearCell`."""

    def through_time(
        self,
        sequences: tf.Tensor,
        states: list[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """See `Recurrent.through_time`."""
        dropout_mask = self.cell.input_dropout_mask(sequences[0], training)
        if dropout_mask is None:
            projected = apply_to_vectors(self.cell.project, sequences)
        else:
            projected = self.cell.project(sequences, dropout_mask)
        if mask is not None:  # Zero times an infinite derivative is NaN.
            projected = zero_gradient_where_masked(mask, projected)
        keep, new = self.cell.coefficients(self.cell.by_site(projected).__getitem__)
        c = parallel_scan(keep, new, states[0], mask)
        return c, [c[-1]]


@keras.saving.register_keras_serializable("unrolled")
class MinGRU(_InParallel):
    """minGRU through time, many steps at once; see `MinGRUCell`, and `Recurrent`."""

    cell_class = MinGRUCell


@keras.saving.register_keras_serializable("unrolled")
class MinLSTM(_InParallel):
    """minLSTM through time, many steps at once; see `MinLSTMCell`, and `Recurrent`."""

    cell_class = MinLSTMCell
