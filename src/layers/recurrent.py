"""A recurrent layer: a cell carried through time."""

from operator import attrgetter

import keras
from keras import ops

from layers.embedding import by_word, moved
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
    `Bidirectional`, stacking and saving are Keras's own. Every option of the cell is an attribute
    of the layer as well: `layer.units`, `layer.activation`.

    Input: `(batch, steps, input_dim)`.
    Output: `(batch, units)`, or `(batch, steps, units)` with `return_sequences`.

    Args:
        units: size of each state.
        **options: those of `keras.layers.RNN`, and those of the cell.

    Raises:
        TypeError: for an option that neither knows; the message lists those there are.
    """

    cell_class: type

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "cell_class"):
            for name in ("units", *cls.cell_class.options()):
                setattr(cls, name, property(attrgetter(f"cell.{name}")))

    def __init__(self, units, **options):
        of_cell = options.keys() - _OF_THE_LAYER - _OF_BOTH
        known = self.cell_class.options().keys()
        unknown = sorted(of_cell - known - self.cell_class.refused.keys())
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(map(repr, unknown))}. "
                f"It has: {', '.join(sorted(known | _OF_THE_LAYER | _OF_BOTH))}."
            )
        shared = {name: options[name] for name in ("dtype", "trainable") if name in options}
        cell = self.cell_class(units, **{name: options[name] for name in of_cell}, **shared)
        super().__init__(
            cell, **{name: value for name, value in options.items() if name not in of_cell}
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if len(initial_state) != len(self.cell.states):
            raise ValueError(
                f"`initial_state`: expected {len(self.cell.states)} "
                f"({', '.join(self.cell.states)}), got {len(initial_state)}."
            )
        if self.unroll:
            return super().inner_loop(sequences, initial_state, mask, training)
        if isinstance(mask, list | tuple):  # Initial states that are Keras tensors bring their own.
            mask = mask[0]
        sequences = moved(sequences, lambda x: ops.swapaxes(x, 0, 1))
        if mask is not None:
            mask = ops.reshape(ops.cast(mask, "bool"), ops.shape(sequences)[1::-1])
            mask = ops.transpose(mask, (1, 0))[..., None]
        if self.go_backwards:
            sequences = moved(sequences, lambda x: ops.flip(x, axis=0))
            mask = None if mask is None else ops.flip(mask, axis=0)
        outputs, states = self.through_time(sequences, initial_state, mask, training)
        if mask is not None:
            outputs = self._as_keras_shows_masked_steps(outputs, mask)
        return outputs[-1], ops.transpose(outputs, (1, 0, 2)), states

    def through_time(self, sequences, states, mask, training):
        """All outputs and the last states, from `(steps, batch, input_dim)`."""
        dropped = self.cell.input_mask(sequences[0], training)
        if dropped is None:
            projected = by_word(self.cell.project, sequences)
        else:
            projected = self.cell.project(sequences, dropped)
        kept = self.cell.state_masks(states[0], training)
        return scan(self.cell, projected, states, mask, kept)

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
