"""The loops over chunks, forward and backward, of one call of a layer."""

from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from unrolled.layers.cell import Cell
from unrolled.layers.projection import Projection
from unrolled.layers.scan.cell_loops import CellLoops, zeros_to_sum
from unrolled.layers.scan.chunks import Chunks, Compilation
from unrolled.layers.scan.sites import RecurrentWeights

LEAST_STATE_TO_HALVE = 2000
"""A batch runs in halves if a state has at least this many elements; with fewer, the second loop
costs more than it saves."""


class Tensors(NamedTuple):
    """What a scan has gradients with respect to.

    Attributes:
        inputs: `(steps, batch, ...)`.
        states: the initial states, each `(batch, units)`.
        outer: the weights of the projection.
        kernels: the recurrent kernel's columns, for each group that a state meets.
        peepholes: the peephole weight, in a list of one or none.
    """

    inputs: tf.Tensor
    states: list
    outer: list
    kernels: list
    peepholes: list


class Memory(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes:
        chunks: the same chunks. A backward pass may be traced although the forward pass was not,
            and would cut the sequence differently.
        arrays: z and the states, an entry for each chunk.
    """

    chunks: Chunks
    arrays: list


class ChunkLoops:
    """Runs a cell through time, chunk by chunk.

    Args:
        cell, projection, mask, dropout_masks, outputs, inputs, states, jit_compile: see
            `unrolled.layers.scan.scan`.
    """

    def __init__(
        self,
        cell: Cell,
        projection: Projection,
        mask: tf.Tensor | None,
        dropout_masks: dict[str, tf.Tensor],
        outputs: bool,
        inputs: tf.Tensor,
        states: list,
        jit_compile: bool,
    ) -> None:
        self.cell = cell
        self.loops = CellLoops(cell, separate=bool(dropout_masks))
        self.projection = projection
        self.mask = mask
        self.dropout_masks = dropout_masks
        self.outputs = outputs
        self.compilation = Compilation(cell, inputs, states[0], jit_compile)

    def tensors(self, inputs: tf.Tensor, states: list) -> Tensors:
        """Everything that the scan has gradients with respect to."""
        cell, structure = self.cell, self.loops.structure
        outer = [tf.convert_to_tensor(weight) for weight in self.projection.weights]
        kernels: list = []
        groups = len(structure.state_of_group)
        if groups:
            kernel = structure.arrange(
                tf.convert_to_tensor(cell.recurrent_kernel), cell.recurrent_sites
            )
            kernels = tf.split(kernel, structure.widths[:groups], axis=-1)
        peepholes = [] if cell.peephole is None else [tf.convert_to_tensor(cell.peephole)]
        return Tensors(inputs, list(states), outer, kernels, peepholes)

    def forward(self, tensors: Tensors, saving: bool) -> tuple[list, Memory | None]:
        """Run the chunks in order.

        Args:
            tensors: as `tensors` returns them.
            saving: whether a backward pass follows.

        Returns:
            The outputs, if wanted, with the last states; the memory, if `saving`.
        """
        chunks = Chunks(tensors.inputs, self.compilation)
        run = partial(self.loops.forward, saving=saving, outputs=self.outputs)
        if saving or self.dropout_masks or chunks.whole:
            results, arrays = self._forward(chunks, run, tensors, self.mask, saving)
            return results, Memory(chunks, arrays) if saving else None
        return self._without_saving(run, tensors), None

    def _without_saving(self, run, tensors):
        """The results, for a large batch in halves, each on a core of its own."""
        known = tensors.inputs.shape[1]
        batch = tf.shape(tensors.inputs)[1] if known is None else known
        is_large = (batch > 1) & (batch * self.cell.units >= LEAST_STATE_TO_HALVE)
        if known is not None and not is_large:
            return self._results(run, tensors, self.mask)
        # Both halves and the whole batch call it, and it is traced once for each static shape.
        results = tf.function(partial(self._results, run), autograph=False)

        def halves():
            first = results(*self._rows(tensors, slice(batch // 2)))
            second = results(*self._rows(tensors, slice(batch // 2, None)))
            outputs = self.outputs  # Their batch is the second axis, that of states the first.
            return [
                tf.concat(pair, axis=1 if outputs and number == 0 else 0)
                for number, pair in enumerate(zip(first, second, strict=True))
            ]

        if known is not None:
            return halves()
        return tf.cond(is_large, halves, lambda: results(tensors, self.mask))

    def _rows(self, tensors, rows):
        """The tensors of some examples of a batch, and their mask."""
        inputs, states = tensors.inputs[:, rows], [state[rows] for state in tensors.states]
        mask = None if self.mask is None else self.mask[:, rows]
        return tensors._replace(inputs=inputs, states=states), mask

    def _results(self, run, tensors, mask):
        chunks = Chunks(tensors.inputs, self.compilation)
        return self._forward(chunks, run, tensors, mask, saving=False)[0]

    def _forward(self, chunks, run, tensors, mask, saving):
        units, dtype = self.cell.units, tensors.states[0].dtype
        widths = [sum(self.loops.structure.widths), *[units] * len(tensors.states)]
        memory = [chunks.array(dtype, width) for width in widths] if saving else []
        outputs = [chunks.array(dtype, units)] if self.outputs else []

        def chunk(k, states, memory, outputs):
            part = chunks.part(k)
            x = self._project(part.take(tensors.inputs), tensors.outer)
            last, z, sequences, _ = chunks.call(
                run,
                self.loops.computes("forward", saving, self.outputs),
                RecurrentWeights(tensors.kernels, tensors.peepholes),
                self.dropout_masks,
                part.length,
                *part.padded(x, part.take(mask)),
                states,
            )
            new = [*z, *sequences] if saving else []
            memory = [array.write(k, entry) for array, entry in zip(memory, new, strict=True)]
            outputs = [array.write(k, sequences[0][1 : part.length + 1]) for array in outputs]
            return last, memory, outputs

        last, memory, outputs = chunks.loop(chunk, tensors.states, memory, outputs)
        return [*[array.concat() for array in outputs], *last], memory

    def backward(self, tensors: Tensors, memory: Memory | None, d_results: list) -> tuple:
        """Run the chunks in reverse.

        Args:
            tensors: as for `forward`.
            memory: of the forward pass; None runs it once more.
            d_results: gradients of its results.

        Returns:
            Gradients with respect to the inputs, in a list, the initial states, and the weights in
            the order of `Tensors`.
        """
        if memory is None:
            return self.backward(tensors, self.forward(tensors, saving=True)[1], d_results)
        chunks = memory.chunks
        d_outputs = d_results.pop(0) if self.outputs else None
        x = tensors.inputs
        d_inputs = [chunks.array(x.dtype, x.shape[-1])] if x.dtype.is_floating else []
        weights = [*tensors.outer, *tensors.kernels, *tensors.peepholes]
        d_weights = [None if chunks.single else zeros_to_sum(weight) for weight in weights]
        transposed = [tf.transpose(kernel) for kernel in tensors.kernels]

        def chunk(k, d_states, d_inputs, d_weights):
            part = chunks.part(k)
            z, *sequences = (array.read(k) for array in memory.arrays)
            d_first, dz, d_peepholes, v, _ = chunks.call(
                self.loops.backward,
                self.loops.computes("backward"),
                RecurrentWeights(transposed, tensors.peepholes),
                self.dropout_masks,
                part.length,
                z,
                sequences,
                *part.padded(part.take(self.mask), part.take(d_outputs)),
                d_states,
            )
            dz = dz[: part.length]
            d_x, d_outer = self._pull_back(part.take(tensors.inputs), tensors.outer, dz)
            d_kernels = self._gradients_of_kernels(dz, sequences, v, part.length)
            more = [*d_outer, *d_kernels, *d_peepholes]
            d_weights = [_sum(d, m) for d, m in zip(d_weights, more, strict=True)]
            return d_first, [array.write(k, d_x) for array in d_inputs], d_weights

        d_states, d_inputs, d_weights = chunks.loop(
            chunk, d_results, d_inputs, d_weights, reverse=True
        )
        d_inputs = [array.concat() for array in d_inputs] or [None]
        d_weights = [tf.cast(d, w.dtype) for d, w in zip(d_weights, weights, strict=True)]
        return d_inputs, d_states, d_weights

    def _project(self, x, outer):
        return self.loops.structure.arrange(self.projection(x, *outer), self.cell.sites)

    def _pull_back(self, x, outer, dz):
        """Gradients with respect to the inputs, None for integers, and the projection's weights."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, *outer] if x.dtype.is_floating else outer)
            projected = self._project(x, outer)
        d_x, d_outer = tape.gradient(projected, (x, outer), output_gradients=dz)
        return d_x, [tf.convert_to_tensor(d) for d in d_outer]

    def _gradients_of_kernels(self, dz, sequences, other_v, length):
        """dU = Vᵀ dZ for each group that a state meets."""
        structure, other = self.loops.structure, iter(other_v)
        states = structure.state_of_group
        v = [next(other) if state is None else sequences[state] for state in states]
        dz = tf.split(dz, structure.widths, axis=-1)[: len(states)]
        return [_product_over_steps(v[:length], dz) for v, dz in zip(v, dz, strict=True)]


def _sum(total: Any, more: tf.Tensor) -> tf.Tensor:
    """The sum over chunks; None for no sum yet, so that a single chunk needs no zeros."""
    return more if total is None else total + tf.cast(more, total.dtype)


def _product_over_steps(v, dz):
    """Sum over steps and batch of vᵀ dz, as one product."""
    v = tf.reshape(v, (-1, v.shape[-1]))
    return tf.matmul(v, tf.reshape(dz, (-1, dz.shape[-1])), transpose_a=True)
