"""A unit that is linear in its state, through time, with many steps at once.

c<t> = keep<t> * c<t-1> + new<t> composes: two steps are again a step of this kind,

    keep = keep<2> * keep<1>,    new = keep<2> * new<1> + new<2>,

so T steps are cut into about √T pieces of √T steps. All pieces run side by side from a state of
zero, then one short loop carries the state from piece to piece, and each step adds what its piece
began with. Only products of numbers between 0 and 1 are formed, and nothing is divided: there is
no need for logarithms.
"""

import tensorflow as tf


def parallel_scan(keep, new, initial, mask=None):
    """c<t> = keep<t> * c<t-1> + new<t> for all t, as `layers.scan.scan` does it one by one.

    Args:
        keep, new: `(steps, batch, units)`; keep between 0 and 1.
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
    c = _in_pieces(keep, tf.concat([new[:1] + keep[:1] * initial, new[1:]], 0))

    def gradient(d_c):
        """dL/dc<t>, in all, is a recurrence of the same kind that runs back in time."""
        keep_after = tf.concat([keep[1:], tf.zeros_like(keep[:1])], 0)
        d_new = _in_pieces(keep_after[::-1], d_c[::-1])[::-1]
        before = tf.concat([initial[None], c[:-1]], 0)
        return d_new * before, d_new, keep[0] * d_new[0]

    return c, gradient


def _in_pieces(keep, new):
    steps = tf.shape(new)[0]
    length = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(steps, tf.float32))), tf.int32)
    pieces = (steps + length - 1) // length
    kept, c = _one_by_one(_cut(keep, pieces, length, 1), _cut(new, pieces, length, 0))
    _, ends = _one_by_one(kept[-1], c[-1])
    begins = tf.concat([tf.zeros_like(ends[:1]), ends[:-1]], 0)
    c = tf.transpose(c + kept * begins, (1, 0, 2, 3))
    return tf.reshape(c, (-1, *_sizes(new)[1:]))[:steps]


def _cut(sequence, pieces, length, fill):
    """`(steps, batch, units)` to `(length, pieces, batch, units)`, filled up with idle steps."""
    steps, *rest = _sizes(sequence)
    filled = tf.pad(sequence, [(0, pieces * length - steps), (0, 0), (0, 0)], constant_values=fill)
    return tf.transpose(tf.reshape(filled, (pieces, length, *rest)), (1, 0, 2, 3))


def _one_by_one(keep, new):
    """After every step: the product of all keeps so far, and c from a state of zero."""
    steps = tf.shape(new)[0]
    x = [tf.TensorArray(part.dtype, steps).unstack(part) for part in (keep, new)]
    outputs = [tf.TensorArray(part.dtype, steps) for part in (keep, new)]

    def step(t, kept, c, outputs):
        keep, new = (part.read(t) for part in x)
        kept, c = keep * kept, keep * c + new
        return t + 1, kept, c, [o.write(t, v) for o, v in zip(outputs, (kept, c), strict=True)]

    start = [0, tf.ones_like(keep[0]), tf.zeros_like(new[0]), outputs]
    *_, outputs = tf.while_loop(lambda t, *_: t < steps, step, start)
    return [output.stack() for output in outputs]


def _sizes(sequence):
    dynamic = tf.shape(sequence)
    return [dynamic[i] if n is None else n for i, n in enumerate(sequence.shape)]
