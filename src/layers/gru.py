"""Gated recurrent units: the lecture's full GRU and, as options of it, the simpler ones."""

from typing import ClassVar

import keras
from keras.activations import linear

from unrolled.layers.gated import GatedCell, GatedRecurrent


@keras.saving.register_keras_serializable("unrolled")
class GRUCell(GatedCell):
    """The lecture's full GRU: an update gate and a relevance gate.

        c̃<t> = tanh(W_c [Γ_r * c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        Γ_r  = σ(W_r [c<t-1>, x<t>] + b_r)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    `keras.layers.GRUCell(reset_after=False)` is the same function with Keras's z = 1 - Γ_u, that is
    with kernel, recurrent kernel and bias of its update gate negated; Keras's r is Γ_r. Keras's
    default is `reset_after=True`. `layers.from_keras` converts both, `layers.to_keras` converts
    back. Neither layer loads the weights of the other, which would be taken for its own: see
    `unrolled.layers.mark`.

    Source: the lecture; Cho et al. 2014, "Learning Phrase Representations using RNN
    Encoder-Decoder for Statistical Machine Translation".

    Args:
        units: size of c<t>.
        update_bias: what b_u starts from. Below 0 the gate starts nearly shut, and the unit starts
            with a long memory.
        relevance_gate: False takes Γ_r = 1, the lecture's simplified GRU. "shared" takes Γ_r = Γ_u:
            the minimal gated unit, Zhou et al. 2016, "Minimal Gated Unit for Recurrent Neural
            Networks".
        reset_after: whether the relevance gate multiplies after the product, which has then a bias
            of its own: c̃<t> = tanh(W_cx x<t> + b_c + Γ_r * (W_cc c<t-1> + b_m)).
        state_in_update_gate: False takes Γ_u = σ(W_u x<t> + b_u), "tanh" takes
            Γ_u = σ(W_u [tanh(c<t-1>), x<t>] + b_u).
        unweighted_input: where x<t> comes in without weights, which takes as many inputs as units.
            "candidate" takes c̃<t> = tanh(W_c (Γ_r * c<t-1>) + tanh(x<t>) + b_c), "relevance" takes
            Γ_r = σ(W_r c<t-1> + x<t> + b_r).
        **kwargs: see `unrolled.layers.gated.GatedCell` and `layers.Cell`.

    The last two options make up the units that Jozefowicz et al. 2015, "An Empirical Exploration of
    Recurrent Network Architectures", found best among mutations of the GRU. Their z, r and h are
    Γ_u, Γ_r and c.

    - MUT1: `state_in_update_gate=False, unweighted_input="candidate"`;
    - MUT2: `unweighted_input="relevance"`;
    - MUT3: `state_in_update_gate="tanh"`.

    >>> GRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    states = ("c",)
    choices: ClassVar = {
        **GatedCell.choices,
        "relevance_gate": (True, False, "shared"),
        "reset_after": (False, True),
        "state_in_update_gate": (True, False, "tanh"),
        "unweighted_input": (False, "candidate", "relevance"),
    }

    def equations(self, recurrent, c):
        g, sigma = self.activation, self.recurrent_activation

        gamma_u = sigma(recurrent("u", self._seen_by_update_gate(c)))
        gamma_r = sigma(recurrent("r", c)) if self.relevance_gate is True else gamma_u
        c_tilde = g(self._candidate(recurrent, gamma_r, c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)

    def _candidate(self, recurrent, gamma_r, c):
        """W_c [Γ_r * c<t-1>, x<t>] + b_c, or what the options make of it.

        Without a relevance gate Γ_r is 1, whatever is given for it.
        """
        if not self.relevance_gate:
            return recurrent("c", c)
        if self.reset_after:
            return recurrent("c") + gamma_r * recurrent("m", c)
        return recurrent("c", gamma_r * c)

    def gates(self, z):
        gammas = super().gates(z)
        return gammas | {"r": gammas["u"]} if self.relevance_gate == "shared" else gammas

    def _seen_by_update_gate(self, c):
        """c<t-1>, or what `state_in_update_gate` leaves of it."""
        if self.state_in_update_gate == "tanh":
            return self.activation(c)
        return c if self.state_in_update_gate else None

    def __init__(
        self,
        units,
        *,
        update_bias=0.0,
        relevance_gate=True,
        reset_after=False,
        state_in_update_gate=True,
        unweighted_input=False,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self.update_bias = update_bias
        self.relevance_gate = relevance_gate
        self.reset_after = reset_after
        self.state_in_update_gate = state_in_update_gate
        self.unweighted_input = unweighted_input
        self.check_options()
        self.sites = ("u", "r", "c") if relevance_gate is True else ("u", "c")
        if not state_in_update_gate:
            self.input_only = ("u",)
        if reset_after:  # What meets the state in c̃<t>, m, is apart from what meets the input, c.
            self.sites += ("m",)
            self.input_only, self.state_only = (*self.input_only, "c"), ("m",)
        if unweighted_input == "candidate":
            self.input_itself = {"c": self.activation}
        elif unweighted_input == "relevance":
            self.input_itself = {"r": linear}

    def gate_biases(self):
        return {"u": self.update_bias} if self.update_bias else super().gate_biases()

    def contradictions(self):
        yield from super().contradictions()
        yield from self.contradictions_of_start("update_bias", self.update_bias, default=0)
        if self.reset_after and not self.relevance_gate:
            yield (
                "`reset_after=True` says where the relevance gate multiplies: `relevance_gate` "
                "must be True or 'shared'."
            )
        if self.unweighted_input == "relevance" and self.relevance_gate is not True:
            yield (
                "`unweighted_input='relevance'` is for a relevance gate of its own: "
                "`relevance_gate` must be True."
            )


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRUCell(GRUCell):
    """The lecture's simplified GRU, an update gate alone: `GRUCell(relevance_gate=False)`.

        c̃<t> = tanh(W_c [c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    Source: the lecture.

    >>> SimplifiedGRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    def __init__(self, units, *, relevance_gate=False, **kwargs):
        super().__init__(units, relevance_gate=relevance_gate, **kwargs)


@keras.saving.register_keras_serializable("unrolled")
class GRU(GatedRecurrent):
    """The full GRU through time; see `GRUCell`, and `Recurrent` for the shapes.

    `reset_after` is False by default, as in the lecture; in `keras.layers.GRU` it is True.
    """

    cell_class = GRUCell
    in_place_of = keras.layers.GRU


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRU(GatedRecurrent):
    """The simplified GRU through time; see `SimplifiedGRUCell`, and `Recurrent` for the shapes."""

    cell_class = SimplifiedGRUCell
    in_place_of = keras.layers.GRU
