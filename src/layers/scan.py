"""Any cell through time, fast: chunks of steps, compiled, and nothing repeated per step.

The readable form of a cell is `Cell.call`, one step; `keras.layers.RNN` over it is the slow
reference that tests compare to. Here the same `Cell.equations` run with these moved out of the
loop over steps, which is in `layers.steps`:

1. the input's part of every site, `W x + b`, is one product for all steps of a chunk;
2. the weights' gradients are one product for all steps of a chunk. The loop back only keeps the
   gradient dz<t> of each site; then dU = Vᵀ dZ, where v<t> is what met the site's weights at t.

Why chunks: XLA compiles for fixed shapes, and a chunk has one whatever the number of steps (the
last one just stops early), so a layer compiles once a batch size. A chunk's tensors stay in the
processor's caches. And while the loop of one chunk runs on one core, the products of its neighbours
run on the others.
"""

from functools import partial

import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from layers.steps import Steps

STEPS_A_CHUNK = 32
FEWEST_STEPS_TO_COMPILE = 16
"""Shorter sequences run uncompiled: they would not make up for a second of compilation."""


def scan(cell, projection, inputs, states, mask=None, kept=None, outputs=True, training=True):
    """Carry a cell's states through time.

    Args:
        cell: a built `Cell`.
        projection: what turns inputs into `W x + b`: a function of some steps of the inputs and of
            `projection.weights`, see `layers.cell.Projection`.
        inputs: `(steps, batch, ...)`.
        states: the states before the first step, each `(batch, units)`.
        mask: bool `(steps, batch, 1)`, or None. A step with False passes the states on unchanged.
        kept: by site, what recurrent dropout keeps of a state there, `(batch, units)`, or None.
        outputs: whether the outputs of all steps are wanted.
        training: whether to keep what the gradient needs. Without, a gradient is right as well but
            has to run forward once more.

    Returns:
        The output of every step, `(steps, batch, units)`, or None, and the states after the last.
    """
    loop = _Loop(cell, projection, mask, kept or {}, outputs)

    @tf.custom_gradient
    def run(*tensors):
        result, last, memory = loop.forward(*loop.unpack(tensors), saving=training)

        def gradient(*d_results):
            def backward(*d_results):
                known = memory or loop.forward(*loop.unpack(tensors), saving=True)[-1]
                d_outputs = d_results[0] if outputs else None
                d_last = d_results[1:] if outputs else d_results
                return loop.backward(*loop.unpack(tensors), known, d_outputs, d_last)

            # Whoever asks for a derivative of this derivative is refused, not given a part of it.
            return _once(backward, len(d_results))(*d_results, *tensors)

        return (result, *last) if outputs else tuple(last), gradient

    results = run(*loop.pack(inputs, states))
    return (results[0], list(results[1:])) if outputs else (None, list(results))


def _once(function, arguments):
    """`function` of the first arguments, of which no derivative by any argument can be had."""

    @tf.custom_gradient
    def guarded(*tensors):
        def refuse(*_):
            raise NotImplementedError(
                "Second derivatives do not go through the scan of `layers`; take them through "
                "keras.layers.RNN(layer.cell), which is slower."
            )

        return function(*tensors[:arguments]), refuse

    return guarded


