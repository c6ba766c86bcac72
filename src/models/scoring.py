"""How probable is a text?"""

import math
from dataclasses import dataclass

import numpy as np

from unrolled.models.language import LanguageModel


@dataclass(frozen=True)
class Score:
    """log P of a text, P(y<1>) P(y<2> | y<1>) ... P(y<T> | y<1>, ..., y<T-1>), and of its tokens.

    Attributes:
        log_p: log P of each token given all before it, in nats, float64 `(tokens,)`.
    """

    log_p: np.ndarray

    @property
    def total(self) -> float:
        """log P of the whole text, in nats."""
        return float(self.log_p.sum())

    @property
    def perplexity(self) -> float:
        """exp of the mean of -log P of a token; of no token 1."""
        return math.exp(-float(self.log_p.mean())) if len(self.log_p) else 1.0


def score(model: LanguageModel, tokens: np.ndarray, start: int) -> Score:
    """The score of a text.

    Args:
        model: the language model.
        tokens: of the text, int32 `(tokens,)`.
        start: the number that stands before it.
    """
    return Score(-model.negative_log_likelihoods(tokens, start))
