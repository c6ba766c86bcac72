"""Gated recurrent units: the lecture's full GRU and, as options of it, the simpler ones."""

import keras

from layers.gated import GatedCell, GatedRecurrent


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
    default is `reset_after=True`: `layers.from_keras` converts both.

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
        **kwargs: see `layers.gated.GatedCell` and `layers.Cell`.

    >>> GRUCell(4)(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    states = ("c",)

    def __init__(self, units, update_bias=0.0, relevance_gate=True, reset_after=False, **kwargs):
        super().__init__(units, **kwargs)
        self.update_bias = update_bias
        self.relevance_gate = relevance_gate
        self.reset_after = reset_after
        self.refuse(
            relevance_gate not in (True, False, "shared"),
            f"`relevance_gate`: expected True, False or 'shared', got {relevance_gate!r}.",
        )
        self.refuse(
            reset_after and not relevance_gate,
            "`reset_after=True` says where the relevance gate multiplies: `relevance_gate` must "
            "be True or 'shared'.",
        )
        self.refuse_two_starts("update_bias", update_bias != 0)
        self.sites = ("u", "r", "c") if relevance_gate is True else ("u", "c")
        if reset_after:  # What meets the state in c̃<t>, m, is apart from what meets the input, c.
            self.sites, self.input_only, self.state_only = (*self.sites, "m"), ("c",), ("m",)

    def equations(self, recurrent, c):
        g, sigma = self.activation, self.recurrent_activation
        gamma_u = sigma(recurrent("u", c))
        if self.relevance_gate is False:
            c_tilde = g(recurrent("c", c))
        else:
            gamma_r = gamma_u if self.relevance_gate == "shared" else sigma(recurrent("r", c))
            if self.reset_after:
                c_tilde = g(recurrent("c") + gamma_r * recurrent("m", c))
            else:
                c_tilde = g(recurrent("c", gamma_r * c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)

    def gate_biases(self):
        return {"u": self.update_bias} if self.update_bias else super().gate_biases()


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

    def __init__(self, units, relevance_gate=False, **kwargs):
        super().__init__(units, relevance_gate=relevance_gate, **kwargs)


@keras.saving.register_keras_serializable("unrolled")
class GRU(GatedRecurrent):
    """The full GRU through time; see `GRUCell`, and `Recurrent` for the shapes."""

    cell_class = GRUCell
    in_place_of = keras.layers.GRU


@keras.saving.register_keras_serializable("unrolled")
class SimplifiedGRU(GatedRecurrent):
    """The simplified GRU through time; see `SimplifiedGRUCell`, and `Recurrent` for the shapes."""

    cell_class = SimplifiedGRUCell
    in_place_of = keras.layers.GRU
