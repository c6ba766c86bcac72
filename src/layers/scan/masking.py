"""Selections at masked steps, with gradients of exactly zero there."""

import tensorflow as tf


def where_unmasked(mask: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """`tf.where(mask, new, old)` for tensors of one shape.

    The gradient of `tf.where` would first find out that neither was broadcast.

    Args:
        mask: bool `(batch, 1)`, True at real steps.
        new, old: `(batch, units)`.

    Returns:
        `(batch, units)`.
    """
    return _where(mask, new, old)


@tf.custom_gradient
def _where(mask, new, old):
    def gradient(d):
        zeros = tf.zeros_like(d)
        return None, tf.where(mask, d, zeros), tf.where(mask, zeros, d)

    return tf.where(mask, new, old), gradient


def zero_gradient_where_masked(mask: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """z, whose gradient is zero at masked steps, even where the incoming gradient is NaN.

    Args:
        mask: bool, broadcast to the shape of z; True at real steps.
        z: any tensor.

    Returns:
        z.
    """

    @tf.custom_gradient
    def identity(z):
        return tf.identity(z), lambda d: tf.where(mask, d, tf.zeros_like(d))

    return identity(z)
