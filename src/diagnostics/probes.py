"""Zero probes on the states of a cell at every step, from which the gradients are read.

A step ends with s<t> + probe<t> for each state s, where probe<t> is zero. The gradient of a loss
with respect to probe<t> is the total derivative dL/ds<t>. It includes every path from s<t>: the
output at t, all later steps, and other states of the same step that depend on it, such as a<t> =
Γ_o * tanh(c<t>).

In the backward pass a gradient may leave the range of float64, about 10^-308 to 10^308. Therefore,
an example's gradient at a step that leaves the range 2^-BAND to 2^BAND is not propagated further;
it is moved to the next band. There it is multiplied by 2^BAND or 2^-BAND, and injected at the same
step of another run of the same program, in which the loss itself is multiplied by 0. Gradients are
linear, and powers of 2 are exact, so the gradient is the sum over the bands, each divided by its
factor. Most batches need one band; a gradient of 10^-500 needs five.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from unrolled.diagnostics.float64_copy import Direction, Loop, call_cell, real_steps, run_steps
from unrolled.layers import Cell

BAND = 400
"""Gradients outside 2^-BAND to 2^BAND are moved to the next band."""

_KERAS_STATES = {
    keras.layers.LSTMCell: ("a", "c"),
    keras.layers.GRUCell: ("c",),
    keras.layers.SimpleRNNCell: ("a",),
}


class Probed(NamedTuple):
    """One call of a recurrent layer with probes on its states.

    Attributes:
        direction: the layer.
        states: names of the states.
        mask: bool `(batch, steps)`, False at padding.
        probes: for each state zeros `(batch, steps, units)`, whose gradient is dL/ds<t>.
        moved: for each state zeros of the same shape, whose gradient is what is moved to another
            band.
    """

    direction: Direction
    states: Sequence[str]
    mask: tf.Tensor
    probes: list[tf.Tensor]
    moved: list[tf.Tensor]


def probed_loop(
    direction: Direction, calls: list[Probed], tape: tf.GradientTape, injected: list | None
) -> Loop:
    """Creates a loop for a recurrent layer of a `Float64Copy` that puts probes on its states.

    Args:
        direction: the layer.
        calls: list to which every call of the layer appends its `Probed`.
        tape: the tape that will compute the gradients.
        injected: by call and state, what to add to the gradient, `(batch, steps, units)`; or None.
    """

    def loop(sequences, states, mask):
        zeros = [_zeros_by_step(sequences, state) for state in tree.flatten(states)]
        probes, moved = ([tf.identity(zero) for zero in zeros] for _ in range(2))
        tape.watch([*probes, *moved])
        added = injected[len(calls)] if injected else []
        real = real_steps(mask, sequences)
        calls.append(Probed(direction, _state_names(direction.recurrent.cell), real, probes, moved))
        columns = [sequences, *probes, *moved, *added]
        step = _ProbedStep(direction, [column.shape[-1] for column in columns])
        columns = tf.concat(columns, axis=-1)
        return run_steps(direction.recurrent, step, columns, states, mask)

    return loop


def _state_names(cell: keras.layers.Layer) -> tuple[str, ...]:
    """Returns the lecture's names of a cell's states, or "state 1", ... for an unknown cell."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        return tuple(
            f"{n}.{name}" for n, part in enumerate(cell.cells, 1) for name in _state_names(part)
        )
    if isinstance(cell, Cell):
        return tuple(cell.states)
    for kind, names in _KERAS_STATES.items():
        if isinstance(cell, kind):
            return names
    return tuple(f"state {n}" for n in range(1, len(tree.flatten(cell.state_size)) + 1))