class _Loop:
    """The loops over chunks, forward and back, of one call of a layer."""

    def __init__(self, cell, projection, mask, kept, outputs):
        self.steps = Steps(cell, apart=bool(kept))
        self.cell = cell
        self.projection = projection
        self.mask = mask
        self.kept = kept
        self.outputs = outputs

    def pack(self, inputs, states):
        """All tensors that have a gradient, in a row."""
        cell = self.cell
        outer = [tf.convert_to_tensor(weight) for weight in self.projection.weights]
        kernel = [tf.convert_to_tensor(k) for k in [cell.recurrent_kernel] if k is not None]
        kernel = [self.steps.arrange(k, cell.recurrent_sites) for k in kernel]
        peepholes = [tf.convert_to_tensor(p) for p in [cell.peephole] if p is not None]
        return [inputs, *states, *outer, *kernel, *peepholes]

    def unpack(self, tensors):
        """Inputs, states, weights of the projection, recurrent kernel and peepholes or None."""
        inputs, *rest = tensors
        count = len(self.cell.states)
        states, rest = rest[:count], rest[count:]
        count = len(self.projection.weights)
        outer, rest = rest[:count], rest[count:]
        kernel = rest.pop(0) if self.cell.recurrent_kernel is not None else None
        return inputs, states, outer, kernel, rest.pop(0) if rest else None

    def forward(self, inputs, states, outer, kernel, peepholes, saving):
        """The outputs, the last states, and what the way back needs."""
        chunks = _Chunks(inputs)
        inner = (self._kernels(kernel), peepholes)
        run = partial(self.steps.forward, saving=saving, outputs=self.outputs)
        dtype, units = states[0].dtype, self.cell.units
        widths = [sum(self.steps.widths), *[units] * len(states)] if saving else []
        arrays = [chunks.array(dtype, width) for width in widths]
        shown = [chunks.array(dtype, units)] if self.outputs else []

        def chunk(k, states, arrays, shown):
            projected = chunks.fill(self._project(chunks.take(inputs, k), outer), k)
            mask, length = chunks.full(self.mask, k), chunks.length(k)
            states, z, sequences, _ = chunks.call(
                run, inner, self.kept, length, projected, mask, states
            )
            if saving:
                arrays = [a.write(k, part) for a, part in zip(arrays, [*z, *sequences], strict=True)]
            shown = [a.write(k, sequences[0][1 : length + 1]) for a in shown]
            return states, arrays, shown

        states, arrays, shown = chunks.loop(chunk, list(states), arrays, shown)
        return shown[0].concat() if shown else None, states, arrays

    def backward(self, inputs, states, outer, kernel, peepholes, memory, d_outputs, d_last):
        """Gradients of all tensors, in the order of `pack`."""
        chunks = _Chunks(inputs)
        inner = (self._kernels(kernel), peepholes)
        has_gradient = inputs.dtype.is_floating
        d_inputs = [chunks.array(inputs.dtype, inputs.shape[-1])] if has_gradient else []
        weights = [*outer, *([] if kernel is None else [kernel])]
        weights += [] if peepholes is None else [peepholes]

        def chunk(k, d_states, d_inputs, d_weights):
            x, length = chunks.take(inputs, k), chunks.length(k)
            z, *sequences = (array.read(k) for array in memory)
            d_states, dz, d_peepholes, other_v, _ = chunks.call(
                self.steps.back,
                inner,
                self.kept,
                length,
                z,
                sequences,
                chunks.full(self.mask, k),
                chunks.full(d_outputs, k),
                d_states,
            )
            dz = dz[:length]
            d_x, d_outer = self._pull_back(x, outer, dz)
            d_kernel = self._kernel_gradient(dz, sequences, other_v, length)
            more = [*d_outer, *d_kernel, *d_peepholes]
            d_weights = [d + tf.cast(m, d.dtype) for d, m in zip(d_weights, more, strict=True)]
            return d_states, [a.write(k, d_x) for a in d_inputs], d_weights

        d_weights = [tf.zeros(weight.shape, _sum_dtype(weight.dtype)) for weight in weights]
        d_first, d_inputs, d_weights = chunks.loop(
            chunk, list(d_last), d_inputs, d_weights, back=True
        )
        d_weights = [tf.cast(d, w.dtype) for d, w in zip(d_weights, weights, strict=True)]
        return d_inputs[0].concat() if has_gradient else None, *d_first, *d_weights

    def _kernels(self, kernel):
        """The recurrent kernel's columns, for each group that a state meets."""
        if kernel is None:
            return []
        return tf.split(kernel, self.steps.widths[: len(self.steps.met)], axis=-1)

    def _project(self, x, outer):
        return self.steps.arrange(self.projection(x, *outer), self.cell.sites)

    def _pull_back(self, x, outer, dz):
        """Gradients of inputs, None for integers, and of the projection's weights."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, *outer] if x.dtype.is_floating else outer)
            projected = self._project(x, outer)
        d_x, d_outer = tape.gradient(projected, (x, outer), output_gradients=dz)
        return d_x, [tf.convert_to_tensor(d) for d in d_outer]

    def _kernel_gradient(self, dz, sequences, other_v, length):
        """The recurrent kernel's gradient, as one product a group."""
        if not self.steps.met:
            return []
        other_v = iter(other_v)
        v = [next(other_v) if state is None else sequences[state] for state in self.steps.met]
        parts = tf.split(dz, self.steps.widths, axis=-1)
        return [
            tf.concat(
                [_product_over_steps(a[:length], b) for a, b in zip(v, parts, strict=False)],
                axis=-1,
            )
        ]


