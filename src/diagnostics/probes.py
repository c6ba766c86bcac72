"""Zero probes on the states of a cell, step by step, that gradients are read from.

A step ends with s<t> + probe<t>, for each state s, where probe<t> is zero. The gradient of a loss
by probe<t> is the total derivative dL/ds<t>, through everything that s<t> has a part in: the output
at t and what is made of it, all later steps, and the other states of the same step that are made of
it, such as a<t> = Γ_o * tanh(c<t>).

On its way back a gradient may leave the range of float64, which ends near 10^-308 and 10^308. So
an example's gradient at a step that has left 2^-BAND to 2^BAND goes no further: it is handed over
to the next band. There it is multiplied by 2^BAND or 2^-BAND, and added to the gradient at the same
step of another run of the same program, in which the loss itself is multiplied by 0. Gradients are
linear, and powers of 2 exact, so the sum over the bands, each divided by its factor, is the
gradient. Most batches need one band; a gradient of 10^-500 five.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from unrolled.diagnostics.float64_copy import Direction, call_cell, real_steps, steps_through
from unrolled.layers import Cell

BAND = 400
"""Gradients are handed over to the next band where they leave 2^-BAND to 2^BAND."""

_KERAS_STATES = {
    keras.layers.LSTMCell: ("a", "c"),
    keras.layers.GRUCell: ("c",),
    keras.layers.SimpleRNNCell: ("a",),
}


class Probed(NamedTuple):
    """One call of a recurrent layer whose states are probed.

    Attributes:
        direction: the layer.
        states: names of the states.
        mask: bool `(batch, steps)`, False where a step is masked.
        probes: zeros `(batch, steps, units)` for each state; the gradient by them is dL/ds<t>.
        handed: likewise; the gradient by them is what was handed over to another band.
    """

    direction: Direction
    states: Sequence[str]
    mask: tf.Tensor
    probes: list
    handed: list


def probed_loop(direction, calls, tape, injected):
    """A loop for a recurrent layer of an `ExactCopy` that probes its states; see its `run`.

    Args:
        direction: the layer.
        calls: a list that every call of the layer appends its `Probed` to.
        tape: the tape that gradients will be asked of.
        injected: by call and state, what to add to the gradient, `(batch, steps, units)`; or None.
    """

    def loop(sequences, states, mask):
        zeros = [_zeros_by_step(sequences, state) for state in tree.flatten(states)]
        probes, handed = ([tf.identity(zero) for zero in zeros] for _ in range(2))
        tape.watch([*probes, *handed])
        added = injected[len(calls)] if injected else []
        real = real_steps(mask, sequences)
        calls.append(Probed(direction, _names(direction.recurrent.cell), real, probes, handed))
        columns = [sequences, *probes, *handed, *added]
        step = _ProbedStep(direction, [column.shape[-1] for column in columns])
        columns = tf.concat(columns, axis=-1)
        return steps_through(direction.recurrent, step, columns, states, mask)

    return loop


def _names(cell):
    """The lecture's names of a cell's states; numbers for those of an unknown cell."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        return tuple(f"{n}.{name}" for n, part in enumerate(cell.cells, 1) for name in _names(part))
    if isinstance(cell, Cell):
        return tuple(cell.states)
    for kind, names in _KERAS_STATES.items():
        if isinstance(cell, kind):
            return names
    return tuple(f"state {n}" for n in range(1, len(tree.flatten(cell.state_size)) + 1))


def _zeros_by_step(sequences, state):
    batch, steps = tf.unstack(tf.shape(sequences)[:2])
    zeros = tf.zeros((batch, steps, state.shape[-1]), state.dtype)
    return tf.ensure_shape(zeros, (*sequences.shape[:2], state.shape[-1]))


class _ProbedStep:
    """One step of a cell, of its input and all that comes with it side by side."""

    def __init__(self, direction, widths):
        self.direction = direction
        self.widths = widths

    def __call__(self, columns, states):
        x, *more = tf.split(columns, self.widths, axis=-1)
        with tf.GradientTape(persistent=True) as within:
            within.watch([x, *tree.flatten(states)])
            output, new = call_cell(self.direction.recurrent.cell, x, states)
        flat = tree.flatten(new)
        number = self._number_of_the_output(output, flat)
        flat = _probed(within, flat, more)
        return flat[number], tree.pack_sequence_as(new, flat)

    def _number_of_the_output(self, output, states):
        for number, state in enumerate(states):
            if output is state:
                return number
        raise ValueError(
            f"`model`: layer {self.direction.layer!r}: the cell "
            f"{type(self.direction.recurrent.cell).__name__} returns an output that is none of its "
            "states, so that what a state does through it cannot be told apart. Expected the very "
            "tensor of a state, as Keras's cells return it."
        )


