"""When to look at a model that is being trained."""

import numpy as np


def logarithmic(steps: int, measurements: int) -> list[int]:
    """After which training steps to measure: 0, then ever further apart by one factor, the last.

    Args:
        steps: of the whole training.
        measurements: how many, at least 2; fewer come out where steps would fall together.

    >>> logarithmic(1000, 5)
    [0, 1, 10, 100, 1000]
    """
    between = measurements > 2 and steps > 0
    spaced = np.geomspace(1, steps, measurements - 1) if between else np.array([])
    return sorted({0, *np.round(spaced).astype(int).tolist(), steps})
