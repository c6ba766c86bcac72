"""How far back does a language model look? Its loss with less context, or with it out of order.

Source: Khandelwal, He, Qi & Jurafsky 2018, "Sharp Nearby, Fuzzy Far Away: How Neural Language
Models Use Context", ACL.
"""

import numpy as np

from unrolled.tasks.base.task import Breakdown, Point, Report
from unrolled.tasks.language.bptt_batches import Stream

KEPT = (1, 2, 5, 10, 20, 50, 100, 200)
"""Tokens of context that a model is given."""
IN_ORDER = (0, 2, 5, 10, 20, 50, 100)
"""Nearest tokens that stay in order, of the most context; those before them are shuffled."""
ENOUGH = 0.01
"""Share by which a loss may be above that with the most context, and the context be enough."""
BY_KEPT = Breakdown("cross-entropy", "tokens of context kept")
BY_IN_ORDER = Breakdown("cross-entropy", "nearest tokens left in order")

_MOST = KEPT[-1]


def use_of_context(model, text: Stream, positions: int, seed: int) -> Report:
    """The loss at some places of a text, by how much of what stands before them is read.

    Every state begins at zero with the context. All points are of the same places, so differences
    between them are far surer than they are themselves.

    Args:
        model: with a method `next_negative_log_likelihoods(words, following)`.
        text: with more than 200 tokens.
        positions: how many places.
        seed: of the places and of the order of what is shuffled.

    Returns:
        As metric "context" the fewest tokens with which the loss is within `ENOUGH` of that with
        200; the losses as breakdowns.
    """
    rng = np.random.default_rng(seed)
    count = min(positions, len(text) - _MOST)
    places = np.sort(rng.choice(np.arange(_MOST, len(text)), count, replace=False))
    before = text.tokens[places[:, None] + np.arange(-_MOST, 0)]
    following = text.tokens[places]

    def point(at, words):
        losses = model.next_negative_log_likelihoods(words, following)
        return Point(at, float(losses.mean()), len(places))

    kept = [point(count, before[:, _MOST - count :]) for count in KEPT]
    in_order = [point(count, _shuffled(before, _MOST - count, rng)) for count in IN_ORDER]
    full = kept[-1].value
    enough = next(each.at for each in kept if each.value <= full * (1 + ENOUGH))
    shuffled = [*in_order, Point(_MOST, full, len(places))]
    return Report({"context": enough}, {BY_KEPT: kept, BY_IN_ORDER: shuffled})


def _shuffled(words, count, rng):
    """The first `count` words of each row in another order."""
    return np.concatenate([rng.permuted(words[:, :count], axis=1), words[:, count:]], axis=1)
