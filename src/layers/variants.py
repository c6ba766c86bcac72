"""Variants of the LSTM and the GRU from the literature, as options that can be combined.

Each class here adds options to the plain unit of the same name: `variants.LSTM` without options
computes what `layers.LSTM` does. The names are the same because Keras stores the weights of a layer
under the name of its class, and the plain units had these options at first.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras.activations import linear

from unrolled.layers import gru, lstm
from unrolled.layers.cell import SiteSum


@keras.saving.register_keras_serializable("unrolled.variants")
class LSTMCell(lstm.LSTMCell):
    """The LSTM with options of Greff et al. 2017 and of Gers & Schmidhuber 2000.

        c̃<t> = tanh(W_c [a<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [a<t-1>, x<t>] + b_u)
        Γ_f  = σ(W_f [a<t-1>, x<t>] + b_f)
        Γ_o  = σ(W_o [a<t-1>, x<t>] + b_o)
        c<t> = Γ_u * c̃<t> + Γ_f * c<t-1>
        a<t> = Γ_o * tanh(c<t>)

    Each option changes one of these lines. A gate that is left out has no weights.

    Source: Greff et al. 2017, "LSTM: A Search Space Odyssey", whose abbreviations are in brackets
    below; Gers & Schmidhuber 2000, "Recurrent Nets that Time and Count". Greff et al. change an
    LSTM with `peepholes="gers"`, which they call V. Here each option changes the plain LSTM, which
    they call NP, unless `peepholes` is given too.

    Args:
        units: size of a<t> and c<t>.
        update_gate: False means Γ_u = 1 (NIG).
        forget_gate: False means Γ_f = 1 (NFG), "coupled" means Γ_f = 1 - Γ_u (CIFG).
        output_gate: False means Γ_o = 1 (NOG).
        candidate_activation: False means c̃<t> = W_c [a<t-1>, x<t>] + b_c (NIAF).
        output_activation: False means a<t> = Γ_o * c<t> (NOAF).
        peepholes: with "lecture" every gate sees c<t-1>, with "gers" the output gate sees the *new*
            c<t>; see `layers.PeepholeLSTMCell`. False means no peepholes (NP).
        gate_recurrence: with True every gate sees the previous values of all gates (FGR):
            Γ_u = σ(W_u [a<t-1>, x<t>] + R_uu Γ_u<t-1> + R_fu Γ_f<t-1> + R_ou Γ_o<t-1> + b_u),
            and so on. The values of the gates are then states too, after a and c.
        **kwargs: see `layers.LSTMCell`.

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> LSTMCell(4, forget_gate="coupled")(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    choices: ClassVar = {
        **lstm.LSTMCell.choices,
        "update_gate": (True, False),
        "forget_gate": (True, False, "coupled"),
        "output_gate": (True, False),
        "candidate_activation": (True, False),
        "output_activation": (True, False),
        "peepholes": (False, "lecture", "gers"),
        "gate_recurrence": (False, True),
    }

    def equations(
        self, recurrent: SiteSum, a: tf.Tensor, c: tf.Tensor, *gammas: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        gate = partial(self._gate, recurrent, gammas)
        g_c = self.activation if self.candidate_activation else linear
        g_a = self.activation if self.output_activation else linear

        c_tilde = g_c(recurrent("c", a))
        gamma_u = gate("u", a, peephole=c)
        gamma_f = 1 - gamma_u if self.forget_gate == "coupled" else gate("f", a, peephole=c)
        new_c = gamma_u * c_tilde + gamma_f * c
        gamma_o = gate("o", a, peephole=new_c if self.peepholes == "gers" else c)
        a = gamma_o * g_a(new_c)

        new_gammas = {"u": gamma_u, "f": gamma_f, "o": gamma_o}
        return a, new_c, *(new_gammas[gate] for gate in self._recurring)

    def _gate(self, recurrent, gammas, gate, a, peephole):
        """Γ = σ(W [a<t-1>, x<t>] + b) with the terms that the options add; 1 for an absent gate."""
        if gate not in self.sites:
            return 1.0
        z = recurrent(gate, a, peephole=peephole if self.peepholes else None)
        for other, gamma in zip(self._recurring, gammas, strict=True):
            z = z + recurrent(f"{other}{gate}", gamma)
        return self.recurrent_activation(z)

    def gates(self, z: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        recurring = self._recurring
        z = {gate: z[gate] + sum(z[f"{v}{gate}"] for v in recurring) for gate in self._gates()}
        gammas = super().gates(z)
        return gammas | {"f": 1 - gammas["u"]} if self.forget_gate == "coupled" else gammas

    def __init__(
        self,
        units: int,
        *,
        update_gate: bool = True,
        forget_gate: bool | str = True,
        output_gate: bool = True,
        candidate_activation: bool = True,
        output_activation: bool = True,
        peepholes: bool | str = False,
        gate_recurrence: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.update_gate = update_gate
        self.forget_gate = forget_gate
        self.output_gate = output_gate
        self.candidate_activation = candidate_activation
        self.output_activation = output_activation
        self.peepholes = peepholes
        self.gate_recurrence = gate_recurrence
        self.check_options()
        gates = self._gates()
        self._recurring = gates if gate_recurrence else ()
        self.state_only = self.unbiased = tuple(f"{v}{z}" for v in self._recurring for z in gates)
        self.sites = (*(site for site in "ufco" if site in (*gates, "c")), *self.state_only)
        self.states = ("a", "c", *(f"gamma_{gate}" for gate in self._recurring))
        self.peephole_sites = gates if peepholes else ()

    def _gates(self):
        """The gates that have weights of their own."""
        there = {"u": self.update_gate, "f": self.forget_gate is True, "o": self.output_gate}
        return tuple(gate for gate in there if there[gate])

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
        if self.forget_gate is not True and self.forget_bias != 1:
            yield "`forget_bias` needs a forget gate of its own: `forget_gate` must be True."
        if self.forget_gate is False and self.longest_lag is not None:
            yield "`longest_lag` needs a gate to forget: `forget_gate` must be True or 'coupled'."
        if self.forget_gate == "coupled" and not self.update_gate:
            yield "`forget_gate='coupled'` is 1 - Γ_u: `update_gate` must be True."
        if self.peepholes == "gers" and not self.output_gate:
            yield (
                "`peepholes='gers'` shows the new c<t> to the output gate: `output_gate` must be "
                "True, or take 'lecture'."
            )
        if (self.peepholes or self.gate_recurrence) and not self._gates():
            yield "`peepholes` and `gate_recurrence` need a gate, and every gate is left out."
        if self.activation is not keras.activations.tanh and not (
            self.candidate_activation or self.output_activation
        ):
            yield (
                "`activation` is that of c̃<t> and a<t>: `candidate_activation` or "
                "`output_activation` must be True."
            )


@keras.saving.register_keras_serializable("unrolled.variants")
class GRUCell(gru.GRUCell):
    """The GRU with options of Zhou et al. 2016 and of Jozefowicz et al. 2015.

        c̃<t> = tanh(W_c [Γ_r * c<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [c<t-1>, x<t>] + b_u)
        Γ_r  = σ(W_r [c<t-1>, x<t>] + b_r)
        c<t> = Γ_u * c̃<t> + (1 - Γ_u) * c<t-1>
        a<t> = c<t>

    Each option changes one of these lines. The last two make up the units that Jozefowicz et al.
    2015, "An Empirical Exploration of Recurrent Network Architectures", found best among mutations
    of the GRU. Their z, r and h are Γ_u, Γ_r and c:

    - MUT1: `state_in_update_gate=False, unweighted_input="candidate"`;
    - MUT2: `unweighted_input="relevance"`;
    - MUT3: `state_in_update_gate="tanh"`.

    Args:
        units: size of c<t>.
        relevance_gate: False means Γ_r = 1, as in `layers.SimplifiedGRUCell`. "shared" means
            Γ_r = Γ_u, the minimal gated unit of Zhou et al. 2016, "Minimal Gated Unit for Recurrent
            Neural Networks".
        reset_after: True applies the relevance gate after the product, which then has a bias of its
            own: c̃<t> = tanh(W_cx x<t> + b_c + Γ_r * (W_cc c<t-1> + b_m)). It is the default of
            `keras.layers.GRU`.
        state_in_update_gate: False means Γ_u = σ(W_u x<t> + b_u), "tanh" means
            Γ_u = σ(W_u [tanh(c<t-1>), x<t>] + b_u).
        unweighted_input: where x<t> enters without weights, which takes as many inputs as units.
            "candidate" means c̃<t> = tanh(W_c (Γ_r * c<t-1>) + tanh(x<t>) + b_c), "relevance" means
            Γ_r = σ(W_r c<t-1> + x<t> + b_r).
        **kwargs: see `layers.GRUCell`.

    >>> cell = GRUCell(4, reset_after=True)
    >>> cell(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    choices: ClassVar = {
        **gru.GRUCell.choices,
        "relevance_gate": (True, False, "shared"),
        "reset_after": (False, True),
        "state_in_update_gate": (True, False, "tanh"),
        "unweighted_input": (False, "candidate", "relevance"),
    }

    def equations(self, recurrent: SiteSum, c: tf.Tensor) -> tuple[tf.Tensor, ...]:
        g, sigma = self.activation, self.recurrent_activation

        gamma_u = sigma(recurrent("u", self._seen_by_update_gate(c)))
        gamma_r = sigma(recurrent("r", c)) if self.relevance_gate is True else gamma_u
        c_tilde = g(self._candidate(recurrent, gamma_r, c))
        c = gamma_u * c_tilde + (1 - gamma_u) * c
        return (c,)

    def _seen_by_update_gate(self, c):
        """c<t-1>, or what `state_in_update_gate` replaces it by."""
        if self.state_in_update_gate == "tanh":
            return self.activation(c)
        return c if self.state_in_update_gate else None

    def _candidate(self, recurrent, gamma_r, c):
        """W_c [Γ_r * c<t-1>, x<t>] + b_c, or what the options replace it by.

        Without a relevance gate Γ_r is 1, whatever `gamma_r` is.
        """
        if not self.relevance_gate:
            return recurrent("c", c)
        if self.reset_after:
            return recurrent("c") + gamma_r * recurrent("m", c)
        return recurrent("c", gamma_r * c)

    def gates(self, z: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        gammas = super().gates(z)
        return gammas | {"r": gammas["u"]} if self.relevance_gate == "shared" else gammas

    def __init__(
        self,
        units: int,
        *,
        relevance_gate: bool | str = True,
        reset_after: bool = False,
        state_in_update_gate: bool | str = True,
        unweighted_input: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.relevance_gate = relevance_gate
        self.reset_after = reset_after
        self.state_in_update_gate = state_in_update_gate
        self.unweighted_input = unweighted_input
        self.check_options()
        self.sites = ("u", "r", "c") if relevance_gate is True else ("u", "c")
        if not state_in_update_gate:
            self.input_only = ("u",)
        if reset_after:  # The state meets the weights of a site of its own, m.
            self.sites += ("m",)
            self.input_only, self.state_only = (*self.input_only, "c"), ("m",)
        if unweighted_input == "candidate":
            self.input_itself = {"c": self.activation}
        elif unweighted_input == "relevance":
            self.input_itself = {"r": linear}

    def contradictions(self) -> Iterator[str]:
        yield from super().contradictions()
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


@keras.saving.register_keras_serializable("unrolled.variants")
class PeepholeLSTMCell(LSTMCell, lstm.PeepholeLSTMCell):
    """`variants.LSTMCell` with `peepholes="lecture"` by default.

    Args:
        units: size of a<t> and c<t>.
        peepholes: see `variants.LSTMCell`.
        **kwargs: see `variants.LSTMCell`.

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> PeepholeLSTMCell(4, peepholes="gers")(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    def __init__(self, units: int, *, peepholes: bool | str = "lecture", **kwargs: Any) -> None:
        super().__init__(units, peepholes=peepholes, **kwargs)


@keras.saving.register_keras_serializable("unrolled.variants")
class SimplifiedGRUCell(GRUCell, gru.SimplifiedGRUCell):
    """`variants.GRUCell` with `relevance_gate=False` by default.

    Args:
        units: size of c<t>.
        relevance_gate: see `variants.GRUCell`.
        **kwargs: see `variants.GRUCell`.

    >>> cell = SimplifiedGRUCell(4, state_in_update_gate=False)
    >>> cell(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])[0].shape
    TensorShape([2, 4])
    """

    def __init__(self, units: int, *, relevance_gate: bool | str = False, **kwargs: Any) -> None:
        super().__init__(units, relevance_gate=relevance_gate, **kwargs)


@keras.saving.register_keras_serializable("unrolled.variants")
class LSTM(lstm.LSTM):
    """A variant of the LSTM through time; see `variants.LSTMCell`, and `Recurrent` for the shapes.

    For example `variants.LSTM(64, forget_gate="coupled", peepholes="gers")`.
    """

    cell_class = LSTMCell


@keras.saving.register_keras_serializable("unrolled.variants")
class PeepholeLSTM(LSTM, lstm.PeepholeLSTM):
    """A variant of the LSTM with peepholes through time; see `variants.PeepholeLSTMCell`."""

    cell_class = PeepholeLSTMCell


@keras.saving.register_keras_serializable("unrolled.variants")
class GRU(gru.GRU):
    """A variant of the GRU through time; see `variants.GRUCell`, and `Recurrent` for the shapes.

    For example `variants.GRU(64, reset_after=True)`, Keras's default.
    """

    cell_class = GRUCell


@keras.saving.register_keras_serializable("unrolled.variants")
class SimplifiedGRU(GRU, gru.SimplifiedGRU):
    """A variant of the simplified GRU through time; see `variants.SimplifiedGRUCell`."""

    cell_class = SimplifiedGRUCell


# For `from_config` and messages of the plain units, which cannot import this module.
lstm.LSTMCell.variant, lstm.LSTM.variant = LSTMCell, LSTM
lstm.PeepholeLSTMCell.variant, lstm.PeepholeLSTM.variant = PeepholeLSTMCell, PeepholeLSTM
gru.GRUCell.variant, gru.GRU.variant = GRUCell, GRU
gru.SimplifiedGRUCell.variant, gru.SimplifiedGRU.variant = SimplifiedGRUCell, SimplifiedGRU
