"""The adding problem: the sum of two marked values, many steps later.

Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", Neural Computation 9(8), experiment
4, in its later form (Le, Jaitly & Hinton 2015, "A Simple Way to Initialize Recurrent Networks of
Rectified Linear Units"; Arjovsky, Shah & Bengio 2016, "Unitary Evolution Recurrent Neural
Networks"). The 1997 version has values from [-1, 1], a marker of -1 at the first and last step,
random lengths from T to 1.1 T, the first marked value among the first ten, and a sum scaled to [0,
1].
"""

from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np

from unrolled.tasks.base.examples import Examples, outputs
from unrolled.tasks.base.grouped_metrics import bin_centers, points
from unrolled.tasks.base.metric import mean_squared_error
from unrolled.tasks.base.task import Breakdown, Report
from unrolled.tasks.synthetic.long_lag import LongLag

BY_LAG = Breakdown("MSE", "steps since the first marked value", of_metric=True)
EXPECTED_SUM = 1.0  # Both values have mean 1/2.
VALUE, MARKER = range(2)  # The two features of a step.


@dataclass(eq=False)
class Adding(LongLag):
    """Predict the sum of the two marked values, once, after the last step.

        value   0.52  0.11  0.93  0.37  0.08  0.64        0.11 + 0.08 = 0.19
        marker   0     1     0     0     1     0

    Values are uniform in [0, 1]. One marked step is uniform in the first half of the T steps, the
    other in the second half. The best constant prediction is the mean of the sum, 1. Its expected
    squared error, the chance level, is the variance of the sum, 2 / 12 = 0.167.

    Attributes:
        T: number of steps, at least 2.
    """

    name: ClassVar[str] = "adding"
    features: ClassVar[int] = 2
    classes = None
    per_step: ClassVar[bool] = False
    metric = mean_squared_error(chance_level=1 / 6, solved=0.01)
    shortest: ClassVar[int] = 2

    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        rows, half = np.arange(count), self.T // 2
        first, second = rng.integers(0, half, count), rng.integers(half, self.T, count)
        inputs = np.zeros((count, self.T, self.features), np.float32)
        inputs[:, :, VALUE] = rng.random((count, self.T))
        inputs[rows, first, MARKER] = inputs[rows, second, MARKER] = 1
        return Examples(inputs, inputs[rows, first, VALUE] + inputs[rows, second, VALUE])

    def step_labels(self, inputs: np.ndarray) -> list[str]:
        """Returns the marked values."""
        return [f"{step[VALUE]:.2f}" if step[MARKER] else "" for step in inputs]

    def evaluate(self, model: keras.Model) -> Report:
        """Reports the mean squared error on the test split, and that of the constant prediction.

        The error is also grouped by the number of steps since the first marked value, in at most
        ten bins; a point is at the center of its bin.
        """
        predictions = np.zeros_like(self.test.targets)
        for rows, batch_outputs in outputs(model, self.test):
            predictions[rows] = batch_outputs[:, 0]
        errors = np.square(predictions - self.test.targets, dtype=np.float64)
        baseline = np.square(EXPECTED_SUM - self.test.targets, dtype=np.float64)
        lags = self.T - 1 - self.test.inputs[:, :, MARKER].argmax(axis=1)
        return Report(
            {self.metric.key: float(errors.mean()), "baseline_mean": float(baseline.mean())},
            {BY_LAG: points(bin_centers(lags, self.T - self.T // 2, self.T - 1), errors)},
        )