class _Chunks:
    """Cuts sequences into chunks, and runs them compiled where that pays."""

    def __init__(self, inputs):
        self.steps = tf.shape(inputs)[0]
        known, self.batch = inputs.shape[:2]
        in_xla = GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
        short = known is not None and known < FEWEST_STEPS_TO_COMPILE
        self.whole = tf.executing_eagerly() or in_xla or short
        self.long = known is not None and not short
        self.size = STEPS_A_CHUNK
        if self.whole:
            self.size = self.steps
        elif not self.long:
            short = self.steps < FEWEST_STEPS_TO_COMPILE
            self.size = tf.where(short, tf.maximum(self.steps, 1), STEPS_A_CHUNK)
        self.count = 1 if self.whole else tf.maximum(1, -(-self.steps // self.size))

    def length(self, k):
        """How many steps of chunk k are real."""
        return self.steps if self.whole else tf.minimum(self.steps - k * self.size, self.size)

    def take(self, sequence, k):
        """The real steps of chunk k."""
        if self.whole:
            return sequence
        return sequence[k * self.size : k * self.size + self.length(k)]

    def fill(self, part, k):
        """A chunk in its full length; what is past its real steps is never read."""
        if self.whole:
            return part
        missing = self.size - self.length(k)
        ends = [(0, missing), *[(0, 0)] * (part.shape.rank - 1)]
        filled = tf.cond(missing > 0, lambda: tf.pad(part, ends), lambda: part)
        filled.set_shape((self.size if self.long else None, *part.shape[1:]))
        return filled

    def full(self, sequence, k):
        """Chunk k in its full length; None if there is no such sequence."""
        return None if sequence is None else self.fill(self.take(sequence, k), k)

    def array(self, dtype, width):
        """Room for a part of each chunk."""
        if self.whole:
            return _Single()
        shape = (None, self.batch, width)
        return tf.TensorArray(dtype, self.count, infer_shape=False, element_shape=shape)

    def call(self, function, *arguments):
        """Call a function of one chunk, compiled where that pays."""
        if self.whole:
            return function(*arguments)
        compiled = tf.function(function, jit_compile=True, autograph=False)
        if self.long:
            return compiled(*arguments)
        return tf.cond(
            self.steps < FEWEST_STEPS_TO_COMPILE,
            lambda: function(*arguments),
            lambda: compiled(*arguments),
        )

    def loop(self, chunk, *values, back=False):
        """`chunk(k, *values)` for every chunk, in order or from the last to the first."""
        if self.whole:
            return chunk(0, *values)

        def body(n, *values):
            return n + 1, *chunk(self.count - 1 - n if back else n, *values)

        return tf.while_loop(lambda n, *_: n < self.count, body, [0, *values])[1:]


class _Single:
    """A TensorArray of one tensor, where there is one chunk."""

    def write(self, _, value):
        self.value = value
        return self

    def read(self, _):
        return self.value

    def concat(self):
        return self.value


def _sum_dtype(dtype):
    """Sums over chunks lose digits in half precision."""
    return tf.float32 if dtype.size < 4 else dtype


def _product_over_steps(v, dz):
    """Sum over steps and batch of vᵀ dz, as one product."""
    v = tf.reshape(v, (-1, v.shape[-1]))
    return tf.matmul(v, tf.reshape(dz, (-1, dz.shape[-1])), transpose_a=True)