def _zeros_by_step(sequences: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    batch, steps = tf.unstack(tf.shape(sequences)[:2])
    zeros = tf.zeros((batch, steps, state.shape[-1]), state.dtype)
    return tf.ensure_shape(zeros, (*sequences.shape[:2], state.shape[-1]))


class _ProbedStep:
    """One step of a cell, whose input is concatenated with the probes."""

    def __init__(self, direction: Direction, widths: list[int]) -> None:
        self.direction = direction
        self.widths = widths

    def __call__(self, columns: tf.Tensor, states: list) -> tuple[tf.Tensor, list]:
        x, *probes = tf.split(columns, self.widths, axis=-1)
        with tf.GradientTape(persistent=True) as within:
            within.watch([x, *tree.flatten(states)])
            output, new = call_cell(self.direction.recurrent.cell, x, states)
        flat = tree.flatten(new)
        index = self._output_index(output, flat)
        flat = _probed(within, flat, probes)
        return flat[index], tree.pack_sequence_as(new, flat)

    def _output_index(self, output: tf.Tensor, states: list[tf.Tensor]) -> int:
        for index, state in enumerate(states):
            if output is state:
                return index
        raise ValueError(
            f"`model`: layer {self.direction.layer!r}: the cell "
            f"{type(self.direction.recurrent.cell).__name__} returns an output that is none of its "
            "states, so the gradient through it cannot be attributed to a state. Expected the "
            "tensor of a state itself, as Keras's cells return it."
        )


def _probed(
    within: tf.GradientTape, new: list[tf.Tensor], probes: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Adds probe<t> to the states of a step, s<t>; see the module docstring.

    Args:
        within: the tape that recorded the step.
        new: the states.
        probes: for all states the probes, the probes of moved gradients and, if any, what to
            inject.
    """
    added = probes[2 * len(new) :]

    @tf.custom_gradient
    def with_probes(*tensors):
        def gradient(*upstream):
            total = [d + a for d, a in zip(upstream, added, strict=True)] if added else upstream
            largest = tf.reduce_max(tf.abs(tf.concat(total, axis=-1)), axis=-1, keepdims=True)
            too_small = (largest < 2.0**-BAND) & (largest > 0)
            too_large = (largest > 2.0**BAND) & tf.math.is_finite(largest)
            outside = too_small | too_large
            moved = [tf.where(outside, d, tf.zeros_like(d)) for d in total]
            propagated = [tf.where(outside, tf.zeros_like(d), d) for d in total]
            # Other states of this step may depend on s<t>.
            by_state = within.gradient(new, new, output_gradients=propagated)
            return (*propagated, *by_state, *moved, *map(tf.zeros_like, added))

        return tuple(tf.identity(state) for state in tensors[: len(new)]), gradient

    return list(with_probes(*new, *probes))


def total_gradients(
    gradients: Callable[..., tuple], before_each: Callable[[], None]
) -> tuple[list[list[np.ndarray]], *tuple[Any, ...]]:
    """Computes norms of gradients of any magnitude, as a sum over as many bands as needed.

    Args:
        gradients: called with the factor of the loss and what to inject. Returns, for each call of
            a layer, two lists, the gradients with respect to its `probes` and its `moved`; and any
            other values.
        before_each: called before each band.

    Returns:
        By call and state, log10 of the norms, `(batch, steps)`; and the other values.
    """
    bands, waiting = [], {0: None}
    while waiting:
        band = min(waiting, key=abs)
        injected = waiting.pop(band)
        before_each()
        factor = tf.constant(1.0 if injected is None else 0.0, tf.float64)
        by_call, *others = gradients(factor, injected)
        bands.append((band, [[g.numpy() for g in by_probe] for by_probe, _ in by_call]))
        moved = [[h.numpy() for h in states] for _, states in by_call]
        for other, values in _moved_bands(moved, band).items():
            values = tree.map_structure(tf.constant, values)
            if waiting.get(other) is not None:
                values = tree.map_structure(tf.add, values, waiting[other])
            waiting[other] = values
    norms = [
        [log10_norms([(band, calls[call][n]) for band, calls in bands]) for n in range(len(states))]
        for call, states in enumerate(bands[0][1])
    ]
    return norms, *others


def _moved_bands(moved: list[list[np.ndarray]], band: int) -> dict[int, list[list[np.ndarray]]]:
    """Returns the scaled gradients to inject into the neighboring bands, by band, if any."""
    sizes = [np.abs(np.concatenate(call, axis=-1)).max(axis=-1, keepdims=True) for call in moved]
    small = [(size > 0) & (size < 1) for size in sizes]
    large = [size > 1 for size in sizes]
    neighbors = {band + 1: (small, 2.0**BAND), band - 1: (large, 2.0**-BAND)}
    return {
        neighbor: [
            [np.where(selected, h, 0) * factor for h in call]
            for selected, call in zip(selection, moved, strict=True)
        ]
        for neighbor, (selection, factor) in neighbors.items()
        if any(selected.any() for selected in selection)
    }


def log10_norms(terms: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """Computes log10 of the norm, over the last axis, of a gradient that is split into bands.

    Args:
        terms: pairs of a band and gradients `(..., units)`, which are scaled by 2^(BAND * band).

    Returns:
        `(...)`; -inf for a norm of 0, and +inf if a gradient is not finite.
    """
    lowest = np.iinfo(np.int32).min // 4
    exponents = []
    for band, gradients in terms:
        largest = np.abs(gradients).max(axis=-1)
        exponents.append(np.where(largest > 0, np.frexp(largest)[1] - BAND * band, lowest))
    highest = np.max(exponents, axis=0)
    total = 0.0
    for band, gradients in terms:
        shift = np.clip(-BAND * band - highest, -4000, 4000)[..., None]
        total = total + np.ldexp(gradients, np.where(gradients == 0, 0, shift))
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.log10(np.linalg.norm(total, axis=-1)) + highest * np.log10(2)
    return np.where(np.isfinite(total).all(axis=-1), norms, np.inf)
