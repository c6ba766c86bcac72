"""How much is this value plus that one, seen long ago? The adding problem.

Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", Neural Computation 9(8), experiment
4, in the form it has taken since (Le, Jaitly & Hinton 2015, "A Simple Way to Initialize Recurrent
Networks of Rectified Linear Units"; Arjovsky, Shah & Bengio 2016, "Unitary Evolution Recurrent
Neural Networks"). In 1997 values were of [-1, 1], the first and the last marker -1, lengths random
from T to 1.1 T, the first marked value one of the first ten, and the sum scaled to [0, 1].
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import Examples, outputs
from unrolled.tasks.base.grouped_metrics import middles, points
from unrolled.tasks.base.metric import Metric, mean_squared_error
from unrolled.tasks.base.task import Breakdown, Report
from unrolled.tasks.synthetic.long_lag import LongLag

BY_LAG = Breakdown("MSE", "steps since the first marked value", of_metric=True)
EXPECTED_SUM = 1.0  # Of two values with a mean of 1/2 each.
VALUE, MARKER = range(2)  # What the two numbers of a step are.


@dataclass(eq=False)
class Adding(LongLag):
    """What is the sum of the two marked values? Asked once, after the last step.

        value   0.52  0.11  0.93  0.37  0.08  0.64        0.11 + 0.08 = 0.19
        marker   0     1     0     0     1     0

    Values are uniform in [0, 1]. One marked step is in the first half of the T steps, the other in
    the second, each step of its half as likely as the others. Without a look at them the best guess
    is the sum's mean, 1; its expected squared error is the sum's variance, 2 / 12 = 0.167.

    Attributes:
        T: steps, at least 2.
    """

    name: ClassVar[str] = "adding"
    features: ClassVar[int] = 2
    classes: ClassVar[None] = None
    per_step: ClassVar[bool] = False
    metric: ClassVar[Metric] = mean_squared_error(guessing=1 / 6, learnt=0.01)
    shortest: ClassVar[int] = 2

    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        rows, half = np.arange(count), self.T // 2
        first, second = rng.integers(0, half, count), rng.integers(half, self.T, count)
        inputs = np.zeros((count, self.T, self.features), np.float32)
        inputs[:, :, VALUE] = rng.random((count, self.T))
        inputs[rows, first, MARKER] = inputs[rows, second, MARKER] = 1
        return Examples(inputs, inputs[rows, first, VALUE] + inputs[rows, second, VALUE])

    def names_of_steps(self, inputs: np.ndarray) -> list[str]:
        """The marked values."""
        return [f"{step[VALUE]:.2f}" if step[MARKER] else "" for step in inputs]

    def evaluate(self, model) -> Report:
        """The mean squared error on the test split, beside that of the expected sum as a guess.

        By steps since the first marked value there are at most ten points, of ranges of one width;
        a point stands in the middle of its range.
        """
        answers = np.zeros_like(self.test.targets)
        for rows, numbers in outputs(model, self.test):
            answers[rows] = numbers[:, 0]
        errors = np.square(answers - self.test.targets, dtype=np.float64)
        guess = np.square(EXPECTED_SUM - self.test.targets, dtype=np.float64)
        lags = self.T - 1 - self.test.inputs[:, :, MARKER].argmax(axis=1)
        return Report(
            {self.metric.key: float(errors.mean()), "baseline_mean": float(guess.mean())},
            {BY_LAG: points(middles(lags, self.T - self.T // 2, self.T - 1), errors)},
        )
