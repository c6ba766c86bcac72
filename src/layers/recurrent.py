"""A recurrent layer: a cell carried through time."""

import inspect

import keras
from keras import ops

from layers.scan import scan

_OF_THE_LAYER = {
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "activity_regularizer",
}
_OF_BOTH = {"name", "dtype", "trainable"}


class Recurrent(keras.layers.RNN):
    """Base of all recurrent layers here: `keras.layers.RNN` over one of our cells.

    Masks, initial states, `return_sequences`, `return_state`, `go_backwards`, `stateful`,
    `Bidirectional`, stacking and saving are Keras's own.

    Input: `(batch, steps, input_dim)`.
    Output: `(batch, units)`, or `(batch, steps, units)` with `return_sequences`.

    Args:
        units: size of each state.
        **options: those of `keras.layers.RNN`, and those of the cell.

    Raises:
        TypeError: for an option that neither knows; the message lists those there are.
    """

    cell_class: type

    def __init__(self, units, **options):
        of_cell = options.keys() - _OF_THE_LAYER - _OF_BOTH
        unknown = sorted(of_cell - self.cell_options())
        if unknown:
            known = ", ".join(sorted(self.cell_options() | _OF_THE_LAYER | _OF_BOTH))
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(map(repr, unknown))}. "
                f"It has: {known}."
            )
        shared = {name: options[name] for name in ("dtype", "trainable") if name in options}
        cell = self.cell_class(units, **{name: options[name] for name in of_cell}, **shared)
        super().__init__(
            cell, **{name: value for name, value in options.items() if name not in of_cell}
        )

    @classmethod
    def cell_options(cls):
        """Names of the options that the cell takes, its bases' included."""
        return {
            name
            for base in cls.cell_class.__mro__[: -len(keras.layers.Layer.__mro__)]
            for name, parameter in inspect.signature(base.__init__).parameters.items()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        } - {"self", "units"}

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if len(initial_state) != len(self.cell.states):
            raise ValueError(
                f"`initial_state`: expected {len(self.cell.states)} "
                f"({', '.join(self.cell.states)}), got {len(initial_state)}."
            )
        if self.unroll:
            return super().inner_loop(sequences, initial_state, mask, training)
        sequences = ops.transpose(sequences, (1, 0, 2))
        if mask is not None:
            mask = ops.reshape(ops.cast(mask, "bool"), ops.shape(sequences)[1::-1])
            mask = ops.transpose(mask, (1, 0))[..., None]
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=0)
            mask = None if mask is None else ops.flip(mask, axis=0)
        outputs, states = scan(self.cell, self.cell.project(sequences), initial_state, mask)
        if mask is not None:
            outputs = self._as_keras_shows_masked_steps(outputs, mask)
        return outputs[-1], ops.transpose(outputs, (1, 0, 2)), states

    def _as_keras_shows_masked_steps(self, outputs, mask):
        """Zeros where Keras has zeros: at masked steps if asked for, else before the first step."""
        shown = mask if self.zero_output_for_mask else ops.cumsum(ops.cast(mask, "int32"), 0) > 0
        return ops.where(shown, outputs, ops.zeros_like(outputs))

    def get_config(self):
        config = super().get_config()
        cell = config.pop("cell")["config"]
        return {**{k: v for k, v in cell.items() if k not in _OF_BOTH}, **config}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
