"""The scan of a cell over a sequence, as one operation with a gradient of its own."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from unrolled._compat import is_watched_in_forward_mode
from unrolled.layers.cell import Cell
from unrolled.layers.projection import Projection
from unrolled.layers.scan.chunk_loops import ChunkLoops

_FIRST_DERIVATIVES = (
    "The scan of `layers` has first derivatives in reverse mode, as tf.GradientTape takes them. It "
    "has no second derivatives, and none in forward mode (tf.autodiff.ForwardAccumulator). For "
    "these use keras.layers.RNN(layer.cell), which is slower."
)


def scan(
    cell: Cell,
    projection: Projection,
    inputs: tf.Tensor,
    states: Sequence[tf.Tensor],
    mask: tf.Tensor | None = None,
    dropout_masks: dict[str, tf.Tensor] | None = None,
    outputs: bool = True,
    training: bool = True,
    jit_compile: bool = True,
) -> tuple[tf.Tensor | None, list[tf.Tensor]]:
    """Run a cell through time.

    Args:
        cell: a built `Cell`.
        projection: maps inputs to `W x + b`.
        inputs: `(steps, batch, ...)`.
        states: the initial states, each `(batch, units)`.
        mask: bool `(steps, batch, 1)`, or None. A step with False passes the states on unchanged.
        dropout_masks: recurrent dropout masks by site, `(batch, units)`, or None.
        outputs: whether the outputs of all steps are wanted.
        training: whether to store what the gradient needs. Without, a gradient is correct as well,
            but runs the forward pass once more.
        jit_compile: whether XLA may compile the loops.

    Returns:
        The output of every step, `(steps, batch, units)`, or None; the last states.

    Raises:
        ValueError: if the cell's equations do not follow the rules in `Cell.equations`.
        NotImplementedError: for a second derivative, or one in forward mode.
    """
    # Either may know a batch size that the other does not, and the loop requires it of both.
    batch = tf.TensorShape([inputs.shape[1]]).merge_with(states[0].shape[:1])[0]
    # In forward mode, TensorFlow would call the gradient where no tape records, and fail within.
    if is_watched_in_forward_mode([inputs, *states, *cell.weights]):
        raise NotImplementedError(_FIRST_DERIVATIVES)
    inputs = tf.ensure_shape(inputs, (inputs.shape[0], batch, *inputs.shape[2:]))
    loops = ChunkLoops(
        cell, projection, mask, dropout_masks or {}, outputs, inputs, list(states), jit_compile
    )
    tensors = loops.tensors(inputs, list(states))

    @tf.custom_gradient
    def run(*flat):
        tensors_ = tf.nest.pack_sequence_as(tensors, _unrecorded(flat))
        results, memory = loops.forward(tensors_, saving=training)

        def gradient(*d_results):
            def backward(*d_results):
                return tf.nest.flatten(loops.backward(tensors_, memory, list(d_results)))

            return _without_derivative(backward, len(d_results))(*d_results, *flat)

        return tuple(results), gradient

    results = list(run(*tf.nest.flatten(tensors)))
    if not outputs:
        return None, results
    # A compiled function loses the number of steps, and the next layer would not know it.
    shape = (inputs.shape[0], batch, cell.units)
    return tf.ensure_shape(results.pop(0), shape), results


def _without_derivative(function: Callable, arguments: int) -> Callable:
    """`function` of its first `arguments`, which raises for a derivative with respect to any."""

    @tf.custom_gradient
    def guarded(*tensors):
        def refuse(*_):
            raise NotImplementedError(_FIRST_DERIVATIVES)

        return function(*_unrecorded(tensors[:arguments])), refuse

    return guarded


def _unrecorded(tensors):
    """The same tensors, so that no tape records what is done with them.

    A persistent tape would make TensorFlow derive every compiled function right away, into one that
    XLA cannot compile.
    """
    return [tf.stop_gradient(tensor) for tensor in tensors]
