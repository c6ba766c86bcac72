"""When to take measurements during training."""

import numpy as np


def logarithmic(steps: int, measurements: int) -> list[int]:
    """Returns the training steps to measure after: 0, then logarithmically spaced to the last.

    Args:
        steps: total number of training steps.
        measurements: number of measurements, at least 2. Fewer are returned if rounded steps
            coincide.

    >>> logarithmic(1000, 5)
    [0, 1, 10, 100, 1000]
    """
    has_interior = measurements > 2 and steps > 0
    spaced = np.geomspace(1, steps, measurements - 1) if has_interior else np.array([])
    return sorted({0, *np.round(spaced).astype(int).tolist(), steps})
