"""Norms of a loss's gradient by each weight, before anything clips it."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf


@dataclass(frozen=True)
class WeightGradients:
    """The gradient of a batch's loss by the trainable weights of a model.

    Attributes:
        norms: Euclidean norm by the weight's path, such as "lstm/lstm_cell/kernel". NaN for a
            gradient with NaN in it, infinite for one with infinite elements.
        total: norm of all gradients together, that `global_clipnorm` clips; not finite if one of
            the norms is not.
    """

    norms: dict[str, float]
    total: float

    @property
    def not_finite(self) -> dict[str, float]:
        """The norms that are NaN or infinite."""
        return {path: norm for path, norm in self.norms.items() if not abs(norm) < float("inf")}


class WeightMeter:
    """Measures the gradients of the weights of one model, as often as one likes.

    They are those of the model itself in its own precision, but in inference: without dropout, and
    without a change to the model. For those of a training step see `gradient_norms`.

    Args:
        model: a compiled model of any kind.

    Raises:
        ValueError: for a model that is not compiled, or not built.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> found = WeightMeter(model).measure(tf.ones((2, 3)), tf.ones((2, 1)))
    >>> [path.split("/")[-1] for path in found.norms], found.not_finite
    (['kernel'], {})
    """

    def __init__(self, model):
        if not (model.compiled and model.built):
            raise ValueError(
                f"`model`: expected a built and compiled model, and {model.name!r} is not "
                f"{'built: call it on a batch' if model.compiled else 'compiled'}."
            )
        self._model = model
        self._norms = tf.function(self._measure, autograph=False, reduce_retracing=True)

    def measure(self, inputs, targets, sample_weight=None) -> WeightGradients:
        """The gradients of one batch, as `keras.Model.train_on_batch` takes it."""
        batch = [
            None if part is None else keras.tree.map_structure(tf.convert_to_tensor, part)
            for part in (inputs, targets, sample_weight)
        ]
        norms = self._norms(*batch).numpy().tolist()
        paths = [weight.path for weight in self._model.trainable_variables]
        total = float(tf.norm(tf.constant(norms, tf.float64)))
        return WeightGradients(dict(zip(paths, norms, strict=True)), total)

    def _measure(self, inputs, targets, sample_weight):
        weights = [weight.value for weight in self._model.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = self._model(inputs, training=False)
            loss = self._model.compute_loss(
                x=inputs, y=targets, y_pred=outputs, sample_weight=sample_weight
            )
        return gradient_norms(tape.gradient(loss, weights))


def gradient_norms(gradients: Sequence, exact: bool = True) -> tf.Tensor:
    """The Euclidean norm of each gradient, float64 `(gradients,)`, in any program of TensorFlow.

    It is computed in float64, so that squares do not overflow; or if it need not be `exact`, in the
    gradient's own precision, but at least float32, which costs a training step next to nothing and
    calls norms beyond 10^19 infinite. None, the gradient by a weight that
    the loss does not depend on, counts as zero; of a gradient by rows, as that of a look-up, the
    rows that occur more than once are added up first.

    >>> rows = tf.IndexedSlices(tf.constant([[3.0], [1.0]]), tf.constant([0, 0]), (5, 1))
    >>> gradient_norms([tf.constant([3e30, 4e30]), None, rows]).numpy().tolist()[1:]
    [0.0, 4.0]
    """
    return tf.stack([_norm(gradient, exact) for gradient in gradients])


def _norm(gradient, exact):
    if gradient is None:
        return tf.zeros((), tf.float64)
    gradient = tf.convert_to_tensor(gradient)
    if exact or gradient.dtype.size < 4:
        gradient = tf.cast(gradient, tf.float64 if exact else tf.float32)
    return tf.cast(tf.norm(gradient), tf.float64)
