"""Words and their token ids."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN = 1  # Token id of every word that is not in the vocabulary.
SPECIAL_WORDS = ["<PAD>", "<UNK>"]  # By token id: unrolled.tasks.base.examples.PADDING, UNKNOWN.


class Vocabulary:
    """A mapping from words to token ids.

    >>> vocabulary = Vocabulary.of_most_frequent([["a", "cat", "a", "dog"], ["a", "cat"]], size=4)
    >>> vocabulary.words
    ['<PAD>', '<UNK>', 'a', 'cat']
    >>> vocabulary.encode(["the", "cat"])
    array([1, 3], dtype=int32)

    Attributes:
        words: the words by token id; id 0 is `<PAD>`, padding, and id 1 is `<UNK>`, which
            represents every other word.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Creates a vocabulary from the `words` of another one, including the special words.

        Raises:
            ValueError: if the special words are not at the beginning, or a word is repeated.
        """
        self.words = list(words)
        self._ids = {word: number for number, word in enumerate(self.words)}
        if self.words[: len(SPECIAL_WORDS)] != SPECIAL_WORDS:
            raise ValueError(
                f"Expected words that start with {SPECIAL_WORDS}, got {self.words[:3]}. "
                "Vocabulary.of_most_frequent adds them."
            )
        if not all(isinstance(word, str) for word in self.words):
            raise ValueError("Expected every word to be a string.")
        if len(self._ids) < len(self.words):
            repeated = [word for word, count in Counter(self.words).items() if count > 1]
            raise ValueError(f"Expected distinct words, got these more than once: {repeated[:5]}.")

    @classmethod
    def of_most_frequent(
        cls, texts: Iterable[Iterable[str]], size: int, reserved: Sequence[str] = ()
    ) -> "Vocabulary":
        """Creates a vocabulary of the most frequent words of `texts`.

        Token ids are sorted by decreasing frequency. Ties are broken alphabetically, so that the
        order of the texts does not matter.

        Args:
            texts: sequences of words.
            size: maximum number of token ids, including the special words.
            reserved: further words that always have an id, after the special words.

        Raises:
            ValueError: if `size` leaves no room for a word.
        """
        first = [*SPECIAL_WORDS, *reserved]
        room = size - len(first)
        if room < 1:
            raise ValueError(
                f"Expected a size of at least {len(first) + 1}, got {size}: "
                f"{' and '.join(first)} use the first token ids."
            )
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        by_rank = sorted(counts.keys() - set(first), key=lambda word: (-counts[word], word))
        return cls(first + by_rank[:room])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """Returns the token id of each word, int32 `(words,)`; `UNKNOWN` for unknown words."""
        ids = (self._ids.get(word, UNKNOWN) for word in words)
        return np.fromiter(ids, np.int32, len(words))
