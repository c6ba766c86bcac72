"""Singular or plural? A verb must agree with a subject that may be far away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks import lexicon
from tasks.cache import fingerprint
from tasks.examples import PADDING, Examples, pad, predict
from tasks.grammar import Sentence, readable
from tasks.lexicon import PLURAL, SINGULAR
from tasks.sentences import Options, draw_splits
from tasks.task import Point, Report, Task
from tasks.vocabulary import SPECIAL_WORDS

_MOST_DISTANCES = 10  # Points of "accuracy by distance".
_MANY_ATTRACTORS = 5  # And more are one point.

_VOCABULARY = [SPECIAL_WORDS[PADDING], *lexicon.WORDS]
_WORD_NUMBERS = {word: number for number, word in enumerate(_VOCABULARY)}
_NO_NOUN = -1
_GRAMMATICAL_NUMBERS = np.array([lexicon.NUMBERS.get(word, _NO_NOUN) for word in _VOCABULARY])


@dataclass(frozen=True)
class Questions:
    """The asked verbs of a split, by sentence and step; every array is `(questions,)`.

    `tasks.grammar` defines distance, depth and attractors.

    Attributes:
        sentence, step: int64, where the verb stands in the split's `inputs`.
        answer: int64, 0 for a singular subject and 1 for a plural one.
        distance, depth, attractors: int64.
        last_noun: int64, the number of the last noun before the verb.
        majority: float64, the share of plurals among all nouns before the verb.
        held_out: bool, whether the sentence has a held-out word.
    """

    sentence: np.ndarray
    step: np.ndarray
    answer: np.ndarray
    distance: np.ndarray
    depth: np.ndarray
    attractors: np.ndarray
    last_noun: np.ndarray
    majority: np.ndarray
    held_out: np.ndarray

    def baselines(self) -> dict[str, float]:
        """Accuracies of two rules that look at the nouns before a verb but not at the grammar.

        "baseline_last_noun" answers with the number of the last one, "baseline_majority" with the
        number that most of them have; it tosses a coin where neither has most, counted one half.
        """
        by_majority = np.sign(self.majority - 0.5) / 2 + 0.5
        return {
            "baseline_last_noun": float((self.last_noun == self.answer).mean()),
            "baseline_majority": float(1 - np.abs(by_majority - self.answer).mean()),
        }
