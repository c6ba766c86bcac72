"""Metrics grouped by a property of the targets, such as distance or position."""

import math

import numpy as np

from unrolled.tasks.base.task import Point

_MAX_BINS = 10


def points(at: np.ndarray, values: np.ndarray) -> list[Point]:
    """Returns the mean of `values` for each distinct value of `at`, both `(targets,)`."""
    return [
        Point(float(group), float(values[at == group].mean()), int((at == group).sum()))
        for group in np.unique(at)
    ]


def bin_centers(values: np.ndarray, least: int, most: int) -> np.ndarray:
    """Returns the center of the bin that each value falls into.

    The range from `least` to `most` is divided into at most ten bins of equal width; the last bin
    may be narrower.
    """
    width = math.ceil((most - least + 1) / _MAX_BINS)
    starts = least + (values - least) // width * width
    return (starts + np.minimum(starts + width - 1, most)) / 2
