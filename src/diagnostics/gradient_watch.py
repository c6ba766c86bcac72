"""The gradients of the weights in training itself, step by step, before anything clips them."""

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from unrolled.diagnostics.weight_gradients import gradient_norms


@dataclass(frozen=True)
class WatchedSteps:
    """What some training steps' gradients were like, before they were clipped.

    Attributes:
        steps: how many steps.
        mean: by the weight's path the mean of the gradient's Euclidean norm over the steps.
        mean_total, largest_total: mean and largest of the norm of all gradients together.
        clipped: share of the steps in which the optimiser clipped something.
    """

    steps: int
    mean: dict[str, float]
    mean_total: float
    largest_total: float
    clipped: float


class DivergedError(FloatingPointError):
    """A gradient that is not finite, or too large to go on with.

    Attributes:
        step: number of the training step, from 1.
        weight: path of the weight with the worst gradient.
        norm: of its gradient: NaN, infinite or the largest.
    """

    def __init__(self, step: int, weight: str, norm: float, limit: float):
        self.step, self.weight, self.norm = step, weight, norm
        super().__init__(
            f"training step {step}: the gradient of {weight!r} has a norm of {norm:.3g}, and those "
            f"of all weights together were to be finite and at most {limit:.3g}"
        )


class GradientWatch:
    """Follows the gradients that a model's optimiser is given.

    It is made after `compile` and before the first training step. The norms are taken within the
    step, in float32 (of float64 weights in float64): beyond 10^19 float32 calls a norm infinite.

    Args:
        model: built and compiled.
        limit: norm of all gradients together from which `check` counts training as diverged.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    >>> model.compile(keras.optimizers.SGD(clipnorm=1e-3), loss="mse")
    >>> watch = GradientWatch(model)
    >>> _ = model.train_on_batch(np.ones((2, 3)), np.full((2, 1), 9.0))
    >>> watch.take().clipped
    1.0
    """

    def __init__(self, model: keras.Model, limit: float = math.inf):
        self.limit = limit
        self.steps = 0
        self._weights = [weight.path for weight in model.trainable_variables]
        self._optimizer = model.optimizer
        count = len(self._weights)
        self._sums = tf.Variable(tf.zeros(count + 1, tf.float64))  # The last is of all together.
        self._largest = tf.Variable(tf.zeros((), tf.float64))
        self._counts = tf.Variable(tf.zeros(2, tf.int64))  # Of steps, and of those clipped.
        self._diverged = tf.Variable(tf.zeros((), tf.bool))
        self._norms = tf.Variable(tf.zeros(count, tf.float64))  # Of the step that diverged.
        self._update = model.optimizer.apply
        # Keras has no hook between the gradients and what an optimiser makes of them but a
        # `train_step` of one's own, which every model would have to be made with.
        model.optimizer.apply = self._apply

    def check(self) -> None:
        """After every training step.

        Raises:
            DivergedError: if the gradients of this step are not finite, or beyond the limit.
        """
        self.steps += 1
        if not self._diverged.numpy():
            return
        norms = self._norms.numpy()
        # NaN is worse than infinite, and infinite than any number.
        worst = int(np.argmax(np.isnan(norms))) if np.isnan(norms).any() else int(norms.argmax())
        raise DivergedError(self.steps, self._weights[worst], float(norms[worst]), self.limit)

    def take(self) -> WatchedSteps:
        """What there was since the last call, and begin anew."""
        steps, clipped = self._counts.numpy().tolist()
        *mean, mean_total = (self._sums.numpy() / max(steps, 1)).tolist()
        found = WatchedSteps(
            steps,
            dict(zip(self._weights, mean, strict=True)),
            mean_total,
            float(self._largest.numpy()),
            clipped / max(steps, 1),
        )
        for variable in (self._sums, self._largest, self._counts):
            variable.assign(tf.zeros_like(variable))
        return found

    def _apply(self, grads, trainable_variables=None):
        self._record(list(grads))
        return self._update(grads, trainable_variables)

    def _record(self, gradients):
        norms = gradient_norms(gradients, exact=False)
        total = tf.norm(norms)
        self._sums.assign_add(tf.concat([norms, [total]], 0))
        self._largest.assign(tf.maximum(self._largest, total))
        clipped = tf.cast(self._is_clipped(gradients, norms, total), tf.int64)
        self._counts.assign_add(tf.stack([tf.ones((), tf.int64), clipped]))
        good = total <= self.limit  # Not so for NaN.
        good = good & tf.math.is_finite(total)
        new = ~good & ~self._diverged  # The first is told, whatever it does to those that follow.
        self._norms.assign(tf.where(new, norms, self._norms))
        self._diverged.assign(self._diverged | ~good)

    def _is_clipped(self, gradients, norms, total):
        optimizer = self._optimizer
        if optimizer.global_clipnorm is not None:
            return total > optimizer.global_clipnorm
        if optimizer.clipnorm is not None:
            return tf.reduce_any(norms > optimizer.clipnorm)
        if optimizer.clipvalue is not None:
            there = [tf.convert_to_tensor(g) for g in gradients if g is not None]
            return tf.reduce_any([tf.reduce_any(abs(g) > optimizer.clipvalue) for g in there])
        return tf.zeros((), tf.bool)
