"""A unit that is linear in its state, through time, with many steps at once.

c<t> = keep<t> * c<t-1> + new<t> composes: two steps are again a step of this kind,

    keep = keep<2> * keep<1>,    new = keep<2> * new<1> + new<2>.

So time is cut into pieces, which run side by side, twice: first to find the one step that all the
steps of a piece make together, from which follows where every piece begins, then to show every c<t>
from there. Nothing is divided, and a product of numbers between 0 and 1 is one again: there is no
need for logarithms.
"""

import tensorflow as tf

# Both measured on two cores. The pieces side by side make the loops short and their steps wide, to
# so many elements: beyond that a step is all memory traffic. And as everything is computed twice,
# it takes so many pieces to be faster than one.
_WIDE = 2**15
_FEWEST = 8


def parallel_scan(keep, new, initial, mask=None):
    """c<t> = keep<t> * c<t-1> + new<t> for all t, as `chunks.scan` does it one by one.

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
    if mask is not None:  # As `Steps` has it: a masked step keeps all, and adds nothing.
        keep = tf.where(mask, keep, tf.ones_like(keep))
        new = tf.where(mask, new, tf.zeros_like(new))
    return _scan(keep, new, initial)


@tf.custom_gradient
def _scan(keep, new, initial):
    c = _in_pieces(_step, keep, new, initial)

    def gradient(d_c):
        """dL/dc<t>, in all, is a recurrence of the same kind that runs back in time."""
        d_new = _in_pieces(_step_back, keep, d_c, tf.zeros_like(initial), back=True)
        before = tf.concat([initial[None], c[:-1]], 0)
        return d_new * before, d_new, keep[0] * d_new[0]

    return c, gradient


def _step(keep, new, c):
    """c<t> to be shown, and c<t> to be handed on."""
    c = keep * c + new
    return c, c


def _step_back(keep, d_shown, d_handed_on):
    """dL/dc<t> to be shown, and what c<t-1> gets of it."""
    d = d_shown + d_handed_on
    return d, keep * d


def _in_pieces(step, keep, new, start, back=False):
    """What `step` shows of every step, from the first on, or `back` from the last.

    Args:
        step: `keep`, `new` and what the step before handed on, to what is shown and handed on.
        keep, new: `(steps, batch, units)`.
        start: what the first step is handed, `(batch, units)`.

    Returns:
        `(steps, batch, units)`.
    """
    steps = tf.shape(new)[0]
    pieces, length = _cut(new)
    too_many = pieces * length - steps  # They come last, and whatever they do is dropped.
    first = tf.range(pieces) * length - (too_many if back else 0)

    def read(i):
        """keep and new at step i of every piece."""
        at = tf.clip_by_value(first + i, 0, steps - 1)
        return tf.gather(keep, at), tf.gather(new, at)

    def all_together(i, kept, handed_on):
        keep, new = read(i)
        return keep * kept, step(keep, new, handed_on)[1]

    def begin(piece, handed_on, begins):
        begins = begins.write(piece, handed_on)
        return kept[piece] * handed_on + made[piece], begins

    def show(i, handed_on, shown):
        now, handed_on = step(*read(i), handed_on)
        return handed_on, shown.write(i, now)

    nothing = tf.zeros_like(read(0)[1])
    once = tf.where(pieces > 1, length, 0)
    kept, made = _loop(all_together, once, (tf.ones_like(nothing), nothing), back)
    _, begins = _loop(begin, pieces, (start, tf.TensorArray(new.dtype, pieces)), back)
    _, shown = _loop(show, length, (begins.stack(), tf.TensorArray(new.dtype, length)), back)
    shown = tf.transpose(shown.stack(), (1, 0, 2, 3))
    shown = tf.reshape(shown, (-1, *_sizes(new)[1:]))
    return shown[too_many:] if back else shown[:steps]


def _cut(sequence):
    """How many pieces, and of how many steps."""
    steps, batch, units = _sizes(sequence)
    most = tf.cast(tf.math.ceil(tf.sqrt(tf.cast(steps, tf.float32))), tf.int32)
    pieces = tf.minimum(_WIDE // tf.maximum(batch * units, 1), most)
    pieces = tf.where(pieces < _FEWEST, 1, pieces)
    return pieces, (steps + pieces - 1) // pieces


def _loop(body, times, state, back):
    """`state = body(i, *state)` for i from 0 up, or `back` down to 0."""

    def turn(count, *state):
        return count + 1, *body(times - 1 - count if back else count, *state)

    return tf.while_loop(lambda count, *_: count < times, turn, (0, *state))[1:]


def _sizes(sequence):
    dynamic = tf.shape(sequence)
    return [dynamic[i] if n is None else n for i, n in enumerate(sequence.shape)]
