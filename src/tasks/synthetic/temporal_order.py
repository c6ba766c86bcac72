"""The temporal order problem: classify the order of symbols that are far apart.

Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", Neural Computation 9(8),
experiments 6a (two symbols) and 6b (three).
"""

from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np

from unrolled.tasks.base.examples import PADDING, Examples, predict
from unrolled.tasks.base.grouped_metrics import bin_centers, points
from unrolled.tasks.base.metric import Metric, accuracy
from unrolled.tasks.base.task import Breakdown, Report
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS
from unrolled.tasks.synthetic.long_lag import LongLag

BY_LAG = Breakdown("accuracy", "steps since the first symbol", of_metric=True)

_VOCABULARY = [SPECIAL_WORDS[PADDING], "E", "B", "a", "b", "c", "d", "X", "Y"]
_TOKEN_IDS = {word: number for number, word in enumerate(_VOCABULARY)}
_PERCENT_OF_T = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
"""First and last possible step of each symbol, by the number of symbols."""


@dataclass(eq=False)
class TemporalOrder(LongLag):
    """Classify the order of two or three symbols, once, after the last step.

        E b d X a ... c Y d b ... a B        X, Y

    A sequence starts with E, ends with B and has letters a to d, drawn uniformly, in between,
    except for two (or three) steps with X or Y at random. The classes are the orders, as binary
    numbers with X for 0 and Y for 1: X, X is 0 (the paper's Q), X, Y is 1 (R), Y, X is 2 (S) and Y,
    Y is 3 (U). Three symbols give eight classes.

    T = 100 is the paper's setting: lengths from 100 to 110, and symbols at steps 10 to 20 and 50 to
    60 or, for three symbols, 10 to 20, 33 to 43 and 66 to 76, counted from 0. All are uniform, and
    scale with T.

    The inputs are token ids; by default the model converts them to one-hot vectors, as in the
    paper.

    Attributes:
        T: minimum length of a sequence, at least 10; the maximum is 1.1 T.
        symbols: 2 for four classes (experiment 6a), 3 for eight (6b).

    Raises:
        ValueError: for another number of symbols, and as `LongLag`.
    """

    name: ClassVar[str] = "temporal_order"
    per_step: ClassVar[bool] = False
    shortest: ClassVar[int] = 10

    symbols: int = 2

    def __post_init__(self):
        super().__post_init__()
        if self.symbols not in _PERCENT_OF_T or isinstance(self.symbols, float):
            raise ValueError(
                f"`symbols`: expected 2, for four classes, or 3, for eight, got {self.symbols!r}."
            )

    @property
    def classes(self) -> int:  # type: ignore[override]  # Nothing assigns it.
        return 2**self.symbols

    @property
    def metric(self) -> Metric:  # type: ignore[override]  # Nothing assigns it.
        return accuracy(self.classes, solved=0.9)

    def load(self) -> None:
        self.vocabulary = list(_VOCABULARY)
        super().load()

    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        longest = self._percent(110)
        rows, lengths = np.arange(count), rng.integers(self.T, longest, count, endpoint=True)
        inputs = rng.integers(_TOKEN_IDS["a"], _TOKEN_IDS["d"], (count, longest), np.int32, True)
        targets = np.zeros(count, np.int32)
        for first, last in _PERCENT_OF_T[self.symbols]:
            steps = rng.integers(self._percent(first), self._percent(last), count, endpoint=True)
            is_y = rng.integers(0, 2, count, np.int32)
            inputs[rows, steps] = np.where(is_y, _TOKEN_IDS["Y"], _TOKEN_IDS["X"])
            targets = 2 * targets + is_y
        inputs[:, 0] = _TOKEN_IDS["E"]
        inputs[rows, lengths - 1] = _TOKEN_IDS["B"]
        inputs[np.arange(longest) >= lengths[:, None]] = PADDING
        return Examples(inputs, targets)

    def evaluate(self, model: keras.Model) -> Report:
        """Reports the accuracy on the test split, also by the steps since the first symbol.

        There are at most ten bins; a point is at the center of its bin.
        """
        correct = predict(model, self.test) == self.test.targets
        is_symbol = self.test.inputs >= _TOKEN_IDS["X"]
        lags = self.test.lengths - 1 - is_symbol.argmax(axis=1)
        (first, last), *_ = _PERCENT_OF_T[self.symbols]
        least, most = (
            self.T - 1 - self._percent(last),
            self._percent(110) - 1 - self._percent(first),
        )
        return Report(
            {"accuracy": float(correct.mean())},
            {BY_LAG: points(bin_centers(lags, least, most), correct)},
        )

    def _percent(self, percent: int) -> int:
        return percent * self.T // 100
