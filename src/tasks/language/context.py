"""The use of context by a language model: its loss with shorter or shuffled context.

Source: Khandelwal, He, Qi & Jurafsky 2018, "Sharp Nearby, Fuzzy Far Away: How Neural Language
Models Use Context", ACL.
"""

from typing import Any

import numpy as np

from unrolled.tasks.base.task import Breakdown, Point, Report
from unrolled.tasks.language.bptt_batches import TokenSequence

LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200)
"""Numbers of context tokens that the model sees."""
ORDERED = (0, 2, 5, 10, 20, 50, 100)
"""Numbers of nearest tokens that remain in order; the more distant context is shuffled."""
TOLERANCE = 0.01
"""A context is sufficient if its loss exceeds that of the full context by at most this fraction."""
BY_LENGTH = Breakdown("cross-entropy", "context length in tokens")
BY_ORDERED = Breakdown("cross-entropy", "nearest tokens left in order")

_MAX_LENGTH = LENGTHS[-1]


def use_of_context(model: Any, text: TokenSequence, positions: int, seed: int) -> Report:
    """Measures the loss at random positions of a text, as a function of the visible context.

    The states are zero at the start of the context. All points use the same positions, so their
    differences are much more precise than their values.

    Args:
        model: with a method `next_negative_log_likelihoods(tokens, targets)`.
        text: at least 201 tokens.
        positions: number of positions.
        seed: determines the positions and the shuffling.

    Returns:
        The metric "context", the smallest number of tokens whose loss is within `TOLERANCE` of that
        with 200 tokens; and the losses as breakdowns.
    """
    rng = np.random.default_rng(seed)
    count = min(positions, len(text) - _MAX_LENGTH)
    sampled = np.sort(rng.choice(np.arange(_MAX_LENGTH, len(text)), count, replace=False))
    contexts = text.tokens[sampled[:, None] + np.arange(-_MAX_LENGTH, 0)]
    targets = text.tokens[sampled]

    def point(at, tokens):
        losses = model.next_negative_log_likelihoods(tokens, targets)
        return Point(at, float(losses.mean()), len(sampled))

    by_length = [point(count, contexts[:, _MAX_LENGTH - count :]) for count in LENGTHS]
    by_ordered = [point(count, _shuffled(contexts, _MAX_LENGTH - count, rng)) for count in ORDERED]
    full = by_length[-1].value
    sufficient = next(each.at for each in by_length if each.value <= full * (1 + TOLERANCE))
    shuffled = [*by_ordered, Point(_MAX_LENGTH, full, len(sampled))]
    return Report({"context": sufficient}, {BY_LENGTH: by_length, BY_ORDERED: shuffled})


def _shuffled(tokens: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the rows with their first `count` tokens shuffled."""
    return np.concatenate([rng.permuted(tokens[:, :count], axis=1), tokens[:, count:]], axis=1)
