"""The copying memory problem: reproduce ten symbols after a long delay.

Source: Arjovsky, Shah & Bengio 2016, "Unitary Evolution Recurrent Neural Networks", ICML, after
Hochreiter & Schmidhuber 1997.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

from unrolled.tasks.base.examples import PADDING, Examples, outputs
from unrolled.tasks.base.grouped_metrics import points
from unrolled.tasks.base.metric import Metric, cross_entropy
from unrolled.tasks.base.task import Breakdown, Report
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS
from unrolled.tasks.synthetic.long_lag import LongLag

SYMBOLS, COPIED = 8, 10  # Number of symbols in the alphabet, and in the sequence to copy.
BLANK, DELIMITER = 8, 9  # The paper's indices, after the symbols 0 to 7.
BY_POSITION = Breakdown("recall accuracy", "position among the ten symbols")

_SOLVED_FRACTION = 0.1  # The task is solved at this fraction of the chance level.
_VOCABULARY = [SPECIAL_WORDS[PADDING], *[f"a{number}" for number in range(DELIMITER + 1)]]


@dataclass(eq=False)
class Copying(LongLag):
    """Output blanks for T steps, then the ten symbols from the beginning of the sequence.

        inputs   a3 a0 a7 ... a2   T-1 blanks   delimiter   10 blanks
        targets  T + 10 blanks                              a3 a0 a7 ... a2

    The ten symbols are drawn uniformly from eight symbols a0 to a7; a8 is the blank, a9 the
    delimiter. All sequences have T + 20 steps. A model without memory predicts the blanks with
    certainty and guesses ten symbols out of eight: 10 ln 8 / (T + 20) nats per step, the chance
    level. The task counts as solved at a tenth of it.

    The inputs are token ids; by default the model converts them to one-hot vectors, as in the
    paper.

    Attributes:
        T: number of steps between the last symbol and the first target, at least 1. Each symbol
            must be remembered for T + 10 steps.
    """

    name: ClassVar[str] = "copying"
    classes = SYMBOLS + 1
    per_step: ClassVar[bool] = True
    shortest: ClassVar[int] = 1

    @property
    def metric(self) -> Metric:  # type: ignore[override]  # Nothing assigns it.
        chance_level = COPIED * math.log(SYMBOLS) / (self.T + 2 * COPIED)
        return cross_entropy(chance_level, _SOLVED_FRACTION * chance_level)

    def load(self) -> None:
        self.vocabulary = list(_VOCABULARY)
        super().load()

    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        symbols = rng.integers(0, SYMBOLS, (count, COPIED))
        inputs = np.full((count, self.T + 2 * COPIED), BLANK, np.int32)
        targets = inputs.copy()
        inputs[:, :COPIED] = symbols
        inputs[:, -COPIED - 1] = DELIMITER
        targets[:, -COPIED:] = symbols
        inputs += 1  # Token id 0 is reserved for padding.
        return Examples(inputs, targets, np.ones(targets.shape, np.float32))

    def evaluate(self, model: keras.Model) -> Report:
        """Reports the cross-entropy per step on the test split, and the recall accuracy.

        "recall_accuracy" is the fraction of the ten symbols that are correct; its chance level is
        1/8.
        """
        losses = np.zeros(self.test.targets.shape)
        predictions = np.zeros_like(self.test.targets)
        for rows, scores in outputs(model, self.test):
            losses[rows] = tf.nn.sparse_softmax_cross_entropy_with_logits(
                self.test.targets[rows], scores
            )
            predictions[rows] = scores.argmax(axis=-1)
        correct = (predictions == self.test.targets)[:, -COPIED:]
        positions = np.broadcast_to(np.arange(1, COPIED + 1), correct.shape)
        return Report(
            {self.metric.key: float(losses.mean()), "recall_accuracy": float(correct.mean())},
            {BY_POSITION: points(positions.ravel(), correct.ravel())},
        )
