"""Any cell through time, fast: chunks of steps, compiled, and nothing repeated per step.

The readable form of a cell is `Cell.call`, one step; `keras.layers.RNN` over it is the slow
reference that tests compare to. Here the same `Cell.equations` run with these moved out of the
loop over steps, which is in `unrolled.layers.scan.cell_loops`:

1. the input's part of every site, `W x + b`, is one product for all steps of a chunk;
2. the weights' gradients are one product for all steps of a chunk. The loop back only keeps the
   gradient dz<t> of each site; then dU = Vᵀ dZ, where v<t> is what met the site's weights at t.

Why chunks: XLA compiles for fixed shapes, and a chunk has one whatever the number of steps (the
last one just stops early), so a layer compiles once a batch size. Where the number of steps is
known, a trace is of that number alone, and its chunks are of one length. A chunk's tensors stay in
the processor's caches. And while the loop of one chunk runs on one core, the products of its
neighbours run on the others. Inference has next to no such products beside a wide layer's loop, so
there the halves of a batch run side by side.
"""

import contextlib
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

import tensorflow as tf
from tensorflow.python.eager.forwardprop_util import pack_tangents
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from unrolled.layers.scan import programs
from unrolled.layers.scan.cell_loops import Steps, start_of_sum

STEPS_A_CHUNK = 40
COMPILED = True
"""Set to False, no loop is compiled: for operations and tools that XLA does not know, such as
`tf.debugging.enable_check_numerics`."""
FEWEST_STEPS_TO_COMPILE = 16
"""Shorter sequences run uncompiled: they would not make up for a second of compilation."""
LEAST_STATE_TO_HALVE = 2000
"""From so many elements of a state on, halves of the batch make up for the second loop."""


_may_compile = ContextVar("may_compile", default=True)  # Models may be traced in several threads.


@contextlib.contextmanager
def uncompiled():
    """No scan traced within is compiled, nor its way back: for use in a layer's `call`, on batches
    of ever another size, of which each would be compiled for itself."""
    before = _may_compile.set(False)
    try:
        yield
    finally:
        _may_compile.reset(before)


def scan(cell, projection, inputs, states, mask=None, kept=None, outputs=True, training=True):
    """Carry a cell's states through time.

    Args:
        cell: a built `Cell`.
        projection: what turns inputs into `W x + b`: called with some steps of the inputs and with
            the tensors of `projection.weights`, see `unrolled.layers.cell.Projection`.
        inputs: `(steps, batch, ...)`.
        states: the states before the first step, each `(batch, units)`.
        mask: bool `(steps, batch, 1)`, or None. A step with False passes the states on unchanged.
        kept: by site, what recurrent dropout keeps of a state there, `(batch, units)`, or None.
        outputs: whether the outputs of all steps are wanted.
        training: whether to keep what the gradient needs. Without, a gradient is right as well, but
            has to run forward once more.

    Returns:
        The output of every step, `(steps, batch, units)`, or None, and the states after the last.

    Raises:
        ValueError: if the cell's equations do not keep to what `Cell.equations` asks of them.
        NotImplementedError: for a second derivative, or one in forward mode.
    """
    # Either may know a batch size that the other does not, and the loop keeps to both.
    batch = tf.TensorShape([inputs.shape[1]]).merge_with(states[0].shape[:1])[0]
    _refuse_forward_mode([inputs, *states, *cell.weights])
    inputs = tf.ensure_shape(inputs, (inputs.shape[0], batch, *inputs.shape[2:]))
    loop = _Loop(cell, projection, mask, kept or {}, outputs, inputs, states)
    tensors = loop.tensors(inputs, states)

    @tf.custom_gradient
    def run(*flat):
        tensors_ = tf.nest.pack_sequence_as(tensors, _unrecorded(flat))
        results, memory = loop.forward(tensors_, saving=training)

        def gradient(*d_results):
            def backward(*d_results):
                known = memory or loop.forward(tensors_, saving=True)[1]
                return tf.nest.flatten(loop.backward(tensors_, known, list(d_results)))

            return _once(backward, len(d_results))(*d_results, *flat)

        return tuple(results), gradient

    results = list(run(*tf.nest.flatten(tensors)))
    if not outputs:
        return None, results
    # A compiled function forgets how many steps there are, and the layer above would not know them.
    shape = (inputs.shape[0], batch, cell.units)
    return tf.ensure_shape(results.pop(0), shape), results


