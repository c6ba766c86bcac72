"""What a tagger reads of a word: its number, its kind of capitals, its characters."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.base.options import require_whole
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS, UNKNOWN, Vocabulary

SHAPES = ("padding", "small", "Capital", "CAPITALS", "mIXed", "number", "d1g1ts", "no letter")
"""The kinds of a word's capitals, by number."""
_DIGIT = re.compile(r"\d")
# Marks change the letter or sign they stand by, and are no letters to `re`.
_MARKS = "".join(c for c in map(chr, range(0x10000)) if unicodedata.category(c).startswith("M"))
_LETTERS = rf"\w[\w{_MARKS}\u200c\u200d]*"
_SIGN = rf"[^\s\x00-\x1f\x7f-\x9f][{_MARKS}\U0001f3fb-\U0001f3ff]*"  # Not what steers terminals.
_WORD = re.compile(
    r"(?:[^\W\d_]\.){2,}"  # U.S.
    rf"|{_LETTERS}(?:[-.,/&]{_LETTERS}|['’](?!s\b){_LETTERS})*"  # Boeing-747, 1,000.5, O'Neill
    rf"|['’]s\b|{_SIGN}(?:\u200d{_SIGN})*"  # Some emoji are several signs, joined.
)


def words_of(text: str) -> list[str]:
    """The words of a text as CoNLL's files have them: signs and 's are words of their own.

    >>> words_of("Teddy's bears (in the U.S.) cost 1,000.50 dollars!")
    ['Teddy', "'s", 'bears', '(', 'in', 'the', 'U.S.', ')', 'cost', '1,000.50', 'dollars', '!']
    """
    return _WORD.findall(text)


def normal(word: str) -> str:
    """What words are told apart by: in small letters, every digit 0.

    >>> normal("Boeing-747")
    'boeing-000'
    """
    return _DIGIT.sub("0", word.lower())


def shape_of(word: str) -> int:
    """The number in `SHAPES` of a word's capitals.

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
class Spelled:
    """Words as numbers, of one sentence.

    Attributes:
        words: int32 `(steps,)`.
        capitals: numbers in `SHAPES`, uint8 `(steps,)`.
        characters: int32 `(steps, longest word)`, padded with `PADDING` on the right.
    """

    words: np.ndarray
    capitals: np.ndarray
    characters: np.ndarray


class Speller:
    """Makes numbers of words.

    Of a word longer than `longest_word` the first and the last characters are read, as its ending
    says more than its middle. Characters that training does not have are one, number 1.

    Args:
        vocabulary: what words are told apart by, see `normal`.
        characters: the known ones, in order.
        longest_word: characters that are read of a word.
    """

    def __init__(self, vocabulary: Vocabulary, characters: Sequence[str], longest_word: int):
        self.vocabulary = vocabulary
        self.characters = list(characters)
        self.longest_word = longest_word
        first = len(SPECIAL_WORDS)
        self._numbers = {each: number for number, each in enumerate(self.characters, first)}
        self._known = {}

    @classmethod
    def of(
        cls, sentences: Iterable[Sequence[str]], longest_word: int, more: Iterable[str] = ()
    ) -> "Speller":
        """That knows all words and characters of some sentences, and `more` words as well."""
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
    def character_numbers(self) -> int:
        """How many numbers of characters there are, padding and the unknown one among them."""
        return len(SPECIAL_WORDS) + len(self.characters)

    def spell(self, words: Sequence[str]) -> Spelled:
        """One sentence."""
        each = [self._of_word(word) for word in words]
        return Spelled(
            self.vocabulary.encode([normal(word) for word in words]),
            np.array([shape for shape, _ in each], np.uint8),
            np.array([row for _, row in each], np.int32).reshape(-1, self.longest_word),
        )

    def _of_word(self, word):
        if word not in self._known:
            self._known[word] = shape_of(word), self._row(word)
        return self._known[word]

    def _row(self, word):
        if len(word) > self.longest_word:
            end = self.longest_word // 2
            word = word[: self.longest_word - end] + word[len(word) - end :]
        row = np.full(self.longest_word, PADDING, np.int32)
        row[: len(word)] = [self._numbers.get(each, UNKNOWN) for each in word]
        return row

    def to_json(self) -> dict:
        """What `from_json` makes it of again."""
        return {
            "words": self.vocabulary.words,
            "characters": self.characters,
            "longest_word": self.longest_word,
        }

    @classmethod
    def from_json(cls, kept: dict) -> "Speller":
        """The speller that `to_json` was asked of.

        Raises:
            ValueError: for anything else.
        """
        if not isinstance(kept, dict) or not {"words", "characters", "longest_word"} <= set(kept):
            raise ValueError("Expected words, characters and longest_word of a speller.")
        require_whole("longest_word", kept["longest_word"], 1)
        if not all(isinstance(each, str) and len(each) == 1 for each in kept["characters"]):
            raise ValueError("Expected a speller's characters to be single characters.")
        return cls(Vocabulary(kept["words"]), kept["characters"], kept["longest_word"])
