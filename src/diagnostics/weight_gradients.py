"""Norms of the gradient with respect to each weight, before gradient clipping."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf


@dataclass(frozen=True)
class WeightGradients:
    """The gradient of a batch's loss with respect to the trainable weights of a model.

    Attributes:
        norms: Euclidean norm by weight path, such as "lstm/lstm_cell/kernel". NaN if the gradient
            contains NaN, infinite if it contains infinite elements.
        total: norm of all gradients together, the one that `global_clipnorm` clips; not finite if
            any of the norms is not.
    """

    norms: dict[str, float]
    total: float

    @property
    def not_finite(self) -> dict[str, float]:
        """The norms that are NaN or infinite."""
        return {path: norm for path, norm in self.norms.items() if not abs(norm) < float("inf")}


class WeightMeter:
    """Measures the gradients of a model's weights, any number of times.

    The gradients are computed in the model's own precision and in inference mode, that is without
    dropout. The model is not changed. For the gradients of a training step, see `gradient_norms`.

    Args:
        model: a compiled model of any kind.

    Raises:
        ValueError: if the model is not compiled, or not built.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(loss="mse")
    >>> found = WeightMeter(model).measure(tf.ones((2, 3)), tf.ones((2, 1)))
    >>> [path.split("/")[-1] for path in found.norms], found.not_finite
    (['kernel'], {})
    """

    def __init__(self, model: keras.Model) -> None:
        if not (model.compiled and model.built):
            raise ValueError(
                f"`model`: expected a built and compiled model, but {model.name!r} is not "
                f"{'built: call it on a batch' if model.compiled else 'compiled'}."
            )
        self._model = model
        self._norms = tf.function(self._measure, autograph=False, reduce_retracing=True)

    def measure(self, inputs: Any, targets: Any, sample_weight: Any = None) -> WeightGradients:
        """Measures the gradients on one batch.

        Args:
            inputs, targets, sample_weight: a batch, as in `keras.Model.train_on_batch`.
        """
        batch = [
            None if part is None else keras.tree.map_structure(tf.convert_to_tensor, part)
            for part in (inputs, targets, sample_weight)
        ]
        norms = self._norms(*batch).numpy().tolist()
        paths = [weight.path for weight in self._model.trainable_variables]
        total = float(tf.norm(tf.constant(norms, tf.float64)))
        return WeightGradients(dict(zip(paths, norms, strict=True)), total)

    def _measure(self, inputs: Any, targets: Any, sample_weight: Any) -> tf.Tensor:
        weights = [weight.value for weight in self._model.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = self._model(inputs, training=False)
            loss = self._model.compute_loss(
                x=inputs, y=targets, y_pred=outputs, sample_weight=sample_weight
            )
        return gradient_norms(tape.gradient(loss, weights))


def gradient_norms(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices | None], exact: bool = True
) -> tf.Tensor:
    """Computes the Euclidean norm of each gradient; also works in graph mode.

    Args:
        gradients: tensors; None, for a weight that the loss does not depend on, counts as zero. The
            duplicate rows of `tf.IndexedSlices`, the gradient of an embedding, are summed first.
        exact: whether to compute in float64, so that the squares do not overflow. Otherwise the
            norm is computed in the gradient's own precision, at least float32. This adds almost
            nothing to the cost of a training step, but norms beyond 10^19 become infinite.

    Returns:
        Float64 `(gradients,)`.

    >>> rows = tf.IndexedSlices(tf.constant([[3.0], [1.0]]), tf.constant([0, 0]), (5, 1))
    >>> gradient_norms([tf.constant([3e30, 4e30]), None, rows]).numpy().tolist()[1:]
    [0.0, 4.0]
    """
    return tf.stack([_norm(gradient, exact) for gradient in gradients])


def _norm(gradient: tf.Tensor | tf.IndexedSlices | None, exact: bool) -> tf.Tensor:
    if gradient is None:
        return tf.zeros((), tf.float64)
    gradient = tf.convert_to_tensor(gradient)
    if exact or gradient.dtype.size < 4:
        gradient = tf.cast(gradient, tf.float64 if exact else tf.float32)
    return tf.cast(tf.norm(gradient), tf.float64)
