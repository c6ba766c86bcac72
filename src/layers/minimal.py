"""minGRU and minLSTM: gates that do not see the previous state, so that time is parallel."""

import keras
from keras.ops import log_sigmoid, sigmoid

from unrolled.layers.embedding import by_word
from unrolled.layers.gated import GatedCell, GatedRecurrent
from unrolled.layers.scan.cell_loops import without_gradient_unless
from unrolled.layers.scan.parallel import parallel_scan

_NO_RECURRENT_WEIGHTS = dict.fromkeys(
    ("recurrent_dropout", "recurrent_initializer", "recurrent_regularizer", "recurrent_constraint"),
    "no state meets weights in this unit",
)
_SIGMOID_ONLY = {"recurrent_activation": "the gates share 1 in a form that is safe for σ alone"}


class LinearCell(GatedCell):
    """A unit that is linear in its state: c<t> = keep<t> * c<t-1> + new<t>.

    A subclass states keep<t> and new<t> in `coefficients`; the input alone decides them.

    Args:
        units: size of c<t>.
        activation: g of the candidate; none as in the paper's equations.
        **kwargs: see `unrolled.layers.gated.GatedCell` and `layers.Cell`.
    """

    states = ("c",)
    refused = _NO_RECURRENT_WEIGHTS

    def equations(self, recurrent, c):
        keep, new = self.coefficients(recurrent)
        return (keep * c + new,)

    def coefficients(self, recurrent):
        """keep<t> and new<t>; `recurrent("u")` gives `W_u x<t> + b_u`."""
        raise NotImplementedError

    def __init__(self, units, *, activation=None, **kwargs):
        for name in sorted(kwargs.keys() & self.refused.keys()):
            raise ValueError(f"`{name}` has no meaning here: {self.refused[name]}. Leave it out.")
        super().__init__(units, activation=activation, **kwargs)
        self.input_only = self.sites


@keras.saving.register_keras_serializable("unrolled")
class MinGRUCell(LinearCell):
    """minGRU: the lecture's simplified GRU with a candidate and a gate that see x<t> alone.

        c̃<t> = W_c x<t> + b_c
        Γ_u  = σ(W_u x<t> + b_u)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    Source: Feng et al. 2024, "Were RNNs All We Needed?", its equations. The paper trains a form in
    logarithms that is another function: there c̃<t> = g(W_c x<t> + b_c) with g(z) = z + 0.5 for
    z >= 0 and σ(z) below, so that every state is positive. Any g is an `activation` here.

    Args:
        units: size of c<t>.
        update_bias: what b_u starts from. Below 0 the unit starts with a long memory.
        **kwargs: see `unrolled.layers.minimal.LinearCell`.

    >>> MinGRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "c")

    def coefficients(self, recurrent):
        g, sigma = self.activation, self.recurrent_activation

        c_tilde = g(recurrent("c"))
        gamma_u = sigma(recurrent("u"))
        return 1 - gamma_u, gamma_u * c_tilde

    def __init__(self, units, *, update_bias=0.0, **kwargs):
        super().__init__(units, **kwargs)
        self.update_bias = update_bias
        self.check_options()

    def gate_biases(self):
        return {"u": self.update_bias} if self.update_bias else super().gate_biases()

    def contradictions(self):
        yield from super().contradictions()
        yield from self.contradictions_of_start("update_bias", self.update_bias, default=0)


@keras.saving.register_keras_serializable("unrolled")
class MinLSTMCell(LinearCell):
    """minLSTM: update and forget gates that see x<t> alone and share 1 between them.

        c̃<t> = W_c x<t> + b_c
        Γ_u  = σ(W_u x<t> + b_u)
        Γ_f  = σ(W_f x<t> + b_f)
        c<t> = Γ_u / (Γ_u + Γ_f) * c̃<t> + Γ_f / (Γ_u + Γ_f) * c<t-1>
        a<t> = c<t>

    Source: Feng et al. 2024, "Were RNNs All We Needed?", its equations; for the form in logarithms
    see `MinGRUCell`.

    Args:
        units: size of c<t>.
        forget_bias: what b_f starts from. Above 0 the unit starts with a longer memory.
        **kwargs: see `unrolled.layers.minimal.LinearCell`.

    >>> MinLSTMCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    sites = ("u", "f", "c")
    refused = _NO_RECURRENT_WEIGHTS | _SIGMOID_ONLY

    def coefficients(self, recurrent):
        c_tilde = self.activation(recurrent("c"))
        shares = self.gates({"f": recurrent("f"), "u": recurrent("u")})
        return shares["f"], shares["u"] * c_tilde

    def gates(self, z):
        """Γ_f and Γ_u as they are used, each divided by Γ_u + Γ_f."""
        # Γ_f / (Γ_u + Γ_f) is 0 / 0 where both gates are shut; as σ(log Γ_f - log Γ_u) it is not.
        log_ratio = log_sigmoid(z["f"]) - log_sigmoid(z["u"])
        return {"f": sigmoid(log_ratio), "u": sigmoid(-log_ratio)}

    def __init__(self, units, *, forget_bias=0.0, **kwargs):
        super().__init__(units, **kwargs)
        self.forget_bias = forget_bias
        self.check_options()

    def gate_biases(self):
        return {"f": self.forget_bias} if self.forget_bias else super().gate_biases()

    def contradictions(self):
        yield from super().contradictions()
        yield from self.contradictions_of_start("forget_bias", self.forget_bias, default=0)


class _InParallel(GatedRecurrent):
    """Runs a `LinearCell` through time."""

    def through_time(self, sequences, states, mask, training):
        dropped = self.cell.input_mask(sequences[0], training)
        if dropped is None:
            projected = by_word(self.cell.project, sequences)
        else:
            projected = self.cell.project(sequences, dropped)
        if mask is not None:  # Zero times an infinite derivative is NaN.
            projected = without_gradient_unless(mask, projected)
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
