"""What the units with gates share."""

import keras
from keras import ops

from layers.cell import Cell
from layers.recurrent import Recurrent


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

    Source of the chrono initialisation: Tallec & Ollivier 2018, "Can Recurrent Neural Networks Warp
    Time?".

    Raises:
        ValueError: for options that contradict each other.
    """

    def __init__(
        self,
        units,
        recurrent_activation="sigmoid",
        longest_lag=None,
        implementation=2,
        **kwargs,
    ):
        super().__init__(units, **kwargs)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.longest_lag = longest_lag
        self.implementation = implementation
        self.refuse(
            implementation not in (1, 2),
            f"`implementation`: expected 1 or 2, got {implementation!r}.",
        )
        self.refuse(
            longest_lag is not None and not longest_lag > 2,
            f"`longest_lag`: expected a number of steps above 2, got {longest_lag!r}.",
        )
        self.refuse(
            longest_lag is not None and not self.use_bias,
            "`longest_lag` sets what the gates' biases start from: `use_bias` must be True.",
        )

    @staticmethod
    def refuse(contradiction, reason):
        """Raise if the options contradict each other."""
        if contradiction:
            raise ValueError(reason)

    def refuse_two_starts(self, option, given):
        """Raise if an option that says where a gate's bias starts cannot have its way."""
        self.refuse(
            given and self.longest_lag is not None,
            f"`{option}` and `longest_lag` both say where a gate's bias starts: give one of them.",
        )
        self.refuse(
            given and not self.use_bias and getattr(self, option) != 0,
            f"`{option}` is what a gate's bias starts from: `use_bias` must be True.",
        )

    def gate_biases(self):
        if self.longest_lag is None:
            return {}
        b = ops.log(keras.random.uniform((self.units,), 1.0, self.longest_lag - 1.0))
        return {"u": -b, "f": b}


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
