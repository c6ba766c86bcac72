"""Which options sampling from a language model may have.

`unrolled.models` and the programs share these limits, so this module needs nothing but the standard
library.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limit:
    """The valid values of an option.

    Attributes:
        allows: whether a value is valid.
        expected: what follows the word "expected" in a message.
    """

    allows: Callable[[Any], bool]
    expected: str


LIMITS = {
    "temperature": Limit(lambda value: 0 <= value < math.inf, "a number of at least 0"),
    "top_k": Limit(lambda value: value is None or value >= 1, "an integer of at least 1"),
    "top_p": Limit(lambda value: 0 < value <= 1, "more than 0 and at most 1"),
}


def check_sampling(**options: Any) -> None:
    """Check options of `unrolled.models.sampling.Sampler`.

    Raises:
        ValueError: for the first that is out of range.
    """
    for name, value in options.items():
        if not LIMITS[name].allows(value):
            raise ValueError(f"`{name}`: expected {LIMITS[name].expected}, got {value!r}.")
