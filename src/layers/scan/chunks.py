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

    def length(self, k: Any) -> Any:
        """How many steps of chunk k are real."""
        return self._steps if self.single else tf.minimum(self._steps - k * self._size, self._size)

    def take(self, sequence: tf.Tensor, k: Any) -> tf.Tensor:
        """The real steps of chunk k."""
        if self.single:
            return sequence
        return sequence[k * self._size : k * self._size + self.length(k)]

    def pad(self, part: tf.Tensor, k: Any) -> tf.Tensor:
        """A chunk padded to the full length; steps after the real ones are never read."""
        if self.single:
            return part
        missing = self._size - self.length(k)
        ends = [(0, missing), *[(0, 0)] * (part.shape.rank - 1)]
        padded = tf.cond(missing > 0, lambda: tf.pad(part, ends), lambda: part)
        padded.set_shape((self._size if self._fitted else None, *part.shape[1:]))
        return padded

    def take_padded(self, sequence: tf.Tensor | None, k: Any) -> tf.Tensor | None:
        """Chunk k in its full length; None if there is no such sequence."""
        return None if sequence is None else self.pad(self.take(sequence, k), k)

    def array(self, dtype: tf.DType, width: int) -> Any:
        """An array with one entry for each chunk, `(steps, batch, width)`."""
        if self.single:
            return _SingleEntry()
        shape = (None, self.batch, width)
        return tf.TensorArray(dtype, self._count, infer_shape=False, element_shape=shape)

    def call(self, function: Callable, *arguments: Any) -> Any:
        """Call a function of one chunk, compiled where that is allowed and pays."""
        if self.whole or self._allowed is False:
            return function(*arguments)
        program = self._programs.of(function, *arguments)
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
