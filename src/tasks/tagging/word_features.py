"""The features of a word for a tagger: its id, its capitalization and its characters."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.base.options import require_integer
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS, UNKNOWN, Vocabulary

SHAPES = ("padding", "small", "Capital", "CAPITALS", "mIXed", "number", "d1g1ts", "no letter")
"""The capitalization classes, by id."""
_DIGIT = re.compile(r"\d")
# Combining marks belong to the preceding character, but do not match \w.
_MARKS = "".join(c for c in map(chr, range(0x10000)) if unicodedata.category(c).startswith("M"))
_LETTERS = rf"\w[\w{_MARKS}\u200c\u200d]*"
_SYMBOL = rf"[^\s\x00-\x1f\x7f-\x9f][{_MARKS}\U0001f3fb-\U0001f3ff]*"  # No control characters.
_WORD = re.compile(
    r"(?:[^\W\d_]\.){2,}"  # U.S.
    rf"|{_LETTERS}(?:[-.,/&]{_LETTERS}|['’](?!s\b){_LETTERS})*"  # Boeing-747, 1,000.5, O'Neill
    rf"|['’]s\b|{_SYMBOL}(?:\u200d{_SYMBOL})*"  # Some emoji are joined code points.
)


def words_of(text: str) -> list[str]:
    """Tokenizes a text as in CoNLL's files: punctuation marks and 's are separate words.

    >>> words_of("Teddy's bears (in the U.S.) cost 1,000.50 dollars!")
    ['Teddy', "'s", 'bears', '(', 'in', 'the', 'U.S.', ')', 'cost', '1,000.50', 'dollars', '!']
    """
    return _WORD.findall(text)


def normal(word: str) -> str:
    """Normalizes a word for the vocabulary: lower case, and 0 for every digit.

    >>> normal("Boeing-747")
    'boeing-000'
    """
    return _DIGIT.sub("0", word.lower())


def shape_of(word: str) -> int:
    """Returns the id in `SHAPES` of a word's capitalization.

    >>> [SHAPES[shape_of(word)] for word in ["Teddy", "bears", "U.S.", "iPod", "22-11", "B2", "!"]]
    ['Capital', 'small', 'CAPITALS', 'mIXed', 'number', 'd1g1ts', 'no letter']
    """
    letters = [each for each in word if each.isalpha()]
    if any(each.isdigit() for each in word):
        kind = "d1g1ts" if letters else "number"
    elif not letters:
        kind = "no letter"
    elif not any(each.isupper() for each in letters):
        kind = "small"
    elif not letters[0].isupper() or any(each.isupper() for each in letters[1:]):
        kind = "CAPITALS" if all(each.isupper() for each in letters) else "mIXed"
    else:
        kind = "Capital"
    return SHAPES.index(kind)


@dataclass(frozen=True)
class EncodedSentence:
    """The words of one sentence as ids.

    Attributes:
        words: int32 `(steps,)`.
        capitals: ids in `SHAPES`, uint8 `(steps,)`.
        characters: int32 `(steps, longest word)`, padded with `PADDING` on the right.
    """

    words: np.ndarray
    capitals: np.ndarray
    characters: np.ndarray


class WordEncoder:
    """Converts words to ids.

    A word longer than `longest_word` is represented by its first and last characters, because the
    ending is more informative than the middle. All characters that do not occur in training share
    id 1.

    Args:
        vocabulary: the normalized words, see `normal`.
        characters: the known characters, in order.
        longest_word: maximum number of characters read per word.
    """

    def __init__(
        self, vocabulary: Vocabulary, characters: Sequence[str], longest_word: int
    ) -> None:
        self.vocabulary = vocabulary
        self.characters = list(characters)
        self.longest_word = longest_word
        first = len(SPECIAL_WORDS)
        self._character_ids = {each: index for index, each in enumerate(self.characters, first)}
        self._cache: dict[str, tuple[int, np.ndarray]] = {}

    @classmethod
    def of(
        cls, sentences: Iterable[Sequence[str]], longest_word: int, more: Iterable[str] = ()
    ) -> "WordEncoder":
        """Creates an encoder for the words and characters of some sentences, and `more` words."""
        words = Counter(word for sentence in sentences for word in sentence)
        size = len(SPECIAL_WORDS) + len(words) + 1
        known = Vocabulary.of_most_frequent([map(normal, words.elements())], size)
        others = sorted(set(more) - set(known.words))
        return cls(
            Vocabulary([*known.words, *others]),
            sorted({each for word in words for each in word}),
            longest_word,
        )

    @property
    def character_count(self) -> int:
        """The number of character ids, including padding and unknown."""
        return len(SPECIAL_WORDS) + len(self.characters)

    def encode(self, words: Sequence[str]) -> EncodedSentence:
        """Converts one sentence."""
        features = [self._features(word) for word in words]
        characters = np.array([row for _, row in features], np.int32)
        return EncodedSentence(
            self.vocabulary.encode([normal(word) for word in words]),
            np.array([shape for shape, _ in features], np.uint8),
            characters.reshape(-1, self.longest_word),
        )

    def _features(self, word: str) -> tuple[int, np.ndarray]:
        if word not in self._cache:
            self._cache[word] = shape_of(word), self._characters(word)
        return self._cache[word]

    def _characters(self, word: str) -> np.ndarray:
        if len(word) > self.longest_word:
            end = self.longest_word // 2
            word = word[: self.longest_word - end] + word[len(word) - end :]
        ids = np.full(self.longest_word, PADDING, np.int32)
        ids[: len(word)] = [self._character_ids.get(each, UNKNOWN) for each in word]
        return ids

    def to_json(self) -> dict:
        """Returns a configuration for `from_json`."""
        return {
            "words": self.vocabulary.words,
            "characters": self.characters,
            "longest_word": self.longest_word,
        }

    @classmethod
    def from_json(cls, config: dict) -> "WordEncoder":
        """Creates an encoder from the result of `to_json`.

        Raises:
            ValueError: if the configuration is invalid.
        """
        if not isinstance(config, dict) or not {"words", "characters", "longest_word"} <= set(
            config
        ):
            raise ValueError("Expected a dict with words, characters and longest_word.")
        require_integer("longest_word", config["longest_word"], 1)
        if not all(isinstance(each, str) and len(each) == 1 for each in config["characters"]):
            raise ValueError("Expected every element of characters to be a single character.")
        return cls(Vocabulary(config["words"]), config["characters"], config["longest_word"])
