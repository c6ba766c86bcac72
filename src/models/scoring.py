"""The log probability and the perplexity of a text under a language model."""

import math
from dataclasses import dataclass

import numpy as np

from unrolled.models.language import LanguageModel


@dataclass(frozen=True)
class Score:
    """The log probability of a text, log P(y<1>) + sum over t of log P(y<t> | y<1>, ..., y<t-1>).

    Attributes:
        log_p: log probability of each token given all previous tokens, in nats, float64
            `(tokens,)`.
    """

    log_p: np.ndarray

    @property
    def total(self) -> float:
        """The log probability of the whole text, in nats."""
        return float(self.log_p.sum())

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log probability per token; 1 for an empty text."""
        return math.exp(-float(self.log_p.mean())) if len(self.log_p) else 1.0


def score(model: LanguageModel, tokens: np.ndarray, start: int) -> Score:
    """Scores a text.

    Args:
        model: the language model.
        tokens: the text's token ids, int32 `(tokens,)`.
        start: the token id that precedes the text.

    Returns:
        The `Score` of the text.
    """
    return Score(-model.negative_log_likelihoods(tokens, start))