def _once(function, arguments):
    """`function` of its first `arguments`, of which a derivative by any argument is refused."""

    @tf.custom_gradient
    def guarded(*tensors):
        def refuse(*_):
            raise NotImplementedError(_FIRST_DERIVATIVES)

        return function(*_unrecorded(tensors[:arguments])), refuse

    return guarded


_FIRST_DERIVATIVES = (
    "The scan of `layers` has first derivatives in reverse mode, as tf.GradientTape takes them. "
    "Second derivatives, and those in forward mode (tf.autodiff.ForwardAccumulator), do not go "
    "through it; take them through keras.layers.RNN(layer.cell), which is slower."
)


def _refuse_forward_mode(tensors):
    """Raise if a `tf.autodiff.ForwardAccumulator` watches any of the tensors.

    It would call the gradient function where no tape records, and fail within.
    """
    if pack_tangents([tf.convert_to_tensor(tensor) for tensor in tensors]).tangents:
        raise NotImplementedError(_FIRST_DERIVATIVES)


def _unrecorded(tensors):
    """The same tensors, of which a tape does not see what is done with them.

    A persistent tape would make TensorFlow derive every compiled function there and then, into one
    that XLA cannot compile.
    """
    return [tf.stop_gradient(tensor) for tensor in tensors]


class _Tensors(NamedTuple):
    """What a scan has gradients for."""

    inputs: tf.Tensor
    states: list
    outer: list
    """The weights of the projection."""
    kernels: list
    """The recurrent kernel's columns, for each group that a state meets."""
    peepholes: list
    """One tensor or none."""


class _Memory(NamedTuple):
    """What the way back needs of the way forward."""

    chunks: "_Chunks"
    """The same: a way back may be traced though the way forward was not, and would cut anew."""
    arrays: list
    """z and the states, a part for each chunk."""


