"""A unit that is linear in its state, through time, many steps at once.

Steps of c<t> = keep<t> * c<t-1> + new<t> compose: two steps are again a step of this kind,

    keep = keep<2> * keep<1>,    new = keep<2> * new<1> + new<2>.

So time is cut into pieces that run side by side, twice. The first pass finds the single step that
all the steps of a piece make together, and from these the state at which each piece begins. The
second pass computes every c<t> from there. Nothing is divided, and the product of numbers between 0
and 1 stays between 0 and 1, so there is no need for logarithms.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

# Both measured on two cores. Running pieces side by side makes the loops short and their steps
# wide, up to this many elements; beyond that a step is limited by memory traffic. And because
# everything is computed twice, several pieces are faster than one only from this number on.
_WIDE = 2**15
_FEWEST = 8


def parallel_scan(
    keep: tf.Tensor, new: tf.Tensor, initial: tf.Tensor, mask: tf.Tensor | None = None
) -> tf.Tensor:
    """c<t> = keep<t> * c<t-1> + new<t> for all t.

    Args:
        keep, new: `(steps, batch, units)`.
        initial: c<0>, `(batch, units)`.
        mask: bool `(steps, batch, 1)`, or None. A step with False passes c on unchanged.

    Returns:
        c<t> for every t, `(steps, batch, units)`.

    >>> keep, new = tf.fill((3, 1, 1), 0.5), tf.ones((3, 1, 1))
    >>> parallel_scan(keep, new, tf.zeros((1, 1)))[:, 0, 0].numpy().tolist()
    [1.0, 1.5, 1.75]
    """
    if mask is not None:
        keep = tf.where(mask, keep, tf.ones_like(keep))
        new = tf.where(mask, new, tf.zeros_like(new))
    return _scan(keep, new, initial)


@tf.custom_gradient
def _scan(keep, new, initial):
    c = _in_pieces(_step, keep, new, initial)

    def gradient(d_c):
        """The total dL/dc<t> is a recurrence of the same kind that runs backward in time."""
        d_new = _in_pieces(_step_backward, keep, d_c, tf.zeros_like(initial), reverse=True)
        before = tf.concat([initial[None], c[:-1]], 0)
        return d_new * before, d_new, keep[0] * d_new[0]

    return c, gradient


def _step(keep, new, c):
    """The result c<t>, and the state c<t>."""
    c = keep * c + new
    return c, c


def _step_backward(keep, d_output, d_state):
    """The result dL/dc<t>, and its part that reaches c<t-1>."""
    d = d_output + d_state
    return d, keep * d


def _in_pieces(
    step: Callable, keep: tf.Tensor, new: tf.Tensor, start: tf.Tensor, reverse: bool = False
) -> tf.Tensor:
    """The result of `step` for every step, from the first on, or in reverse.

    Args:
        step: maps `keep`, `new` and the previous state to a result and the next state.
        keep, new: `(steps, batch, units)`.
        start: the state before the first step, `(batch, units)`.

    Returns:
        `(steps, batch, units)`.
    """
    steps = tf.shape(new)[0]
    pieces, length = _cut(new)
    surplus = pieces * length - steps  # These steps run last, and their results are dropped.
    first = tf.range(pieces) * length - (surplus if reverse else 0)

    def read(i):
        """keep and new at step i of every piece."""
        at = tf.clip_by_value(first + i, 0, steps - 1)
        return tf.gather(keep, at), tf.gather(new, at)

    def compose(i, keep_all, state):
        keep, new = read(i)
        return keep * keep_all, step(keep, new, state)[1]

    def begin(piece, state, begins):
        begins = begins.write(piece, state)
        return keep_all[piece] * state + new_all[piece], begins

    def compute(i, state, results):
        result, state = step(*read(i), state)
        return state, results.write(i, result)

    zeros = tf.zeros_like(read(0)[1])
    once = tf.where(pieces > 1, length, 0)
    keep_all, new_all = _loop(compose, once, (tf.ones_like(zeros), zeros), reverse)
    _, begins = _loop(begin, pieces, (start, tf.TensorArray(new.dtype, pieces)), reverse)
    states = begins.stack()
    _, results = _loop(compute, length, (states, tf.TensorArray(new.dtype, length)), reverse)
    results = tf.transpose(results.stack(), (1, 0, 2, 3))
    results = tf.reshape(results, (-1, *_sizes(new)[1:]))
    return results[surplus:] if reverse else results[:steps]


def _cut(sequence):
    """The number of pieces, and the steps of each."""
    steps, batch, units = _sizes(sequence)
    most = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(steps, tf.float32))), tf.int32)
    pieces = tf.minimum(_WIDE // tf.maximum(batch * units, 1), most)
    pieces = tf.where(pieces < _FEWEST, 1, pieces)
    return pieces, (steps + pieces - 1) // pieces


def _loop(body: Callable, times: tf.Tensor, state: Sequence, reverse: bool) -> Sequence:
    """`state = body(i, *state)` for i from 0 up, or in reverse down to 0."""

    def turn(count, *state):
        return count + 1, *body(times - 1 - count if reverse else count, *state)

    return tf.while_loop(lambda count, *_: count < times, turn, (0, *state))[1:]


def _sizes(sequence):
    dynamic = tf.shape(sequence)
    return [dynamic[i] if n is None else n for i, n in enumerate(sequence.shape)]
