"""A cell's equations over a run of steps: one loop forward, one loop backward.

Only what depends on the previous step is in these loops; `unrolled.layers.scan.chunk_loops` does
the rest for many steps at once. The backward loop takes the vector-Jacobian product of the cell's
own equations, step by step, so no cell has to write a derivative.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from unrolled.layers.cell import Cell
from unrolled.layers.scan.cell_structure import CellStructure
from unrolled.layers.scan.masking import where_unmasked
from unrolled.layers.scan.sites import RecurrentWeights, Sites, StoredSites


class Forward(NamedTuple):
    """Results of the forward loop.

    Attributes:
        last: the last states, each `(batch, units)`.
        z: in training a list of z, `(steps, batch, sites * units)`; otherwise empty.
        sequences: the states of all steps, the initial one included, `(steps + 1, batch, units)`:
            in training all states, for outputs alone the first one, otherwise none.
        shared: results that a loop carries so that XLA does not repeat work.
    """

    last: list
    z: list
    sequences: list
    shared: list


class Backward(NamedTuple):
    """Results of the backward loop.

    Attributes:
        d_first: gradients with respect to the initial states.
        dz: the gradient with respect to z, `(steps, batch, sites * units)`.
        d_peepholes: the gradient with respect to the peephole weight, in a list of one or none.
        v: what met the weights at every step, `(steps, batch, units)`, for each group without an
            entry in `state_of_group`.
        shared: results that a loop carries so that XLA does not repeat work.
    """

    d_first: list
    dz: tf.Tensor
    d_peepholes: list
    v: list
    shared: list


class CellLoops:
    """The two loops of one cell.

    Args:
        cell: a built `Cell`.
        separate: see `CellStructure`.

    Raises:
        ValueError: see `CellStructure`.
    """

    def __init__(self, cell: Cell, separate: bool = False) -> None:
        self.cell = cell
        self.structure = CellStructure(cell, separate)

    def computes(self, *loop: Any) -> Any:
        """What decides, together with its arguments, what a loop computes; None if not known.

        Args:
            *loop: its name, and its options.
        """
        known = self.structure.computes
        return None if known is None else (loop, known)

    def forward(
        self,
        weights: RecurrentWeights,
        dropout_masks: dict[str, tf.Tensor],
        length: Any,
        projected: tf.Tensor,
        mask: tf.Tensor | None,
        states: list,
        saving: bool,
        outputs: bool,
    ) -> Forward:
        """Run the steps in order.

        Args:
            weights: of the cell.
            dropout_masks: recurrent dropout masks by site, `(batch, units)`, or empty.
            length: how many steps are real.
            projected: `W x + b` for all sites, `(steps, batch, sites * units)`, arranged by group.
            mask: bool `(steps, batch, 1)`, or None. A step with False passes the states on.
            states: the initial states, each `(batch, units)`.
            saving: whether to store what the backward loop needs.
            outputs: whether to store the first state of every step.
        """
        structure = self.structure
        size, batch, width = _shape(projected)
        x, mask = _as_array(projected, size), _as_array(mask, size)
        z_arrays = [_empty_array(size, batch, width, projected.dtype)] if saving else []
        stored = states if saving else states[:1] if outputs else []
        state_arrays = [
            _empty_array(size + 1, batch, self.cell.units, state.dtype).write(0, state)
            for state in stored
        ]

        def step(t, states, z_arrays, state_arrays, _):
            x_t = tf.split(x.read(t), structure.widths, axis=-1)
            sites = Sites(structure, weights, dropout_masks, x_t)
            new, shared = self._step(sites, states, None if mask is None else mask.read(t))
            pairs = zip(state_arrays, new, strict=False)
            state_arrays = [array.write(t + 1, state) for array, state in pairs]
            z_arrays = [array.write(t, tf.concat(sites.z, axis=-1)) for array in z_arrays]
            return t + 1, new, z_arrays, state_arrays, shared

        shared = structure.shared_results.placeholders(states[0])
        start = [0, list(states), z_arrays, state_arrays, shared]
        _, last, z_arrays, state_arrays, shared = tf.while_loop(
            lambda t, *_: t < length, step, start
        )
        return Forward(last, _stacked(z_arrays), _stacked(state_arrays), shared)

    def backward(
        self,
        weights: RecurrentWeights,
        dropout_masks: dict[str, tf.Tensor],
        length: Any,
        z: tf.Tensor,
        sequences: list,
        mask: tf.Tensor | None,
        d_outputs: tf.Tensor | None,
        d_states: list,
    ) -> Backward:
        """Run the steps in reverse order.

        Args:
            weights: with transposed kernels. XLA would transpose them at every step.
            dropout_masks, length, mask: as for `forward`.
            z, sequences: as stored by `forward`.
            d_outputs: gradient of the first state of every step, `(steps, batch, units)`, or None.
            d_states: gradients of the last states.
        """
        structure = self.structure
        size, batch, width = _shape(z)
        states = [_as_array(sequence, size + 1) for sequence in sequences]
        dz_array = _empty_array(size, batch, width, z.dtype)
        unknown_v = [group for group, state in enumerate(structure.state_of_group) if state is None]
        v_arrays = [_empty_array(size, batch, self.cell.units, z.dtype) for _ in unknown_v]
        z, mask, d_outputs = (_as_array(part, size) for part in (z, mask, d_outputs))
        d_peepholes = [zeros_to_sum(weight) for weight in weights.peepholes]

        def step(t, d_states, dz_array, v_arrays, d_peepholes, _):
            if d_outputs is not None:
                d_states = [d_states[0] + d_outputs.read(t), *d_states[1:]]
            before = [state.read(t) for state in states]
            mask_t = None if mask is None else mask.read(t)
            z_t = tf.split(z.read(t), structure.widths, axis=-1)
            sites = StoredSites(structure, weights, dropout_masks, z_t, mask_t)
            d_before, dz, d_more, shared = self._pull_back(sites, before, mask_t, d_states)
            pairs = zip(d_peepholes, d_more, strict=True)
            d_peepholes = [d + tf.cast(more, d.dtype) for d, more in pairs]
            pairs = zip(v_arrays, unknown_v, strict=True)
            v_arrays = [array.write(t, sites.v[group]) for array, group in pairs]
            dz_array = dz_array.write(t, tf.concat(dz, axis=-1))
            return t - 1, d_before, dz_array, v_arrays, d_peepholes, shared

        shared = structure.shared_results.placeholders(d_states[0])
        start = [length - 1, list(d_states), dz_array, v_arrays, d_peepholes, shared]
        _, d_first, dz_array, v_arrays, d_peepholes, shared = tf.while_loop(
            lambda t, *_: t >= 0, step, start
        )
        return Backward(d_first, dz_array.stack(), d_peepholes, _stacked(v_arrays), shared)

    def _step(self, sites, states, mask):
        """The next states, and the shared results; a masked step passes the states on."""
        new = list(self.cell.equations(sites, *states))
        shared = self.structure.shared_results.of_last_step()
        if mask is not None:
            new = [where_unmasked(mask, n, s) for n, s in zip(new, states, strict=True)]
        return new, shared

    def _pull_back(self, sites, before, mask, d_states):
        """The vector-Jacobian product of one step of the cell's own equations.

        A masked step passes gradients on as it passes on states, and has none of its own. Sending
        zeros through its equations would not do: zero times an infinite derivative is NaN.
        """
        peepholes = sites.weights.peepholes
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*before, *sites.x, *peepholes])
            new, shared = self._step(sites, before, mask)
        d_before, *others = tape.gradient(
            new,
            (before, sites.x, peepholes),
            output_gradients=d_states,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        if mask is not None:  # `StoredSites` does it for the others.
            d_before = [tf.where(mask, d, p) for d, p in zip(d_before, d_states, strict=True)]
        return d_before, *others, shared


def zeros_to_sum(weight: tf.Tensor) -> tf.Tensor:
    """Zeros of a weight's shape, in float32 at least: long sums lose digits in half precision."""
    return tf.zeros(weight.shape, tf.float32 if weight.dtype.size < 4 else weight.dtype)


def _shape(sequence):
    """Its steps, batch size and width, each a tensor if it is unknown while tracing."""
    dynamic = tf.unstack(tf.shape(sequence))
    return [d if known is None else known for d, known in zip(dynamic, sequence.shape, strict=True)]


def _as_array(sequence, size):
    if sequence is None:
        return None
    return tf.TensorArray(sequence.dtype, size, clear_after_read=False).unstack(sequence)


def _empty_array(size, batch, width, dtype):
    """Space for `size` tensors, `(batch, width)`. XLA requires their shape before the loop."""
    known = (None if tf.is_tensor(batch) else batch, width)
    zeros = tf.zeros((size, batch, width), dtype)
    return tf.TensorArray(dtype, size, element_shape=known).unstack(zeros)


def _stacked(arrays):
    return [array.stack() for array in arrays]
