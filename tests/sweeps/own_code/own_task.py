"""A task outside the package: is the first token of a sequence an a or a b?"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import Examples, predict
from unrolled.tasks.base.metric import Metric, accuracy
from unrolled.tasks.base.task import Report, Task
from unrolled.tasks.data.cache import fingerprint


@dataclass(eq=False)
class FirstToken(Task):
    """Answered once, after the last token."""

    name: ClassVar[str] = "first_token"
    classes: ClassVar[int] = 2
    per_step: ClassVar[bool] = False
    metric: ClassVar[Metric] = accuracy(classes, solved=0.95)

    steps: int
    train_examples: int
    evaluation_examples: int

    def __post_init__(self):
        if self.steps < 2:
            raise ValueError(f"`steps`: expected at least 2, got {self.steps}.")

    def load(self) -> None:
        rng = np.random.default_rng(0)
        self.vocabulary = ["<PAD>", "a", "b"]
        self.training = self._draw(rng, self.train_examples)
        self.validation = self._draw(rng, self.evaluation_examples)
        self.test = self._draw(rng, self.evaluation_examples)
        self.fingerprint = fingerprint({"test": self.test.inputs})

    def _draw(self, rng: np.random.Generator, count: int) -> Examples:
        tokens = rng.integers(1, 3, (count, self.steps), dtype=np.int32)
        return Examples(tokens, tokens[:, 0] - 1)

    def evaluate(self, model) -> Report:
        return Report({"accuracy": float((predict(model, self.test) == self.test.targets).mean())})
