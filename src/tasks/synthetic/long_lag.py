"""Base class of the synthetic tasks with long time lags, generated anew for every epoch."""

import abc
import json
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import Examples, FreshExamples
from unrolled.tasks.base.options import require_integer, require_memory
from unrolled.tasks.base.task import Task
from unrolled.tasks.data.cache import fingerprint

_TRAINING, _VALIDATION, _TEST = range(3)
_BYTES = 4  # Size of a float32 or an int32.


@dataclass(eq=False)
class LongLag(Task):
    """A task that generates its examples: no two epochs train on the same ones.

    Memorization is therefore impossible. Validation and test splits are generated once. Every
    split, seed and epoch has its own random numbers.

    Attributes:
        T: the time lag; each task defines what it counts.
        train_examples: number of examples per epoch, generated from the run's seed and `data_seed`.
        validation_examples, test_examples: generated once, from `data_seed` alone.
        data_seed: determines the data set.

    Raises:
        ValueError: if an option is not an integer or too small, or if the data do not fit into
            memory.
    """

    shortest: ClassVar[int]  # Minimum T.

    T: int
    train_examples: int = 10_000
    validation_examples: int = 2_000
    test_examples: int = 2_000
    data_seed: int = 0

    def __post_init__(self):
        require_integer("T", self.T, self.shortest)
        for name in ("train_examples", "validation_examples", "test_examples"):
            require_integer(name, getattr(self, name), 1)
            elements = getattr(self, name) * self.T * (self.features or 1)
            require_memory(name, f"{getattr(self, name)} with T={self.T}", elements * _BYTES)
        require_integer("data_seed", self.data_seed, 0)

    @abc.abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> Examples:
        """Generates `count` examples from `rng`."""

    def load(self) -> None:
        self.training = FreshExamples(self.train_examples, self._draw_training)
        self.validation = self.draw(self.validation_examples, self._rng(_VALIDATION))
        self.test = self.draw(self.test_examples, self._rng(_TEST))
        self.fingerprint = self._fingerprint()

    def _draw_training(self, seed: int, epoch: int) -> Examples:
        return self.draw(self.train_examples, self._rng(_TRAINING, seed, epoch))

    def _rng(self, split: int, *seeds: int) -> np.random.Generator:
        # The split comes first, because NumPy treats [1, 2] and [1, 2, 0] as the same seed.
        return np.random.default_rng([split, self.data_seed, *seeds])

    def _fingerprint(self) -> str:
        # The training split depends on the run's seed, so the options represent it.
        options = json.dumps({"name": self.name, **asdict(self)}, sort_keys=True)
        arrays = {"options": np.frombuffer(options.encode(), np.uint8)}
        for split in ("validation", "test"):
            for name, array in getattr(self, split).arrays().items():
                arrays[f"{split} {name}"] = array
        return fingerprint(arrays)
