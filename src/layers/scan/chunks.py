"""How a sequence is cut into chunks of steps, and which of them XLA compiles."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unrolled._compat import inside_xla
from unrolled.layers.cell import Cell
from unrolled.layers.scan import programs, size_limits

STEPS_PER_CHUNK = 40
FEWEST_STEPS_TO_COMPILE = 16
"""Shorter sequences run uncompiled: they would not make up for a second of compilation."""


class Compilation:
    """What XLA may compile in one call of a layer, the same for both passes.

    Args:
        cell: of the layer.
        inputs: `(steps, batch, ...)`.
        state: `(batch, units)`.
        jit_compile: False to compile nothing.

    Attributes:
        allowed: whether chunks of this batch size are compiled; a bool tensor if the batch size is
            unknown while tracing.
        programs: of this call of the layer.
        exact_length: whether chunks are cut to fit the number of steps, if it is known.
    """

    def __init__(self, cell: Cell, inputs: tf.Tensor, state: tf.Tensor, jit_compile: bool) -> None:
        self.allowed: Any = jit_compile
        self.programs = programs.ProgramsOfCall()
        self.exact_length = True
        known, batch = inputs.shape[:2]
        if not jit_compile or runs_whole(known):
            return
        self.exact_length = known is None or size_limits.lengths.allows(cell, known)
        if batch is None:
            # The size of a state, which waits for no weights. Inputs may be products that were
            # looked up; and what counts the sizes runs in order, so that one direction of a
            # bidirectional layer would wait for the other.
            size = tf.shape(state)[0]
            self.allowed = size_limits.batch_sizes.allows_in_graph(cell, size)
        else:
            self.allowed = size_limits.batch_sizes.allows(cell, batch)


class Chunks:
    """Cuts sequences into chunks, and calls functions of one chunk.

    Args:
        inputs: `(steps, batch, ...)`.
        compilation: of this call of the layer.

    Attributes:
        whole: whether the sequence is one uncompiled chunk.
        single: whether there is a single chunk, known while tracing.
    """

    def __init__(self, inputs: tf.Tensor, compilation: Compilation) -> None:
        known, self.batch = inputs.shape[:2]
        self._allowed = compilation.allowed
        self._programs = compilation.programs
        self.whole = runs_whole(known)
        self._fitted = known is not None and compilation.exact_length and not self.whole
        self._steps = tf.shape(inputs)[0] if known is None else known
        if self.whole:
            self._count, self._size = 1, self._steps
        elif self._fitted:
            self._count = -(-known // STEPS_PER_CHUNK)
            self._size = -(-known // self._count)  # Little or no padding.
        else:
            short = self._steps < FEWEST_STEPS_TO_COMPILE
            self._size = tf.where(short, tf.maximum(self._steps, 1), STEPS_PER_CHUNK)
            self._count = tf.maximum(1, -(-self._steps // self._size))
        self.single = self.whole or (self._fitted and self._count == 1)

    def part(self, k: Any) -> "Part":
        """What belongs to chunk k."""
        if self.single:
            return Part(self._steps)
        start = k * self._size
        length = tf.minimum(self._steps - start, self._size)
        return Part(length, start, self._size, self._size if self._fitted else None)

    def array(self, dtype: tf.DType, width: int) -> Any:
        """An array with one entry for each chunk, `(steps, batch, width)`."""
        if self.single:
            return _SingleEntry()
        shape = (None, self.batch, width)
        return tf.TensorArray(dtype, self._count, infer_shape=False, element_shape=shape)

    def call(self, function: Callable, computes: Any, *arguments: Any) -> Any:
        """Call a function of one chunk, compiled where that is allowed and pays.

        Args:
            function: the function.
            computes: see `unrolled.layers.scan.programs.Program`.
            *arguments: of the function.
        """
        if self.whole or self._allowed is False:
            return function(*arguments)
        program = self._programs.of(function, computes, *arguments)
        compiled = self._allowed
        if not self._fitted:
            compiled = compiled & (self._steps >= FEWEST_STEPS_TO_COMPILE)
        if compiled is True:
            return program.compiled(*arguments)
        plain = program.plain  # Traced here, not in a graph of the condition.
        return tf.cond(compiled, lambda: program.compiled(*arguments), lambda: plain(*arguments))

    def loop(self, chunk: Callable, *values: Any, reverse: bool = False) -> Any:
        """`values = chunk(k, *values)` for every chunk k, in order or in reverse."""
        if self.single:
            return chunk(0, *values)

        def body(n, *values):
            return n + 1, *chunk(self._count - 1 - n if reverse else n, *values)

        return tf.while_loop(lambda n, *_: n < self._count, body, [0, *values])[1:]


class Part:
    """Cuts one chunk out of sequences, each of three axes, the first of them time.

    Args:
        length: how many steps of the chunk are real.
        start: the step of the sequence with which it starts; None if it is the whole sequence.
        size: its length with padding.
        known: the same, if it is known while tracing.
    """

    def __init__(
        self, length: Any, start: Any = None, size: Any = None, known: int | None = None
    ) -> None:
        self.length = length
        self._start, self._size, self._known = start, size, known
        self._stop = None if start is None else start + length

    def take(self, sequence: tf.Tensor | None) -> tf.Tensor | None:
        """The real steps; None stays None."""
        if sequence is None or self._start is None:
            return sequence
        return sequence[self._start : self._stop]

    def padded(self, *parts: tf.Tensor | None) -> list[tf.Tensor | None]:
        """What `take` gave, or the like, padded to the full length; None stays None.

        Steps after the real ones are never read.
        """
        if self._start is None:
            return list(parts)
        missing = self._size - self.length
        there = [part for part in parts if part is not None]

        def pad():
            ends = tf.convert_to_tensor([(0, missing), (0, 0), (0, 0)])
            return [tf.pad(part, ends) for part in there]

        padded = tf.cond(missing > 0, pad, lambda: there)
        for part in padded:
            part.set_shape((self._known, *part.shape[1:]))
        in_order = iter(padded)
        return [None if part is None else next(in_order) for part in parts]


def runs_whole(known: int | None) -> bool:
    """Whether sequences of a length known while tracing, or None, run as one uncompiled chunk."""
    short = known is not None and known < FEWEST_STEPS_TO_COMPILE
    return tf.executing_eagerly() or inside_xla() or short


class _SingleEntry:
    """A TensorArray with one entry, for a single chunk."""

    def write(self, _, value):
        self.value = value
        return self

    def read(self, _):
        return self.value

    def concat(self):
        return self.value
