"""A recurrent layer: a cell carried through time."""

import inspect
from operator import attrgetter

import keras
from keras import ops

from unrolled.layers.cell import Projected, Projection
from unrolled.layers.embedding import by_word, moved, words_of, zero_where_masked
from unrolled.layers.mark import MarkedWeights
from unrolled.layers.scan.chunks import scan

_OF_THE_LAYER = {
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "activity_regularizer",
    "autocast",
    "input_shape",
    "input_dim",
}
_OF_BOTH = {"name", "dtype", "trainable"}


class Recurrent(MarkedWeights, keras.layers.RNN):
    """Base of all recurrent layers here: `keras.layers.RNN` over one of our cells.

    Masks, initial states, `return_sequences`, `return_state`, `go_backwards`, `stateful`,
    `Bidirectional`, stacking and saving are Keras's own. Every option of the cell is an attribute
    of the layer as well: `layer.units`, `layer.activation`.

    A masked step changes neither outputs nor gradients, whatever values are there, NaN and infinity
    included. (`keras.layers.RNN` over a cell computes the step and discards it, so that such
    values turn gradients into NaN.) With `unroll` an activation must have a finite derivative at
    masked steps, whose input is 0 there. An initial state of one row is the state of every example.

    Input: `(batch, steps, input_dim)`.
    Output: `(batch, units)`, or `(batch, steps, units)` with `return_sequences`.

    Args:
        units: size of each state.
        *in_order: options without a name, in the order of Keras's arguments.
        **options: those of `keras.layers.RNN`, and those of the cell.

    Attributes:
        cell_class: the cell.
        in_place_of: the layer of Keras that this one replaces; gives the order of its arguments.
            Without one, all but `units` go by their names.

    Raises:
        TypeError: for an option that neither knows; the message lists those there are.
    """

    cell_class: type
    in_place_of: type | None = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "cell_class"):
            for name in ("units", *cls.cell_class.options()):
                setattr(cls, name, property(attrgetter(f"cell.{name}")))

    def __init__(self, units, *in_order, **options):
        options = self.by_name(in_order, options)
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
        # Keras may have XLA compile a whole training step, for each length anew. The scan has its
        # loops compiled itself, once a batch size where lengths are open.
        self.supports_jit = False

    @classmethod
    def by_name(cls, in_order, options):
        """All options by name, those that were given in order as well.

        Raises:
            TypeError: for more of them than Keras's layer has, or one that is given twice.
        """
        if cls.in_place_of is None:
            if in_order:
                raise TypeError(
                    f"{cls.__name__}: expected options by name after `units`, such as "
                    f"`return_sequences=True`, got {', '.join(map(repr, in_order))}."
                )
            return options
        signature = inspect.signature(cls.in_place_of.__init__)
        bound = signature.bind_partial("self", "units", *in_order, **options)
        _, _, *named = bound.arguments.items()
        named = dict(named)
        return {**named.pop("kwargs", {}), **named}

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if len(initial_state) != len(self.cell.states):
            raise ValueError(
                f"`initial_state`: expected {len(self.cell.states)} "
                f"({', '.join(self.cell.states)}), got {len(initial_state)}."
            )
        if isinstance(mask, list | tuple):  # Initial states that are Keras tensors bring their own.
            mask = mask[0]
        if mask is not None:
            mask = self._by_example(mask, *ops.shape(sequences)[:2])
            sequences = zero_where_masked(sequences, mask)
        initial_state = self._for_every_example(initial_state, sequences)
        if self.unroll:
            mask = None if mask is None else mask[..., 0]
            return super().inner_loop(sequences, initial_state, mask, training)
        sequences = moved(sequences, lambda x: ops.swapaxes(x, 0, 1))
        mask = None if mask is None else ops.swapaxes(mask, 0, 1)
        if self.go_backwards:
            sequences = moved(sequences, lambda x: ops.flip(x, axis=0))
            mask = None if mask is None else ops.flip(mask, axis=0)
        outputs, states = self.through_time(sequences, initial_state, mask, training)
        if not self.return_sequences:
            outputs = states[0][None]
        if mask is not None:
            outputs = self._as_keras_shows_masked_steps(outputs, mask)
        return outputs[-1], ops.transpose(outputs, (1, 0, 2)), states

    def through_time(self, sequences, states, mask, training):
        """All outputs, if they are wanted, and the last states, from `(steps, batch, ...)`."""
        dropped = self.cell.input_mask(sequences[0], training)
        projection = Projection(self.cell, dropped)
        if dropped is None and words_of(sequences) is not None:
            sequences, projection = by_word(self.cell.project, sequences), Projected()
        kept = self.cell.state_masks(states[0], training)
        return scan(
            self.cell,
            projection,
            sequences,
            states,
            mask,
            kept,
            outputs=self.return_sequences,
            training=bool(training),
        )

    def _by_example(self, mask, batch, steps):
        """`(batch, steps, 1)` from what Keras takes: numbers, a last axis, one row for all."""
        mask = ops.cast(mask, "bool")
        if len(mask.shape) == 3:
            mask = mask[..., 0]
        mask = ops.broadcast_to(mask, (batch, ops.shape(mask)[1]))
        return ops.reshape(mask, (batch, steps, 1))

    def _for_every_example(self, states, sequences):
        """The initial states, `(batch, units)`; one row is for every example, as in Keras.

        Raises:
            ValueError: for states of another shape.
        """
        batch = sequences.shape[0]
        if batch is None and self.stateful:
            batch = self._expected_batch_size
        for state in states:
            known = batch is None or state.shape[0] in (None, 1, batch)
            if len(state.shape) != 2 or state.shape[1] not in (None, self.units) or not known:
                each = "one row for each example" if batch is None else f"{batch} rows"
                raise ValueError(
                    f"`initial_state`: expected {each}, or one row for all of them, of "
                    f"{self.units} elements, got the shape {tuple(state.shape)}."
                )
        # Where the number of rows is not known either, it may be one when the program runs. Rows
        # that are known to be several say what the batch size is.
        shape = (ops.shape(sequences)[0] if batch is None else batch, self.units)
        rows = [state.shape[0] for state in states]
        fits = [n is not None and (n != 1 or n == batch) for n in rows]
        return [
            state if fits_already else ops.broadcast_to(state, shape)
            for fits_already, state in zip(fits, states, strict=True)
        ]

    def _as_keras_shows_masked_steps(self, outputs, mask):
        """Zeros where Keras has zeros: at masked steps if asked for, else before the first step.

        `outputs` are those of all steps, or the last one alone without `return_sequences`.
        """
        shown = mask if self.zero_output_for_mask else ops.cumsum(ops.cast(mask, "int32"), 0) > 0
        if not self.return_sequences:
            shown = shown[-1:]
        return ops.where(shown, outputs, ops.zeros_like(outputs))

    def get_config(self):
        config = super().get_config()
        cell = config.pop("cell")["config"]
        return {**{k: v for k, v in cell.items() if k not in _OF_BOTH}, **config}
