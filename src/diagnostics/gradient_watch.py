"""Statistics of the weight gradients during training, before gradient clipping."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from unrolled.diagnostics.weight_gradients import gradient_norms


@dataclass(frozen=True)
class WatchedSteps:
    """Gradient statistics of a number of training steps, before clipping.

    Attributes:
        steps: number of training steps.
        mean: mean Euclidean norm of the gradient over the steps, by weight path.
        mean_total, largest_total: mean and maximum of the norm of all gradients together.
        clipped: fraction of the steps in which the optimizer clipped a gradient.
    """

    steps: int
    mean: dict[str, float]
    mean_total: float
    largest_total: float
    clipped: float


class DivergedError(FloatingPointError):
    """Raised when the gradient is not finite or exceeds the limit.

    Attributes:
        step: training step, counted from 1.
        weight: path of the weight with the largest gradient, or with a gradient that is not finite.
        norm: norm of that gradient.
    """

    def __init__(self, step: int, weight: str, norm: float, limit: float) -> None:
        self.step, self.weight, self.norm = step, weight, norm
        super().__init__(
            f"training step {step}: the gradient of {weight!r} has norm {norm:.3g}; expected the "
            f"norm of all gradients together to be finite and at most {limit:.3g}"
        )


class GradientWatch:
    """Records the gradients that a model's optimizer receives.

    Create it after `compile` and before the first training step. The norms are computed within the
    training step, in float32 (float64 for float64 weights), so norms beyond 10^19 become infinite
    in float32.

    Args:
        model: a built and compiled model.
        limit: norm of all gradients together above which `check` reports divergence.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(keras.optimizers.SGD(clipnorm=1e-3), loss="mse")
    >>> watch = GradientWatch(model)
    >>> _ = model.train_on_batch(np.ones((2, 3)), np.full((2, 1), 9.0))
    >>> watch.take().clipped
    1.0
    """

    def __init__(self, model: keras.Model, limit: float = math.inf) -> None:
        self.limit = limit
        self.steps = 0
        self._weights = [weight.path for weight in model.trainable_variables]
        self._optimizer = model.optimizer
        count = len(self._weights)
        self._sums = tf.Variable(
            tf.zeros(count + 1, tf.float64)
        )  # The last element is the total norm.
        self._largest = tf.Variable(tf.zeros((), tf.float64))
        self._counts = tf.Variable(tf.zeros(2, tf.int64))  # Steps, clipped steps.
        self._diverged = tf.Variable(tf.zeros((), tf.bool))
        self._norms = tf.Variable(tf.zeros(count, tf.float64))  # At the diverged step.
        self._update = model.optimizer.apply
        # Keras has no hook between the gradients and the optimizer, except a custom `train_step`
        # in every model.
        model.optimizer.apply = self._apply

    def check(self) -> None:
        """Checks the last training step; call it after every step.

        Raises:
            DivergedError: if the gradients of this step are not finite, or exceed the limit.
        """
        self.steps += 1
        if not self._diverged.numpy():
            return
        norms = self._norms.numpy()
        # Report NaN before infinity, and infinity before finite norms.
        worst = int(np.argmax(np.isnan(norms))) if np.isnan(norms).any() else int(norms.argmax())
        raise DivergedError(self.steps, self._weights[worst], float(norms[worst]), self.limit)

    def take(self) -> WatchedSteps:
        """Returns the statistics since the last call, and resets them."""
        steps, clipped = self._counts.numpy().tolist()
        *mean, mean_total = (self._sums.numpy() / max(steps, 1)).tolist()
        statistics = WatchedSteps(
            steps,
            dict(zip(self._weights, mean, strict=True)),
            mean_total,
            float(self._largest.numpy()),
            clipped / max(steps, 1),
        )
        for variable in (self._sums, self._largest, self._counts):
            variable.assign(tf.zeros_like(variable))
        return statistics

    def _apply(self, grads: Sequence, trainable_variables: Sequence | None = None) -> None:
        self._record(list(grads))
        return self._update(grads, trainable_variables)

    def _record(self, gradients: Sequence) -> None:
        norms = gradient_norms(gradients, exact=False)
        total = tf.norm(norms)
        self._sums.assign_add(tf.concat([norms, [total]], 0))
        self._largest.assign(tf.maximum(self._largest, total))
        clipped = tf.cast(self._is_clipped(gradients, norms, total), tf.int64)
        self._counts.assign_add(tf.stack([tf.ones((), tf.int64), clipped]))
        good = total <= self.limit  # False for NaN.
        good = good & tf.math.is_finite(total)
        new = ~good & ~self._diverged  # Only the first is reported.
        self._norms.assign(tf.where(new, norms, self._norms))
        self._diverged.assign(self._diverged | ~good)

    def _is_clipped(self, gradients: Sequence, norms: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
        optimizer = self._optimizer
        if optimizer.global_clipnorm is not None:
            return total > optimizer.global_clipnorm
        if optimizer.clipnorm is not None:
            return tf.reduce_any(norms > optimizer.clipnorm)
        if optimizer.clipvalue is not None:
            present = [tf.convert_to_tensor(g) for g in gradients if g is not None]
            return tf.reduce_any([tf.reduce_any(abs(g) > optimizer.clipvalue) for g in present])
        return tf.zeros((), tf.bool)
