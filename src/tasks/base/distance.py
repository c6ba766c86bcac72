"""The distance in a sentence between a word and the word that determines it."""

import math
import random
from dataclasses import dataclass

from unrolled.tasks.base.options import is_number, require_integer

DISTRIBUTIONS = ("uniform", "geometric")


@dataclass(frozen=True)
class Distance:
    """The number of words between a target and the word it depends on, from `min` to `max`.

    Attributes:
        min, max: the limits, inclusive.
        distribution: "uniform", or "geometric" for many short distances and few long ones.
        mean: mean of the geometric distribution before it is truncated at `max`; ignored if
            uniform.

    Raises:
        ValueError: unless 1 <= min <= max; for an unknown distribution, or a geometric one whose
            mean is not greater than `min`.
    """

    min: int = 1
    max: int = 40
    distribution: str = "uniform"
    mean: float = 10

    def __post_init__(self):
        require_integer("distance.min", self.min, 1)
        require_integer("distance.max", self.max, self.min)
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
        """Draws a distance from the distribution."""
        if self.distribution == "uniform":
            return rng.randint(self.min, self.max)
        log_continue = math.log1p(-1 / (self.mean - self.min + 1))  # P(one more word).
        included = -math.expm1(log_continue * (self.max - self.min + 1))
        extra = int(math.log1p(-included * rng.random()) / log_continue)
        return min(self.min + extra, self.max)  # Rounding may exceed the limit by one.
