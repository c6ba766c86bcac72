import numpy as np
import pytest

from unrolled.tasks.language.bptt_batches import TokenSequence
from unrolled.tasks.language.context import BY_LENGTH, BY_ORDERED, LENGTHS, use_of_context

TEXT = TokenSequence(np.random.default_rng(0).integers(1, 9, 3000).astype(np.int32), 1)


class _NeedsToken:
    """Its loss is 1 if it sees the token `steps` positions back, otherwise 2."""

    def __init__(self, steps, text=TEXT.tokens):
        self.steps = steps
        self._text = text

    def next_negative_log_likelihoods(self, words, following):
        assert len(words) == len(following)
        if words.shape[1] < self.steps:
            return np.full(len(words), 2.0)
        return np.ones(len(words))


class _CountsUnmoved:
    """Its loss decreases with each token that is at its original position."""

    def next_negative_log_likelihoods(self, words, following):  # noqa: ARG002
        windows = np.lib.stride_tricks.sliding_window_view(TEXT.tokens, words.shape[1])
        losses = []
        for row in words[:5]:
            same = windows == row
            in_order = np.argmin(same[:, ::-1], axis=1) + same.all(axis=1) * words.shape[1]
            losses.append(300.0 - in_order.max())
        return np.array(losses)


@pytest.mark.parametrize("steps", [1, 5, 50, 200])
def test_context_is_the_smallest_sufficient_length(steps):
    found = use_of_context(_NeedsToken(steps), TEXT, positions=40, seed=0)
    assert found.metrics["context"] == steps
    values = {point.at: point.value for point in found.breakdowns[BY_LENGTH]}
    assert values == {count: 2.0 if count < steps else 1.0 for count in LENGTHS}


def test_positions_are_distinct():
    text = TokenSequence(np.arange(500, dtype=np.int32), 1)
    seen = []

    class Sees:
        def next_negative_log_likelihoods(self, words, following):
            seen.extend(following)
            return np.ones(len(words))

    found = use_of_context(Sees(), text, positions=10_000, seed=0)
    assert found.breakdowns[BY_LENGTH][0].count == 300
    assert set(seen) == set(range(200, 500))


def test_the_nearest_tokens_remain_in_order():
    found = use_of_context(_CountsUnmoved(), TEXT, positions=5, seed=0)
    for point in found.breakdowns[BY_ORDERED]:
        assert 300 - point.value >= point.at  # A shuffled token may keep its position.
        if point.at <= 50:
            assert 300 - point.value < point.at + 10


def test_the_seed_determines_the_positions():
    seen = []

    class Sees:
        def next_negative_log_likelihoods(self, words, following):
            seen.append((words[:, -1].tolist(), following.tolist()))
            return np.ones(len(words))

    for seed in (0, 0, 1):
        use_of_context(Sees(), TEXT, positions=30, seed=seed)
    assert seen[0] == seen[15]
    assert seen[0] != seen[30]
    assert len({str(following) for _, following in seen[:15]}) == 1
