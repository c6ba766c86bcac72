"""Tokenizers: characters, or words with `<UNK>` and `<EOS>`."""

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import PADDING
from unrolled.tasks.data.vocabulary import UNKNOWN, Vocabulary

LINE_END, SENTENCE_END = "\n", "<EOS>"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|\n\s*\n")
_EXTRA_SPACE = re.compile(r" (?=[.,;:!?)\]}%’”])|(?<=[(\[{“‘]) ")


class Tokenizer:
    """Base class of the tokenizers.

    Attributes:
        kind: identifies the class in files.
        vocabulary: the tokens by id; 0 is `<PAD>`, which does not occur in texts, and 1 is `<UNK>`.
        start: token id that precedes a text, its y<0>.
        end: token id that ends a sentence, or None.
    """

    kind: ClassVar[str]
    start: int
    end: int | None

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._vocabulary = Vocabulary(vocabulary)

    @property
    def vocabulary(self) -> list[str]:
        return self._vocabulary.words

    def tokens(self, text: str) -> list[str]:
        """Splits a text into tokens."""
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        """Returns the token ids of a text, int32 `(tokens,)`; unknown tokens become `<UNK>`.

        A text of words always ends with `<EOS>`, even if its last sentence has no full stop.
        Nothing is added to a text of characters.
        """
        ids = self._vocabulary.encode(self.tokens(text))
        ids[ids == PADDING] = UNKNOWN  # A text may contain the word "<PAD>".
        return ids

    def encode_prompt(self, text: str) -> np.ndarray:
        """Returns the token ids of a prompt, without `<EOS>` after an incomplete sentence."""
        return self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the tokens as readable text."""
        raise NotImplementedError

    def to_json(self) -> dict:
        """Returns a configuration for `tokenizer_from_json`."""
        return {"kind": self.kind, "vocabulary": self.vocabulary}


class CharacterTokenizer(Tokenizer):
    r"""Every character is a token. A text starts as a line does: after a line feed.

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
        """Creates a tokenizer with all characters of a text, and the line feed."""
        distinct = len(set(text))
        return cls(Vocabulary.of_most_frequent([text], distinct + 4, [LINE_END]).words)

    def tokens(self, text: str) -> list[str]:
        return list(text)

    def decode(self, ids: Sequence[int]) -> str:
        special = {PADDING: "", UNKNOWN: _REPLACEMENT}
        return "".join(special.get(token, self.vocabulary[token]) for token in map(int, ids))


class WordTokenizer(Tokenizer):
    """Every word and every punctuation mark is a token, and `<EOS>` ends each sentence.

    A word is a run of letters and digits with their combining marks (accents, the vowel signs of
    Devanagari). It may contain single apostrophes, hyphens and full stops. Scripts without spaces
    between words should use characters. A sentence ends with a full stop, question mark or
    exclamation mark before whitespace, at an empty line, and at the end of the text. `<EOS>` also
    precedes a text, as if another sentence came before it.

    >>> tokenizer = WordTokenizer.of("The apple fell. Did the pear?", size=9)
    >>> tokenizer.tokens("The apple didn't fall.")
    ['the', 'apple', "didn't", 'fall', '.', '<EOS>']
    >>> tokenizer.decode(tokenizer.encode("Did the pear fall?"))
    'did the pear <UNK>?'

    Args:
        vocabulary: the tokens, including `<EOS>`.
        lower: whether texts are lowercased.
        tokenised: whether texts are already tokenized: words separated by spaces, one sentence per
            line, and `<unk>` for unknown words.
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
        """Creates a tokenizer with the most frequent words of a text.

        Args:
            text: the training text.
            size: maximum vocabulary size, including `<UNK>` and `<EOS>`, but without `<PAD>`.
            lower, tokenised: as in the class.

        Raises:
            ValueError: if `size` leaves no room for a word.
        """
        empty = cls(Vocabulary.of_most_frequent([["a"]], 4, [SENTENCE_END]).words, lower, tokenised)
        known = (word for word in empty.tokens(text) if word != "<unk>")
        words = Vocabulary.of_most_frequent([known], size + 1, [SENTENCE_END]).words
        return cls(words, lower, tokenised)

    def tokens(self, text: str) -> list[str]:
        if self.lower:
            text = text.lower()
        text = unicodedata.normalize("NFC", text)  # "é" may be one code point or two.
        if self.tokenised:
            sentences = (line.split() for line in text.splitlines())
        else:
            sentences = (_token().findall(sentence) for sentence in _sentences(text))
        return [token for words in sentences if words for token in (*words, SENTENCE_END)]

    def encode_prompt(self, text: str) -> np.ndarray:
        return self.encode(f"{text} a")[:-2]  # Without the added word, and its `<EOS>`.

    def decode(self, ids: Sequence[int]) -> str:
        words = [self.vocabulary[token] for token in ids if token != PADDING]
        lines = " ".join(words).split(SENTENCE_END)
        text = "\n".join(line.strip() for line in lines).rstrip("\n")
        return text if self.tokenised else _EXTRA_SPACE.sub("", text)

    def to_json(self) -> dict:
        return {**super().to_json(), "lower": self.lower, "tokenised": self.tokenised}


@cache
def _token() -> re.Pattern:
    """Returns a pattern for words and punctuation marks.

    In `re`, combining marks such as vowel signs are not word characters, which would split most
    words of Hindi. The same holds for the two joiners within words of Persian and Hindi.
    """
    characters = map(chr, range(sys.maxunicode + 1))
    marks = "".join(
        character for character in characters if unicodedata.category(character).startswith("M")
    )
    letters = rf"\w+(?:[{marks}\u200c\u200d]\w*)*"
    return re.compile(rf"{letters}(?:['’.-]{letters})*|[^\w\s]")


def _sentences(text: str) -> Iterator[str]:
    """Yields the sentences of a text, including closing quotation marks and brackets."""
    begin = 0
    for found in _SENTENCE.finditer(text):
        yield text[begin : found.end()]
        begin = found.end()
    yield text[begin:]


def tokenizer_from_json(config: dict) -> Tokenizer:
    """Creates a tokenizer from the result of `Tokenizer.to_json`.

    Raises:
        ValueError: for an unknown kind.
    """
    kinds = {each.kind: each for each in (CharacterTokenizer, WordTokenizer)}
    options = dict(config)
    kind = options.pop("kind", None)
    if kind not in kinds:
        raise ValueError(f"Expected a tokenizer of kind {' or '.join(kinds)}, got {kind!r}.")
    return kinds[kind](**options)
