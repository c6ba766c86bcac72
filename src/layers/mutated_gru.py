"""MUT1, MUT2 and MUT3: what a search over ten thousand mutations of the GRU found best."""

import keras
from keras.ops import tanh

from layers.gated import GatedCell, GatedRecurrent


@keras.saving.register_keras_serializable("unrolled")
class MutatedGRUCell(GatedCell):
    """A GRU with what its update gate sees, and where x<t> comes in without weights, changed.

        Γ_u  = σ(W_u x<t> + b_u)                       1: the update gate does not see c<t-1>
             = σ(W_u [c<t-1>, x<t>] + b_u)             2: as in the GRU
             = σ(W_u [tanh(c<t-1>), x<t>] + b_u)       3: it sees tanh(c<t-1>)

        Γ_r  = σ(W_r [c<t-1>, x<t>] + b_r)             1, 3: as in the GRU
             = σ(W_r c<t-1> + x<t> + b_r)              2: x<t> itself

        c̃<t> = tanh(W_c (Γ_r * c<t-1>) + tanh(x<t>) + b_c)     1: x<t> itself, through tanh
             = tanh(W_c [Γ_r * c<t-1>, x<t>] + b_c)            2, 3: as in the GRU

        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    The paper's z and r are Γ_u and Γ_r. Where x<t> comes in by itself, in 1 and 2, there must be as
    many inputs as units.

    Source: Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network Architectures".

    Args:
        units: size of c<t>.
        mutation: 1, 2 or 3.
        update_bias: what b_u starts from. Below 0 the unit starts with a long memory.
        **kwargs: see `layers.gated.GatedCell` and `layers.Cell`; `activation` is that of c̃<t>.

    >>> MutatedGRUCell(3)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 3))])[0].shape
    TensorShape([2, 3])
    """

    states = ("c",)

    def __init__(self, units, mutation=1, update_bias=0.0, **kwargs):
        super().__init__(units, **kwargs)
        self.mutation = mutation
        self.update_bias = update_bias
        self.refuse(mutation not in (1, 2, 3), f"`mutation`: expected 1, 2 or 3, got {mutation!r}.")
        self.refuse_two_starts("update_bias", update_bias != 0)
        self.sites = ("u", "r", "c")
        if mutation == 1:
            self.sites = ("u", "r", "c", "x")
            self.input_only, self.state_only = ("u", "x"), ("c",)
            self.input_itself = self.unbiased = ("x",)
        elif mutation == 2:
            self.input_itself = ("r",)

    def equations(self, recurrent, c):
        g, sigma = self.activation, self.recurrent_activation
        seen_by_u = {1: None, 2: c, 3: tanh(c)}[self.mutation]
        gamma_u = sigma(recurrent("u", seen_by_u))
        gamma_r = sigma(recurrent("r", c))
        z_c = recurrent("c", gamma_r * c)
        c_tilde = g(z_c + tanh(recurrent("x")) if self.mutation == 1 else z_c)
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)

    def gate_biases(self):
        return {"u": self.update_bias} if self.update_bias else super().gate_biases()


@keras.saving.register_keras_serializable("unrolled")
class MutatedGRU(GatedRecurrent):
    """MUT1, MUT2 or MUT3 through time; see `MutatedGRUCell`, and `Recurrent` for the shapes."""

    cell_class = MutatedGRUCell
