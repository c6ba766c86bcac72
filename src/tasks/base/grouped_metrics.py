"""A metric by some property of the questions: how far, how many, which."""

import math

import numpy as np

from unrolled.tasks.base.task import Point

_MOST_RANGES = 10


def points(at: np.ndarray, values: np.ndarray) -> list[Point]:
    """The mean of `values` for each value that occurs in `at`, both `(answers,)`."""
    return [
        Point(float(one), float(values[at == one].mean()), int((at == one).sum()))
        for one in np.unique(at)
    ]


def middles(values: np.ndarray, least: int, most: int) -> np.ndarray:
    """The middle of the range that each value is in.

    From `least` to `most` there are at most ten ranges, all of one width but the last.
    """
    width = math.ceil((most - least + 1) / _MOST_RANGES)
    starts = least + (values - least) // width * width
    return (starts + np.minimum(starts + width - 1, most)) / 2
