"""What the units with gates share."""

from collections.abc import Mapping, Sequence
from numbers import Real

import keras
from keras import ops

from unrolled.layers.cell import Cell
from unrolled.layers.recurrent import Recurrent

_GATES = ("u", "f", "o", "r")


class GatedCell(Cell):
    """A unit with gates.

    Args:
        units: size of each state.
        recurrent_activation: σ, what makes a gate of a sum. Keras's name for it.
        longest_lag: chrono initialisation for dependencies of up to so many steps, T: the forget
            gate's bias starts from b_f ~ log U[1, T-1], the update gate's from -b_f. Each element
            then remembers for a time of its own, between 1 and T steps.
        implementation: 1 draws a mask for every gate in the dropout of the input, 2 one for all,
            as in Keras; its other effect there, on speed, has no meaning here.
        **kwargs: see `layers.Cell`.

    Attributes:
        choices: the values that an option can have, for the options that have few.

    Source of the chrono initialisation: Tallec & Ollivier 2018, "Can Recurrent Neural Networks Warp
    Time?".

    Raises:
        ValueError: for options that contradict each other.
    """

    choices: Mapping[str, Sequence] = {"implementation": (1, 2)}

    def __init__(
        self,
        units,
        *,
        recurrent_activation="sigmoid",
        longest_lag=None,
        implementation=2,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.longest_lag = longest_lag
        self.implementation = implementation

    def build(self, input_shape):
        self.check_options()  # A unit of one's own may not have done it.
        if self.longest_lag is not None and not {"u", "f"} & set(self.sites):
            raise ValueError(
                f"`longest_lag`: {type(self).__name__} has no site 'u' or 'f', whose bias it sets."
            )
        super().build(input_shape)

    def gates(self, z):
        """The gates Γ of a step, as the equations use them, by their letters: u, f, o and r.

        Args:
            z: by site, what `recurrent` gave in `equations`.

        Returns:
            Those that the unit has. One that the options derive from another is among them, one
            that they leave out is not.
        """
        return {gate: self.recurrent_activation(z[gate]) for gate in _GATES if gate in z}

    def contradictions(self):
        """What is wrong with the options, one message for each."""
        lag = self.longest_lag
        if lag is not None and not (_is_number(lag) and lag > 2):
            yield f"`longest_lag`: expected a number of steps above 2, got {lag!r}."
        if lag is not None and not self.use_bias:
            yield "`longest_lag` sets what the gates' biases start from: `use_bias` must be True."

    def contradictions_of_start(self, option, start, default):
        """What is wrong with an option that says what a gate's bias starts from."""
        given = start != default
        if not _is_number(start):
            yield f"`{option}`: expected a number, got {start!r}."
        if given and self.longest_lag is not None:
            yield (
                f"`{option}` and `longest_lag` both say where a gate's bias starts: give one of "
                "them."
            )
        if given and start != 0 and not self.use_bias:
            yield f"`{option}` is what a gate's bias starts from: `use_bias` must be True."

    def check_options(self):
        """Refuse wrong options, once all of them are set.

        Raises:
            ValueError: for a value that is none of the `choices`, and for `contradictions`.
        """
        for option, values in self.choices.items():
            value = getattr(self, option)
            # By type too: 1 equals True, but is no answer to a question of True, False or a word.
            if not any(type(value) is type(one) and value == one for one in values):
                expected = " or ".join(map(repr, values))
                raise ValueError(f"`{option}`: expected {expected}, got {value!r}.")
        for reason in self.contradictions():
            raise ValueError(reason)

    def gate_biases(self):
        if self.longest_lag is None:
            return {}
        # An initialiser, not `keras.random`: XLA refuses the latter's state while a model is built.
        b = ops.log(keras.initializers.RandomUniform(1.0, self.longest_lag - 1.0)((self.units,)))
        return {"u": -b, "f": b}


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


class GatedRecurrent(Recurrent):
    """Base of the layers of gated units.

    Args:
        units: size of each state.
        use_cudnn: as in `keras.layers.LSTM`, but without a cuDNN form to choose: "auto" and False
            mean the same, and a layer with True raises when it is called.
        *in_order, **options: see `layers.Recurrent`.
    """

    def __init__(self, units, *in_order, **options):
        options = self.by_name(in_order, options)
        use_cudnn = options.pop("use_cudnn", "auto")
        super().__init__(units, **options)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(f"`use_cudnn`: expected 'auto', True or False, got {use_cudnn!r}.")
        self.use_cudnn = use_cudnn

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.use_cudnn is True:
            raise ValueError(
                f"`use_cudnn=True`: {type(self).__name__} has no cuDNN form. Leave it, "
                f"or take keras.layers.{type(self).__name__} if there is one."
            )
        return super().inner_loop(sequences, initial_state, mask, training)
