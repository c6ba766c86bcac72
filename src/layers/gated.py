"""The base of units with gates, and of the layers over them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import ops

from unrolled.layers.cell import Cell
from unrolled.layers.recurrent import Recurrent

_GATES = ("u", "f", "o", "r")


class GatedCell(Cell):
    """A unit with gates.

    Args:
        units: size of each state.
        recurrent_activation: σ, the activation of the gates. The name is Keras's.
        longest_lag: chrono initialization for dependencies of up to T steps. The forget gate's bias
            starts from b_f ~ log U[1, T-1], the update gate's from -b_f. Each element then
            remembers for a time of its own, between 1 and T steps.
        implementation: as in Keras, 1 draws a dropout mask of the input for every gate, 2 a single
            one for all gates. With `recurrent_dropout`, 2 acts as 1, as in Keras. Unlike in Keras,
            it has no effect on speed.
        **kwargs: see `layers.Cell`.

    Attributes:
        choices: the valid values of the options that have few.
        bias_option: the gate whose initial bias is an option, and the name of that option; None if
            there is no such option.

    Source of the chrono initialization: Tallec & Ollivier 2018, "Can Recurrent Neural Networks Warp
    Time?".

    Raises:
        ValueError: for options that contradict each other.
    """

    choices: ClassVar[Mapping[str, Sequence]] = {"implementation": (1, 2)}
    bias_option: tuple[str, str] | None = None

    def __init__(
        self,
        units: int,
        *,
        recurrent_activation: Any = "sigmoid",
        longest_lag: float | None = None,
        implementation: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.longest_lag = longest_lag
        self.implementation = implementation

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for inputs of `input_shape[-1]` elements."""
        self.check_options()  # A user's unit may not have called it.
        if self.longest_lag is not None and not {"u", "f"} & set(self.sites):
            raise ValueError(
                f"`longest_lag`: {type(self).__name__} has no site 'u' or 'f', whose bias it sets."
            )
        super().build(input_shape)

    def gates(self, z: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The gates Γ of a step, as the equations use them.

        Args:
            z: the results of `recurrent` in `equations`, by site.

        Returns:
            The gates that the unit has, by their letters u, f, o and r, including those that it
            derives from another gate.
        """
        return {gate: self.recurrent_activation(z[gate]) for gate in _GATES if gate in z}

    def initial_gate_bias(self) -> Any:
        """The initial bias of the gate in `bias_option`; None leaves it to `bias_initializer`."""
        if self.bias_option is None:
            return None
        option = self.bias_option[1]
        bias = getattr(self, option)
        return None if bias == self.options()[option].default == 0 else bias

    def gate_biases(self) -> Mapping[str, Any]:
        """Initial biases of gates that replace `bias_initializer`, by site."""
        if self.longest_lag is None:
            bias = self.initial_gate_bias()
            return {} if self.bias_option is None or bias is None else {self.bias_option[0]: bias}
        # An initializer, not `keras.random`: XLA rejects the latter's state while a model is built.
        b = ops.log(keras.initializers.RandomUniform(1.0, self.longest_lag - 1.0)((self.units,)))
        return {"u": -b, "f": b}

    def contradictions(self) -> Iterator[str]:
        """Yield a message for each contradiction between options."""
        lag = self.longest_lag
        if lag is not None and not (_is_number(lag) and lag > 2):
            yield f"`longest_lag`: expected a number of steps above 2, got {lag!r}."
        if lag is not None and not self.use_bias:
            yield "`longest_lag` sets the initial biases of the gates: `use_bias` must be True."
        if self.bias_option:
            yield from self._contradictions_of_bias(self.bias_option[1])

    def _contradictions_of_bias(self, option):
        bias = getattr(self, option)
        given = bias != self.options()[option].default
        if not _is_number(bias):
            yield f"`{option}`: expected a finite number, got {bias!r}."
        if given and self.longest_lag is not None:
            yield (
                f"`{option}` and `longest_lag` both set the initial bias of a gate: give one of "
                "them."
            )
        if given and bias != 0 and not self.use_bias:
            yield f"`{option}` is the initial bias of a gate: `use_bias` must be True."

    def check_options(self) -> None:
        """Check the options once all of them are set.

        The `__init__` of each class calls it; before that of the last class, some are not set yet.

        Raises:
            ValueError: for a value that is none of the `choices`, and for `contradictions`.
        """
        if not all(hasattr(self, option) for option in self.options()):
            return
        for option, values in self.choices.items():
            value = getattr(self, option)
            # The type too: 1 equals True, but is no valid value of an option that takes a bool.
            if not any(type(value) is type(one) and value == one for one in values):
                expected = " or ".join(map(repr, values))
                raise ValueError(f"`{option}`: expected {expected}, got {value!r}.")
        for message in self.contradictions():
            raise ValueError(message)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


class GatedRecurrent(Recurrent):
    """Base of the layers of gated units.

    Args:
        units: size of each state.
        use_cudnn: as in `keras.layers.LSTM`, but there is no cuDNN implementation: "auto" and False
            mean the same, and a layer with True raises ValueError when it is called.
        *in_order, **options: see `layers.Recurrent`.
    """

    def __init__(self, units: int, *in_order: Any, **options: Any) -> None:
        options = self.by_name(in_order, options)
        use_cudnn = options.pop("use_cudnn", "auto")
        super().__init__(units, **options)
        if use_cudnn not in ("auto", True, False):
            raise ValueError(f"`use_cudnn`: expected 'auto', True or False, got {use_cudnn!r}.")
        self.use_cudnn = use_cudnn

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """See `Recurrent.inner_loop`."""
        if self.use_cudnn is True:
            raise ValueError(
                f"`use_cudnn=True`: {type(self).__name__} has no cuDNN implementation. Omit it, "
                f"or use keras.layers.{type(self).__name__} if there is one."
            )
        return super().inner_loop(sequences, initial_state, mask, training)