class _Loop:
    """The loops over chunks, forward and back, of one call of a layer."""

    def __init__(self, cell, projection, mask, kept, outputs, inputs, states):
        self.cell = cell
        self.steps = Steps(cell, apart=bool(kept))
        self.projection = projection
        self.mask = mask
        self.kept = kept
        self.outputs = outputs
        # Once for all chunks of both passes, which are to agree.
        self.fits, self.fitted = COMPILED and _may_compile.get(), True
        known, batch = inputs.shape[:2]
        if self.fits and not _run_whole(known):
            self.fitted = known is None or programs.lengths.allows(cell, known)
            if batch is None:
                # Of a state, which waits for no weights: inputs may be products by word, and what
                # counts the sizes runs in order, so that one direction would wait for the other.
                size = tf.shape(states[0])[0]
                self.fits = programs.batch_sizes.allows_in_graph(cell, size)
            else:
                self.fits = programs.batch_sizes.allows(cell, batch)

    def tensors(self, inputs, states):
        cell, steps = self.cell, self.steps
        outer = [tf.convert_to_tensor(weight) for weight in self.projection.weights]
        kernels = []
        if steps.met:
            kernel = steps.arrange(
                tf.convert_to_tensor(cell.recurrent_kernel), cell.recurrent_sites
            )
            kernels = tf.split(kernel, steps.widths[: len(steps.met)], axis=-1)
        peepholes = [] if cell.peephole is None else [tf.convert_to_tensor(cell.peephole)]
        return _Tensors(inputs, list(states), outer, kernels, peepholes)

    def forward(self, tensors, saving):
        """The outputs, if wanted, with the last states; and, if `saving`, the `_Memory`."""
        chunks = _Chunks(tensors.inputs, self.fits, self.fitted)
        run = partial(self.steps.forward, saving=saving, outputs=self.outputs)
        if saving or self.kept or chunks.whole:
            results, arrays = self._forward(chunks, run, tensors, self.mask, saving)
            return results, _Memory(chunks, arrays) if saving else None
        return self._without_saving(run, tensors), None

    def _without_saving(self, run, tensors):
        """The results for a batch in halves, each on a core of its own, where it is large."""
        batch = tf.shape(tensors.inputs)[1]

        def halves():
            first = self._results(run, tensors, slice(batch // 2))
            second = self._results(run, tensors, slice(batch // 2, None))
            outputs = self.outputs  # Their batch is the second axis, that of states the first.
            return [
                tf.concat(pair, axis=1 if outputs and number == 0 else 0)
                for number, pair in enumerate(zip(first, second, strict=True))
            ]

        def all_at_once():
            return self._results(run, tensors, slice(None))

        known = tensors.inputs.shape[1]
        if known is not None:
            large = known > 1 and known * self.cell.units >= LEAST_STATE_TO_HALVE
            return halves() if large else all_at_once()
        large = (batch > 1) & (batch * self.cell.units >= LEAST_STATE_TO_HALVE)
        return tf.cond(large, halves, all_at_once)

    def _results(self, run, tensors, rows):
        """The results for some rows of a batch."""
        if rows != slice(None):
            inputs, states = tensors.inputs[:, rows], [state[rows] for state in tensors.states]
            tensors = tensors._replace(inputs=inputs, states=states)
        mask = None if self.mask is None else self.mask[:, rows]
        chunks = _Chunks(tensors.inputs, self.fits, self.fitted)
        return self._forward(chunks, run, tensors, mask, saving=False)[0]

    def _forward(self, chunks, run, tensors, mask, saving):
        units, dtype = self.cell.units, tensors.states[0].dtype
        widths = [sum(self.steps.widths), *[units] * len(tensors.states)] if saving else []
        memory = [chunks.array(dtype, width) for width in widths]
        shown = [chunks.array(dtype, units)] if self.outputs else []

        def chunk(k, states, memory, shown):
            length = chunks.length(k)
            x = chunks.take(tensors.inputs, k)
            projected = chunks.fill(self._project(x, tensors.outer), k)
            states, z, sequences, _ = chunks.call(
                run,
                (tensors.kernels, tensors.peepholes),
                self.kept,
                length,
                projected,
                chunks.take_full(mask, k),
                states,
            )
            parts = [*z, *sequences] if saving else []
            memory = [array.write(k, part) for array, part in zip(memory, parts, strict=True)]
            shown = [array.write(k, sequences[0][1 : length + 1]) for array in shown]
            return states, memory, shown

        last, memory, shown = chunks.loop(chunk, tensors.states, memory, shown)
        return [*[array.concat() for array in shown], *last], memory

    def backward(self, tensors, memory, d_results):
        """Gradients of all tensors."""
        chunks = memory.chunks
        d_outputs = d_results.pop(0) if self.outputs else None
        x = tensors.inputs
        d_inputs = [chunks.array(x.dtype, x.shape[-1])] if x.dtype.is_floating else []
        weights = [*tensors.outer, *tensors.kernels, *tensors.peepholes]
        d_weights = [None if chunks.single else start_of_sum(weight) for weight in weights]
        run = self.steps.back
        transposed = [tf.transpose(kernel) for kernel in tensors.kernels]

        def chunk(k, d_states, d_inputs, d_weights):
            length = chunks.length(k)
            z, *sequences = (array.read(k) for array in memory.arrays)
            d_states, dz, d_peepholes, other_v, _ = chunks.call(
                run,
                (transposed, tensors.peepholes),
                self.kept,
                length,
                z,
                sequences,
                chunks.take_full(self.mask, k),
                chunks.take_full(d_outputs, k),
                d_states,
            )
            dz = dz[:length]
            d_x, d_outer = self._pull_back(chunks.take(tensors.inputs, k), tensors.outer, dz)
            d_kernels = self._gradients_of_kernels(dz, sequences, other_v, length)
            more = [*d_outer, *d_kernels, *d_peepholes]
            d_weights = [_added(d, m) for d, m in zip(d_weights, more, strict=True)]
            return d_states, [array.write(k, d_x) for array in d_inputs], d_weights

        d_states, d_inputs, d_weights = chunks.loop(
            chunk, d_results, d_inputs, d_weights, back=True
        )
        d_inputs = [array.concat() for array in d_inputs] or [None]
        d_weights = [tf.cast(d, w.dtype) for d, w in zip(d_weights, weights, strict=True)]
        return d_inputs, d_states, d_weights

    def _project(self, x, outer):
        return self.steps.arrange(self.projection(x, *outer), self.cell.sites)

    def _pull_back(self, x, outer, dz):
        """Gradients of the inputs, None for integers, and of the projection's weights."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, *outer] if x.dtype.is_floating else outer)
            projected = self._project(x, outer)
        d_x, d_outer = tape.gradient(projected, (x, outer), output_gradients=dz)
        return d_x, [tf.convert_to_tensor(d) for d in d_outer]

    def _gradients_of_kernels(self, dz, sequences, other_v, length):
        """dU = Vᵀ dZ for each group that a state meets."""
        met, other_v = self.steps.met, iter(other_v)
        v = [next(other_v) if state is None else sequences[state] for state in met]
        dz = tf.split(dz, self.steps.widths, axis=-1)[: len(met)]
        return [_product_over_steps(v[:length], dz) for v, dz in zip(v, dz, strict=True)]


class _Chunks:
    """Cuts sequences into chunks, and runs them compiled where that pays and may be.

    Args:
        inputs: `(steps, batch, ...)`.
        fits: whether chunks of this batch size are compiled, as a tensor where only the graph
            knows.
        fitted: whether chunks are cut to fit the number of steps, where it is known.
    """

    def __init__(self, inputs, fits, fitted):
        known, self.batch = inputs.shape[:2]
        self.fits = fits
        self.whole = _run_whole(known)
        self.long = known is not None and fitted and not self.whole
        self.steps = tf.shape(inputs)[0] if known is None else known
        if self.whole:
            self.count, self.size = 1, self.steps
        elif self.long:
            self.count = -(-known // STEPS_A_CHUNK)
            self.size = -(-known // self.count)  # Nothing to fill, or next to nothing.
        else:
            short = self.steps < FEWEST_STEPS_TO_COMPILE
            self.size = tf.where(short, tf.maximum(self.steps, 1), STEPS_A_CHUNK)
            self.count = tf.maximum(1, -(-self.steps // self.size))
        self.single = self.whole or (self.long and self.count == 1)

    def length(self, k):
        """How many steps of chunk k are real."""
        return self.steps if self.single else tf.minimum(self.steps - k * self.size, self.size)

    def take(self, sequence, k):
        """The real steps of chunk k."""
        if self.single:
            return sequence
        return sequence[k * self.size : k * self.size + self.length(k)]

    def fill(self, part, k):
        """A chunk in its full length; what is past its real steps is never read."""
        if self.single:
            return part
        missing = self.size - self.length(k)
        ends = [(0, missing), *[(0, 0)] * (part.shape.rank - 1)]
        filled = tf.cond(missing > 0, lambda: tf.pad(part, ends), lambda: part)
        filled.set_shape((self.size if self.long else None, *part.shape[1:]))
        return filled

    def take_full(self, sequence, k):
        """Chunk k in its full length; None if there is no such sequence."""
        return None if sequence is None else self.fill(self.take(sequence, k), k)

    def array(self, dtype, width):
        """Room for a part of each chunk."""
        if self.single:
            return _Single()
        shape = (None, self.batch, width)
        return tf.TensorArray(dtype, self.count, infer_shape=False, element_shape=shape)

    def call(self, function, *arguments):
        """Call a function of one chunk, compiled where that pays."""
        if self.whole or self.fits is False:
            return function(*arguments)
        program = programs.Program(function, *arguments)
        fits = self.fits if self.long else self.fits & (self.steps >= FEWEST_STEPS_TO_COMPILE)
        if fits is True:
            return program.compiled(*arguments)
        return tf.cond(
            fits, lambda: program.compiled(*arguments), lambda: program.plain(*arguments)
        )

    def loop(self, chunk, *values, back=False):
        """`chunk(k, *values)` for every chunk, in order or from the last to the first."""
        if self.single:
            return chunk(0, *values)

        def body(n, *values):
            return n + 1, *chunk(self.count - 1 - n if back else n, *values)

        return tf.while_loop(lambda n, *_: n < self.count, body, [0, *values])[1:]


def _run_whole(known):
    """Whether sequences of a known length, or None, run here in one piece and uncompiled."""
    in_xla = GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    short = known is not None and known < FEWEST_STEPS_TO_COMPILE
    return tf.executing_eagerly() or in_xla or short


class _Single:
    """A TensorArray of one tensor, where there is one chunk."""

    def write(self, _, value):
        self.value = value
        return self

    def read(self, _):
        return self.value

    def concat(self):
        return self.value


def _added(total, more):
    """The sum; one chunk has none, and no room is taken for it."""
    return more if total is None else total + tf.cast(more, total.dtype)


def _product_over_steps(v, dz):
    """Sum over steps and batch of vᵀ dz, as one product."""
    v = tf.reshape(v, (-1, v.shape[-1]))
    return tf.matmul(v, tf.reshape(dz, (-1, dz.shape[-1])), transpose_a=True)
