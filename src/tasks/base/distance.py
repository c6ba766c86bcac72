"""How far apart in a sentence the question and what decides it are."""

import math
import random
from dataclasses import dataclass

from unrolled.tasks.base.options import is_number, require_whole

DISTRIBUTIONS = ("uniform", "geometric")


@dataclass(frozen=True)
class Distance:
    """How many words further a word stands that an answer depends on, from `min` to `max`.

    Attributes:
        min, max: the limits, both reached.
        distribution: "uniform", or "geometric" for many short distances and few long ones.
        mean: of the geometric distribution before `max` cuts its end off. "uniform" ignores it.

    Raises:
        ValueError: for limits that are not 1 <= min <= max, an unknown distribution, or a geometric
            one whose mean is not above `min`.
    """

    min: int = 1
    max: int = 40
    distribution: str = "uniform"
    mean: float = 10

    def __post_init__(self):
        require_whole("distance.min", self.min, 1)
        require_whole("distance.max", self.max, self.min)
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(
                f"`distance.distribution`: expected one of {', '.join(DISTRIBUTIONS)}, "
                f"got {self.distribution!r}."
            )
        if self.distribution == "geometric" and not (is_number(self.mean) and self.mean > self.min):
            raise ValueError(
                f"`distance.mean`: expected a number above distance.min={self.min}, "
                f"got {self.mean!r}."
            )

    def draw(self, rng: random.Random) -> int:
        """A distance by the distribution."""
        if self.distribution == "uniform":
            return rng.randint(self.min, self.max)
        log_longer = math.log1p(-1 / (self.mean - self.min + 1))  # Of the chance of one word more.
        not_cut_off = -math.expm1(log_longer * (self.max - self.min + 1))
        longer = int(math.log1p(-not_cut_off * rng.random()) / log_longer)
        return min(self.min + longer, self.max)  # Rounding may reach one beyond.
