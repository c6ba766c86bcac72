"""Long short-term memory: the lecture's LSTM and, as options of it, the variants of the field."""

from functools import partial
from typing import ClassVar

import keras
from keras.activations import linear

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

    The same function as `keras.layers.LSTMCell`, whose i, f, c, o are u, f, c, o here, in the same
    order; its states (h, c) are (a, c).

    Source: the lecture; Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; the forget gate is
    from Gers et al. 2000, "Learning to Forget". The options, with the names in brackets, are from
    Greff et al. 2017, "LSTM: A Search Space Odyssey". A gate that is left out has no weights. They
    take them off an LSTM with peepholes, `peepholes="gers"`, their V; here each is off the plain
    one, their NP, unless `peepholes` says otherwise.

    Args:
        units: size of a<t> and c<t>.
        forget_bias: what b_f starts from. 1 is Keras's default and advised by Jozefowicz et al.
            2015, "An Empirical Exploration of Recurrent Network Architectures".
        unit_forget_bias: Keras's name for the same; False is `forget_bias=0`.
        update_gate: False takes Γ_u = 1 (NIG).
        forget_gate: False takes Γ_f = 1 (NFG), "coupled" takes Γ_f = 1 - Γ_u (CIFG).
        output_gate: False takes Γ_o = 1 (NOG).
        candidate_activation: False takes c̃<t> = W_c [a<t-1>, x<t>] + b_c (NIAF).
        output_activation: False takes a<t> = Γ_o * c<t> (NOAF).
        peepholes: "lecture" shows c<t-1> to every gate, "gers" shows the *new* c<t> to the output
            gate; see `PeepholeLSTMCell`. False is Greff's NP.
        gate_recurrence: True shows every gate the previous values of all gates (FGR):
            Γ_u = σ(W_u [a<t-1>, x<t>] + R_uu Γ_u<t-1> + R_fu Γ_f<t-1> + R_ou Γ_o<t-1> + b_u),
            and so on. The gates' values are then states too, after a and c.
        **kwargs: see `unrolled.layers.gated.GatedCell` and `layers.Cell`.

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> LSTMCell(4)(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    choices: ClassVar = {
        **GatedCell.choices,
        "unit_forget_bias": (True, False),
        "update_gate": (True, False),
        "forget_gate": (True, False, "coupled"),
        "output_gate": (True, False),
        "candidate_activation": (True, False),
        "output_activation": (True, False),
        "peepholes": (False, "lecture", "gers"),
        "gate_recurrence": (False, True),
    }

    def equations(self, recurrent, a, c, *gammas):
        gate = partial(self._gate, recurrent, gammas)
        g_c = self.activation if self.candidate_activation else linear
        g_a = self.activation if self.output_activation else linear

        c_tilde = g_c(recurrent("c", a))
        gamma_u = gate("u", a, peephole=c)
        gamma_f = 1 - gamma_u if self.forget_gate == "coupled" else gate("f", a, peephole=c)
        new_c = gamma_u * c_tilde + gamma_f * c
        gamma_o = gate("o", a, peephole=new_c if self.peepholes == "gers" else c)
        a = gamma_o * g_a(new_c)

        gammas = {"u": gamma_u, "f": gamma_f, "o": gamma_o}
        return a, new_c, *(gammas[site] for site in self._recurring)

    def _gate(self, recurrent, gammas, site, a, peephole):
        """Γ = σ(W [a<t-1>, x<t>] + b), with what the options add; 1 for a gate left out."""
        if site not in self.sites:
            return 1.0
        z = recurrent(site, a, peephole=peephole if self.peepholes else None)
        for other, gamma in zip(self._recurring, gammas, strict=True):
            z = z + recurrent(f"{other}{site}", gamma)
        return self.recurrent_activation(z)

    def gates(self, z):
        recurring = self._recurring
        z = {gate: z[gate] + sum(z[f"{v}{gate}"] for v in recurring) for gate in self._gates()}
        gammas = super().gates(z)
        return gammas | {"f": 1 - gammas["u"]} if self.forget_gate == "coupled" else gammas

    def __init__(
        self,
        units,
        *,
        forget_bias=1.0,
        unit_forget_bias=True,
        update_gate=True,
        forget_gate=True,
        output_gate=True,
        candidate_activation=True,
        output_activation=True,
        peepholes=False,
        gate_recurrence=False,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self.forget_bias = forget_bias
        self.unit_forget_bias = unit_forget_bias
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

    @property
    def weights_as_in_keras(self):
        options = "candidate_activation", "output_activation", "peepholes", "gate_recurrence"
        plain = all(getattr(self, option) is self.choices[option][0] for option in options)
        # A unit derived from this one may mean something else by its weights.
        return type(self) is LSTMCell and plain and self._gates() == ("u", "f", "o")

    def _gates(self):
        """The gates that have weights of their own."""
        there = {"u": self.update_gate, "f": self.forget_gate is True, "o": self.output_gate}
        return tuple(gate for gate in there if there[gate])

    def _forget_start(self):
        """What b_f starts from, unless it is chrono initialisation."""
        return self.forget_bias if self.unit_forget_bias else 0

    def gate_biases(self):
        start = self._forget_start()
        return super().gate_biases() or ({"f": start} if start else {})

    def contradictions(self):
        start = self._forget_start()
        yield from super().contradictions()
        yield from self.contradictions_of_start("forget_bias", start, default=1)
        if not self.unit_forget_bias and self.forget_bias not in (0, 1):
            yield (
                "`unit_forget_bias=False` starts b_f from 0, and `forget_bias` from "
                f"{self.forget_bias}: give one of them."
            )
        if self.forget_gate is not True and start != 1:
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


@keras.saving.register_keras_serializable("unrolled")
class PeepholeLSTMCell(LSTMCell):
    """The lecture's LSTM with peepholes, whose gates also see c<t-1>: `LSTMCell(peepholes=...)`.

        c̃<t> = tanh(W_c [a<t-1>, x<t>] + b_c)
        Γ_u  = σ(W_u [a<t-1>, x<t>] + p_u * c<t-1> + b_u)
        Γ_f  = σ(W_f [a<t-1>, x<t>] + p_f * c<t-1> + b_f)
        Γ_o  = σ(W_o [a<t-1>, x<t>] + p_o * c<t-1> + b_o)
        c<t> = Γ_u * c̃<t> + Γ_f * c<t-1>
        a<t> = Γ_o * tanh(c<t>)

    The lecture writes `W_u [a<t-1>, x<t>, c<t-1>]` and says that element i of c<t-1> affects only
    element i of the gates: that part of W_u is diagonal, `p_u` here, a row of the weight
    `peephole`, `(3, units)`. Gers & Schmidhuber 2000 show the output gate the *new* c<t> instead:
    `peepholes="gers"`.

    Source: the lecture; Gers & Schmidhuber 2000, "Recurrent Nets that Time and Count".

    >>> states = [keras.ops.zeros((2, 4)), keras.ops.zeros((2, 4))]
    >>> PeepholeLSTMCell(4)(keras.ops.ones((2, 3)), states)[0].shape
    TensorShape([2, 4])
    """

    def __init__(self, units, *, peepholes="lecture", **kwargs):
        super().__init__(units, peepholes=peepholes, **kwargs)


@keras.saving.register_keras_serializable("unrolled")
class LSTM(GatedRecurrent):
    """The LSTM through time; see `LSTMCell`, and `Recurrent` for the shapes."""

    cell_class = LSTMCell
    in_place_of = keras.layers.LSTM


@keras.saving.register_keras_serializable("unrolled")
class PeepholeLSTM(GatedRecurrent):
    """The LSTM with peepholes through time; see `PeepholeLSTMCell`, and `Recurrent`."""

    cell_class = PeepholeLSTMCell
    in_place_of = keras.layers.LSTM
