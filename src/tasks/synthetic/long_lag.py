"""Tasks whose clue lies far back: drawn at random, and drawn anew for every epoch."""

import abc
import json
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import Examples, FreshExamples
from unrolled.tasks.base.options import require_memory, require_whole
from unrolled.tasks.base.task import Task
from unrolled.tasks.data.cache import fingerprint

_TRAINING, _VALIDATION, _TEST = range(3)
_BYTES = 4  # Of a float32 or an int32.


@dataclass(eq=False)
class LongLag(Task):
    """A task that draws its examples: no two epochs train on the same ones.

    So nothing can be learnt by heart, and what a unit learns, it learns of the task. Validation and
    test are drawn once. Every split, seed and epoch has random numbers of its own.

    Attributes:
        T: how far back; each task says what it counts.
        train_examples: drawn for each epoch, by the run's seed and `data_seed`.
        validation_examples, test_examples: drawn once, by `data_seed` alone.
        data_seed: another one makes another data set.

    Raises:
        ValueError: for options that are no whole numbers, or a T that leaves no room for the task.
    """

    shortest: ClassVar[int]  # The least T.

    T: int
    train_examples: int = 10_000
    validation_examples: int = 2_000
    test_examples: int = 2_000
    data_seed: int = 0

    def __post_init__(self):
        require_whole("T", self.T, self.shortest)
        for name in ("train_examples", "validation_examples", "test_examples"):
            require_whole(name, getattr(self, name), 1)
            numbers = getattr(self, name) * self.T * (self.features or 1)
            require_memory(name, f"{getattr(self, name)} with T={self.T}", numbers * _BYTES)
        require_whole("data_seed", self.data_seed, 0)

    @abc.abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        """So many examples, by the numbers of `rng`."""

    def load(self) -> None:
        self.training = FreshExamples(self.train_examples, self._draw_training)
        self.validation = self.draw(self.validation_examples, self._rng(_VALIDATION))
        self.test = self.draw(self.test_examples, self._rng(_TEST))
        self.fingerprint = self._fingerprint()

    def _draw_training(self, seed: int, epoch: int) -> Examples:
        return self.draw(self.train_examples, self._rng(_TRAINING, seed, epoch))

    def _rng(self, split: int, *numbers: int) -> np.random.Generator:
        # The split comes first: NumPy takes [1, 2] and [1, 2, 0] for the same seed.
        return np.random.default_rng([split, self.data_seed, *numbers])

    def _fingerprint(self) -> str:
        # Training is not there before a run's seed is; the options say how it is drawn.
        options = json.dumps({"name": self.name, **asdict(self)}, sort_keys=True)
        arrays = {"options": np.frombuffer(options.encode(), np.uint8)}
        for split in ("validation", "test"):
            for name, array in vars(getattr(self, split)).items():
                if isinstance(array, np.ndarray):
                    arrays[f"{split} {name}"] = array
        return fingerprint(arrays)
