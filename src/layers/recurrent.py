"""The base of all recurrent layers: a cell run through time."""

import inspect
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from unrolled._compat import stateful_batch_size
from unrolled.layers.cell import Cell
from unrolled.layers.embedding import apply_to_vectors, reorder, tokens_of, zero_where_masked
from unrolled.layers.mark import MarkedWeights
from unrolled.layers.projection import CellProjection, NoProjection
from unrolled.layers.scan import scan

_OF_KERAS_LAYER = {
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
_OF_LAYER_AND_CELL = {"name", "dtype", "trainable"}
_OF_LAYER = _OF_KERAS_LAYER | _OF_LAYER_AND_CELL | {"jit_compile"}


class Recurrent(MarkedWeights, keras.layers.RNN):
    """Base of all recurrent layers here: `keras.layers.RNN` over one of the cells.

    Masks, initial states, `return_sequences`, `return_state`, `go_backwards`, `stateful`,
    `Bidirectional`, stacking and saving are Keras's own. Every option of the cell is an attribute
    of the layer as well: `layer.units`, `layer.activation`.

    A masked step changes neither outputs nor gradients, whatever the input is there, including NaN
    and infinity. (`keras.layers.RNN` over a cell computes the step and discards it, so that such
    values turn gradients into NaN.) With `unroll`, an activation must have a finite derivative at
    masked steps, whose input is 0 there. An initial state of one row applies to every example.

    Input: `(batch, steps, input_dim)`.
    Output: `(batch, units)`, or `(batch, steps, units)` with `return_sequences`.

    Args:
        units: size of each state.
        *in_order: positional options, in the order of Keras's arguments.
        jit_compile: whether XLA compiles the loop over time. It does so in a `tf.function`, such as
            the training step of `fit`, for sequences of at least 16 steps, and for a limited number
            of batch sizes. False is for batches whose size always changes, since XLA compiles each
            size anew, and for operations that XLA does not support, such as
            `tf.debugging.enable_check_numerics`. MinGRU and MinLSTM ignore it.
        **options: those of `keras.layers.RNN`, and those of the cell.

    Attributes:
        cell_class: the class of the cell.
        in_place_of: the layer of Keras that takes the same arguments; it gives the order of
            positional arguments. None: all options but `units` are keywords.

    Raises:
        TypeError: for an unknown option; the message lists the known ones.
        ValueError: for an invalid value of an option.
    """

    cell_class: type[Cell]
    in_place_of: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "cell_class"):
            # A subclass may define an attribute of that name itself, and those derived inherit it.
            derived = cls.__mro__[: cls.__mro__.index(Recurrent)]
            for name in ("units", *cls.cell_class.options()):
                if not any(name in vars(base) for base in derived):
                    setattr(cls, name, property(attrgetter(f"cell.{name}")))

    def __init__(self, units: int, *in_order: Any, **options: Any) -> None:
        options = self.without_variant_options(self.by_name(in_order, options))
        of_cell = options.keys() - _OF_LAYER
        known = self.cell_class.options().keys()
        unknown = sorted(of_cell - known - self.cell_class.unsupported.keys())
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(map(repr, unknown))}. "
                f"It has: {', '.join(sorted(known | _OF_LAYER))}."
            )
        jit_compile = options.pop("jit_compile", True)
        if not isinstance(jit_compile, bool):
            raise ValueError(f"`jit_compile`: expected True or False, got {jit_compile!r}.")
        shared = {name: options[name] for name in ("dtype", "trainable") if name in options}
        cell = self.cell_class(units, **{name: options[name] for name in of_cell}, **shared)
        super().__init__(
            cell, **{name: value for name, value in options.items() if name not in of_cell}
        )
        self.jit_compile = jit_compile
        self.input_spec = keras.layers.InputSpec(ndim=3)
        # Keras may have XLA compile a whole training step, anew for each length. The scan has its
        # loops compiled itself, once for each batch size if lengths vary.
        self.supports_jit = False

    @classmethod
    def _cell_class(cls):
        return cls.cell_class

    @classmethod
    def by_name(cls, in_order: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """All options by name, including positional ones.

        Raises:
            TypeError: for more positional options than Keras's layer has, or a duplicate.
        """
        if cls.in_place_of is None:
            if in_order:
                raise TypeError(
                    f"{cls.__name__}: expected options by name after `units`, such as "
                    f"`return_sequences=True`, got {', '.join(map(repr, in_order))}."
                )
            return dict(options)
        signature = inspect.signature(cls.in_place_of.__init__)
        bound = signature.bind_partial("self", "units", *in_order, **options)
        _, _, *named = bound.arguments.items()
        by_name = dict(named)
        return {**by_name.pop("kwargs", {}), **by_name}

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Run the cell through time, in place of the loop of `keras.layers.RNN`.

        Args:
            sequences: `(batch, steps, input_dim)`.
            initial_state: a list of states, each `(batch, units)` or `(1, units)`.
            mask: `(batch, steps)`, or None.
            training: whether dropout is applied, and a gradient is expected.

        Returns:
            The last output, `(batch, units)`; all outputs, `(batch, steps, units)`, or only the
            last without `return_sequences`; the last states.

        Raises:
            ValueError: for a wrong number or shape of initial states.
        """
        if len(initial_state) != len(self.cell.states):
            raise ValueError(
                f"`initial_state`: expected {len(self.cell.states)} "
                f"({', '.join(self.cell.states)}), got {len(initial_state)}."
            )
        if isinstance(mask, list | tuple):  # Initial states that are Keras tensors have masks too.
            mask = mask[0]
        if mask is not None:
            mask = self._mask_of_all_examples(mask, *ops.shape(sequences)[:2])
            sequences = zero_where_masked(sequences, mask)
        initial_state = self._states_of_all_examples(initial_state, sequences)
        if self.unroll:
            mask = None if mask is None else mask[..., 0]
            return super().inner_loop(sequences, initial_state, mask, training)
        sequences = reorder(sequences, lambda x: ops.swapaxes(x, 0, 1))
        mask = None if mask is None else ops.swapaxes(mask, 0, 1)
        if self.go_backwards:
            sequences = reorder(sequences, lambda x: ops.flip(x, axis=0))
            mask = None if mask is None else ops.flip(mask, axis=0)
        outputs, states = self.through_time(sequences, initial_state, mask, training)
        if not self.return_sequences:
            outputs = states[0][None]
        if mask is not None:
            outputs = self._zero_as_keras_does(outputs, mask)
        return outputs[-1], ops.transpose(outputs, (1, 0, 2)), states

    def through_time(
        self,
        sequences: tf.Tensor,
        states: list[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool,
    ) -> tuple[Any, list[tf.Tensor]]:
        """Run the cell over a sequence whose first axis is time.

        Args:
            sequences: `(steps, batch, input_dim)`.
            states: initial states, each `(batch, units)`.
            mask: bool `(steps, batch, 1)`, or None.
            training: as for `inner_loop`.

        Returns:
            All outputs, `(steps, batch, units)`, or None without `return_sequences`; the last
            states.
        """
        dropout_mask = self.cell.input_dropout_mask(sequences[0], training)
        projection: Any = CellProjection(self.cell, dropout_mask)
        if dropout_mask is None and tokens_of(sequences) is not None:
            sequences = apply_to_vectors(self.cell.project, sequences)
            projection = NoProjection()
        return scan(
            self.cell,
            projection,
            sequences,
            states,
            mask,
            self.cell.state_dropout_masks(states[0], training),
            outputs=self.return_sequences,
            training=bool(training),
            jit_compile=self.jit_compile,
        )

    def _mask_of_all_examples(self, mask, batch, steps):
        """`(batch, steps, 1)` from masks as Keras takes them: numbers, with a last axis, or a
        single row."""
        mask = ops.cast(mask, "bool")
        if len(mask.shape) == 3:
            mask = mask[..., 0]
        mask = ops.broadcast_to(mask, (batch, ops.shape(mask)[1]))
        return ops.reshape(mask, (batch, steps, 1))

    def _states_of_all_examples(self, states, sequences):
        """The initial states, `(batch, units)`; a single row applies to all examples, as in Keras.

        Raises:
            ValueError: for states of another shape.
        """
        batch = sequences.shape[0]
        if batch is None and self.stateful:
            batch = stateful_batch_size(self)
        for state in states:
            known = batch is None or state.shape[0] in (None, 1, batch)
            if len(state.shape) != 2 or state.shape[1] not in (None, self.units) or not known:
                each = "one row for each example" if batch is None else f"{batch} rows"
                raise ValueError(
                    f"`initial_state`: expected {each}, or one row for all of them, of "
                    f"{self.units} elements, got the shape {tuple(state.shape)}."
                )
        # If the number of rows is unknown while tracing, it may turn out to be one. States with
        # several rows determine the batch size.
        shape = (ops.shape(sequences)[0] if batch is None else batch, self.units)
        rows = [state.shape[0] for state in states]
        fits = [n is not None and (n != 1 or n == batch) for n in rows]
        return [
            state if fits_already else ops.broadcast_to(state, shape)
            for fits_already, state in zip(fits, states, strict=True)
        ]

    def _zero_as_keras_does(self, outputs, mask):
        """Zero outputs where Keras does: at masked steps with `zero_output_for_mask`, otherwise
        before the first step that is not masked.

        `outputs` are those of all steps, or the last one alone without `return_sequences`.
        """
        shown = mask if self.zero_output_for_mask else ops.cumsum(ops.cast(mask, "int32"), 0) > 0
        if not self.return_sequences:
            shown = shown[-1:]
        return ops.where(shown, outputs, ops.zeros_like(outputs))

    def get_config(self) -> dict[str, Any]:
        """The options of the layer and of its cell."""
        config = super().get_config()
        cell = config.pop("cell")["config"]
        of_cell = {k: v for k, v in cell.items() if k not in _OF_LAYER_AND_CELL}
        return {**of_cell, "jit_compile": self.jit_compile, **config}
