"""Texts as numbers and back: by characters, or by words with `<UNK>` and `<EOS>`."""

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.data.vocabulary import UNKNOWN, Vocabulary

LINE_END, SENTENCE_END = "\n", "<EOS>"
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|\n\s*\n")
_NO_BLANK_BEFORE = re.compile(r" (?=[.,;:!?)\]}%’”])|(?<=[(\[{“‘]) ")


class Tokenizer:
    """Base of both kinds.

    Attributes:
        kind: by which it is known in files.
        vocabulary: the tokens by their number; 0 is `<PAD>`, which no text has, and 1 `<UNK>`.
        start: the number that stands before a text, as its y<0>.
        end: the number that ends a sentence, or None.
    """

    kind: ClassVar[str]
    start: int
    end: int | None

    def __init__(self, vocabulary: Sequence[str]):
        self._vocabulary = Vocabulary(vocabulary)

    @property
    def vocabulary(self) -> list[str]:
        return self._vocabulary.words

    def tokens(self, text: str) -> list[str]:
        """The text cut up."""
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        """The number of each token, int32 `(tokens,)`; those not known are `<UNK>`.

        A text of words ends with `<EOS>`, whether its last sentence has its full stop or not; to a
        text of characters nothing is added.
        """
        numbers = self._vocabulary.encode(self.tokens(text))
        numbers[numbers == PADDING] = UNKNOWN  # A text may have the word "<PAD>".
        return numbers

    def encode_prompt(self, text: str) -> np.ndarray:
        """As `encode`, of a text that goes on: a sentence that it leaves open has no `<EOS>`."""
        return self.encode(text)

    def decode(self, numbers: Sequence[int]) -> str:
        """A text of these tokens, to be read."""
        raise NotImplementedError

    def to_json(self) -> dict:
        """What `tokenizer_from_json` makes the same tokenizer of."""
        return {"kind": self.kind, "vocabulary": self.vocabulary}


class CharacterTokenizer(Tokenizer):
    r"""Every character is a token. A text begins as a line does: after a line's end.

    >>> tokenizer = CharacterTokenizer.of("a cat\na hat\n")
    >>> tokenizer.decode(tokenizer.encode("a chat"))
    'a chat'
    """

    kind: ClassVar[str] = "characters"
    end = None

    def __init__(self, vocabulary: Sequence[str]):
        super().__init__(vocabulary)
        self.start = self.vocabulary.index(LINE_END)

    @classmethod
    def of(cls, text: str) -> "CharacterTokenizer":
        """With all characters of a text, and the line's end."""
        distinct = len(set(text))
        return cls(Vocabulary.of_most_frequent([text], distinct + 4, [LINE_END]).words)

    def tokens(self, text: str) -> list[str]:
        return list(text)

    def decode(self, numbers: Sequence[int]) -> str:
        signs = {PADDING: "", UNKNOWN: _NO_CHARACTER}
        return "".join(signs.get(number, self.vocabulary[number]) for number in map(int, numbers))


class WordTokenizer(Tokenizer):
    """Every word is a token, every punctuation mark one, and `<EOS>` ends each sentence.

    A word is a run of letters and digits with their marks (accents, the vowel signs of Devanagari),
    in which single apostrophes, hyphens and full stops may stand; scripts that put no blanks
    between words are to be read as characters. A sentence ends with its full stop, question or
    exclamation mark where a blank follows, at an empty line, and where the text ends. `<EOS>`
    stands before a text, too, as if another sentence had gone before.

    >>> tokenizer = WordTokenizer.of("The apple fell. Did the pear?", size=9)
    >>> tokenizer.tokens("The apple didn't fall.")
    ['the', 'apple', "didn't", 'fall', '.', '<EOS>']
    >>> tokenizer.decode(tokenizer.encode("Did the pear fall?"))
    'did the pear <UNK>?'

    Args:
        vocabulary: with `<EOS>`.
        lower: whether letters are made small.
        tokenised: whether texts come cut up already: words between blanks, a sentence a line, and
            `<unk>` for words that are not known.
    """

    kind: ClassVar[str] = "words"

    def __init__(self, vocabulary: Sequence[str], lower: bool = True, tokenised: bool = False):
        super().__init__(vocabulary)
        self.lower, self.tokenised = lower, tokenised
        self.start = self.end = self.vocabulary.index(SENTENCE_END)

    @classmethod
    def of(
        cls, text: str, size: int, lower: bool = True, tokenised: bool = False
    ) -> "WordTokenizer":
        """With the most frequent words of a text.

        Args:
            text: to train on.
            size: at most this many numbers, with `<UNK>` and `<EOS>`, and without `<PAD>`.
            lower, tokenised: as in the class.

        Raises:
            ValueError: for a size that leaves no room for a word.
        """
        blank = cls(Vocabulary.of_most_frequent([["a"]], 4, [SENTENCE_END]).words, lower, tokenised)
        known = (word for word in blank.tokens(text) if word != "<unk>")
        words = Vocabulary.of_most_frequent([known], size + 1, [SENTENCE_END]).words
        return cls(words, lower, tokenised)

    def tokens(self, text: str) -> list[str]:
        if self.lower:
            text = text.lower()
        text = unicodedata.normalize("NFC", text)  # "é" may be one sign or two.
        if self.tokenised:
            sentences = (line.split() for line in text.splitlines())
        else:
            sentences = map(_token().findall, _sentences(text))
        return [token for words in sentences if words for token in (*words, SENTENCE_END)]

    def encode_prompt(self, text: str) -> np.ndarray:
        return self.encode(f"{text} a")[:-2]  # Without that word, and the `<EOS>` after it.

    def decode(self, numbers: Sequence[int]) -> str:
        words = [self.vocabulary[number] for number in numbers if number != PADDING]
        lines = " ".join(words).split(SENTENCE_END)
        text = "\n".join(line.strip() for line in lines).rstrip("\n")
        return text if self.tokenised else _NO_BLANK_BEFORE.sub("", text)

    def to_json(self) -> dict:
        return {**super().to_json(), "lower": self.lower, "tokenised": self.tokenised}


@cache
def _token() -> re.Pattern:
    """Finds words and punctuation marks.

    To `re` a mark, such as a vowel sign, is no part of a word, and would cut most of Hindi apart;
    nor are the two joiners that Persian and Hindi have within words.
    """
    signs = map(chr, range(sys.maxunicode + 1))
    marks = "".join(sign for sign in signs if unicodedata.category(sign).startswith("M"))
    letters = rf"\w+(?:[{marks}\u200c\u200d]\w*)*"
    return re.compile(rf"{letters}(?:['’.-]{letters})*|[^\w\s]")


def _sentences(text):
    """Parts of a text; closing quotation marks and brackets stay with the sentence they close."""
    begin = 0
    for found in _SENTENCE.finditer(text):
        yield text[begin : found.end()]
        begin = found.end()
    yield text[begin:]


def tokenizer_from_json(kept: dict) -> Tokenizer:
    """What `Tokenizer.to_json` was made of.

    Raises:
        ValueError: for an unknown kind.
    """
    kinds = {each.kind: each for each in (CharacterTokenizer, WordTokenizer)}
    options = dict(kept)
    kind = options.pop("kind", None)
    if kind not in kinds:
        raise ValueError(f"Expected a tokenizer of kind {' or '.join(kinds)}, got {kind!r}.")
    return kinds[kind](**options)
