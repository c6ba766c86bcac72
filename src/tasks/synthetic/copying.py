"""Which ten symbols came at the beginning? The copying memory problem.

Source: Arjovsky, Shah & Bengio 2016, "Unitary Evolution Recurrent Neural Networks", ICML, after
Hochreiter & Schmidhuber 1997.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from unrolled.tasks.base.examples import PADDING, Examples, outputs
from unrolled.tasks.base.grouped_metrics import points
from unrolled.tasks.base.metric import Metric, cross_entropy
from unrolled.tasks.base.task import Breakdown, Report
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS
from unrolled.tasks.synthetic.long_lag import LongLag

SYMBOLS, COPIED = 8, 10  # So many symbols there are, and so many are to be copied.
BLANK, DELIMITER = 8, 9  # As the paper numbers them, after the symbols 0 to 7.
BY_POSITION = Breakdown("recall accuracy", "position among the ten symbols")

_SHARE_OF_GUESSING = 0.1  # Learnt means a loss of no more than this share of guessing's.
_VOCABULARY = [SPECIAL_WORDS[PADDING], *[f"a{number}" for number in range(DELIMITER + 1)]]


@dataclass(eq=False)
class Copying(LongLag):
    """Say nothing for T steps, and then the ten symbols of the beginning. Asked at every step.

        inputs   a3 a0 a7 ... a2   T-1 blanks   delimiter   10 blanks
        answers  T + 10 blanks                              a3 a0 a7 ... a2

    The ten are drawn from eight symbols a0 to a7, each as likely as the others; a8 is the blank, a9
    the delimiter. All sequences are T + 20 steps long. Who has forgotten everything but when to
    answer is certain of the blanks and guesses ten symbols out of eight: 10 ln 8 / (T + 20) nats a
    step. The task counts as learnt at a tenth of that.

    The inputs are word numbers; by default the model makes them one-hot, as the paper's are.

    Attributes:
        T: steps between the last symbol and the first answer, at least 1. Each symbol is to be held
            for T + 10.
    """

    name: ClassVar[str] = "copying"
    classes: ClassVar[int] = SYMBOLS + 1
    per_step: ClassVar[bool] = True
    shortest: ClassVar[int] = 1

    @property
    def metric(self) -> Metric:
        guessing = COPIED * math.log(SYMBOLS) / (self.T + 2 * COPIED)
        return cross_entropy(guessing, _SHARE_OF_GUESSING * guessing)

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
        inputs += 1  # Word number 0 is padding, of which there is none.
        return Examples(inputs, targets, np.ones(targets.shape, np.float32))

    def evaluate(self, model) -> Report:
        """Cross-entropy a step on the test split, and the share of the ten symbols that are right.

        "recall_accuracy" is at chance at 1/8.
        """
        losses = np.zeros(self.test.targets.shape)
        answers = np.zeros_like(self.test.targets)
        for rows, scores in outputs(model, self.test):
            losses[rows] = tf.nn.sparse_softmax_cross_entropy_with_logits(
                self.test.targets[rows], scores
            )
            answers[rows] = scores.argmax(axis=-1)
        correct = (answers == self.test.targets)[:, -COPIED:]
        positions = np.broadcast_to(np.arange(1, COPIED + 1), correct.shape)
        return Report(
            {self.metric.key: float(losses.mean()), "recall_accuracy": float(correct.mean())},
            {BY_POSITION: points(positions.ravel(), correct.ravel())},
        )