def _probed(within, new, probes):
    """The states of a step, s<t>, with probe<t> on them; see the module.

    Args:
        within: the tape that saw how they were made.
        new: the states.
        probes: for all of them the probes, what is handed over and, if anything is, what is added.
    """
    added = probes[2 * len(new) :]

    @tf.custom_gradient
    def shown(*tensors):
        def gradient(*upstream):
            total = [d + a for d, a in zip(upstream, added, strict=True)] if added else upstream
            largest = tf.reduce_max(tf.abs(tf.concat(total, axis=-1)), axis=-1, keepdims=True)
            too_small = (largest < 2.0**-BAND) & (largest > 0)
            too_large = (largest > 2.0**BAND) & tf.math.is_finite(largest)
            outside = too_small | too_large
            handed = [tf.where(outside, d, tf.zeros_like(d)) for d in total]
            kept = [tf.where(outside, tf.zeros_like(d), d) for d in total]
            # s<t> may be a part of the other states of this step.
            by_state = within.gradient(new, new, output_gradients=kept)
            return (*kept, *by_state, *handed, *map(tf.zeros_like, added))

        return tuple(tf.identity(state) for state in tensors[: len(new)]), gradient

    return list(shown(*new, *probes))


def total_gradients(gradients: Callable, before_each: Callable):
    """Norms of gradients of any size, as the sum over as many bands as it takes.

    Args:
        gradients: called with the factor of the loss and what to inject, gives by call two lists,
            the gradients by its `probes` and by what it `handed` over, and anything else.
        before_each: called before each measurement.

    Returns:
        By call and state log10 of the norms, `(batch, steps)`; and anything else.
    """
    terms, waiting = [], {0: None}
    while waiting:
        band = min(waiting, key=abs)
        injected = waiting.pop(band)
        before_each()
        factor = tf.constant(1.0 if injected is None else 0.0, tf.float64)
        by_call, *others = gradients(factor, injected)
        terms.append((band, [[g.numpy() for g in by_probe] for by_probe, _ in by_call]))
        handed = [[h.numpy() for h in states] for _, states in by_call]
        for other, values in _handed_over(handed, band).items():
            values = tree.map_structure(tf.constant, values)
            if waiting.get(other) is not None:
                values = tree.map_structure(tf.add, values, waiting[other])
            waiting[other] = values
    norms = [
        [log10_norms([(band, calls[call][n]) for band, calls in terms]) for n in range(len(states))]
        for call, states in enumerate(terms[0][1])
    ]
    return norms, *others


def _handed_over(handed, band):
    """What goes into the neighbouring bands, multiplied, by band; only where something does."""
    sizes = [np.abs(np.concatenate(call, axis=-1)).max(axis=-1, keepdims=True) for call in handed]
    small = [(size > 0) & (size < 1) for size in sizes]
    large = [size > 1 for size in sizes]
    neighbours = {band + 1: (small, 2.0**BAND), band - 1: (large, 2.0**-BAND)}
    return {
        neighbour: [
            [np.where(there, h, 0) * factor for h in call]
            for there, call in zip(chosen, handed, strict=True)
        ]
        for neighbour, (chosen, factor) in neighbours.items()
        if any(there.any() for there in chosen)
    }


def log10_norms(terms):
    """log10 of the norm over the last axis of the sum of gradients in several bands.

    Args:
        terms: pairs of a band and gradients `(..., units)`, which are 2^(BAND * band) times what
            they stand for.

    Returns:
        `(...)`; -inf for a norm of 0, and +inf where a gradient is not finite.
    """
    nothing = np.iinfo(np.int32).min // 4
    exponents = []
    for band, gradients in terms:
        largest = np.abs(gradients).max(axis=-1)
        exponents.append(np.where(largest > 0, np.frexp(largest)[1] - BAND * band, nothing))
    highest = np.max(exponents, axis=0)
    total = 0.0
    for band, gradients in terms:
        shift = np.clip(-BAND * band - highest, -4000, 4000)[..., None]
        total = total + np.ldexp(gradients, np.where(gradients == 0, 0, shift))
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.log10(np.linalg.norm(total, axis=-1)) + highest * np.log10(2)
    return np.where(np.isfinite(total).all(axis=-1), norms, np.inf)
