"""Words and their numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN = 1  # The word number of every word that is not in the vocabulary.
SPECIAL_WORDS = ["<PAD>", "<UNK>"]  # By number: unrolled.tasks.base.examples.PADDING, UNKNOWN.


class Vocabulary:
    """The words a task knows, by number.

    >>> vocabulary = Vocabulary.of_most_frequent([["a", "cat", "a", "dog"], ["a", "cat"]], size=4)
    >>> vocabulary.words
    ['<PAD>', '<UNK>', 'a', 'cat']
    >>> vocabulary.encode(["the", "cat"])
    array([1, 3], dtype=int32)

    Attributes:
        words: by number; number 0 is `<PAD>`, padding, and number 1 is `<UNK>`, which stands for
            every word that is not among them.
    """

    def __init__(self, words: Sequence[str]):
        """`words`: as the attribute `words` of another vocabulary, with both special words.

        Raises:
            ValueError: if the special words are not in front or a word comes twice.
        """
        self.words = list(words)
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if self.words[: len(SPECIAL_WORDS)] != SPECIAL_WORDS:
            raise ValueError(
                f"Expected words that begin with {SPECIAL_WORDS}, got {self.words[:3]}. "
                "Vocabulary.of_most_frequent puts them there."
            )
        if not all(isinstance(word, str) for word in self.words):
            raise ValueError("Expected every word to be a text.")
        if len(self._numbers) < len(self.words):
            repeated = [word for word, count in Counter(self.words).items() if count > 1]
            raise ValueError(f"Expected every word once, got these more often: {repeated[:5]}.")

    @classmethod
    def of_most_frequent(
        cls, texts: Iterable[Iterable[str]], size: int, reserved: Sequence[str] = ()
    ) -> "Vocabulary":
        """The most frequent words of `texts`, at most `size` numbers with the special words.

        More frequent words have lower numbers; words of one frequency go by the alphabet, so that
        the order of the texts does not matter.

        Raises:
            ValueError: if `size` leaves no room for a word.
        """
        first = [*SPECIAL_WORDS, *reserved]
        room = size - len(first)
        if room < 1:
            raise ValueError(
                f"Expected a size of at least {len(first) + 1}, got {size}: "
                f"{' and '.join(first)} take the first numbers."
            )
        counts = Counter()
        for text in texts:
            counts.update(text)
        by_rank = sorted(counts.keys() - set(first), key=lambda word: (-counts[word], word))
        return cls(first + by_rank[:room])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """The number of each word, int32 `(words,)`; `UNKNOWN` for a word not in the vocabulary."""
        numbers = (self._numbers.get(word, UNKNOWN) for word in words)
        return np.fromiter(numbers, np.int32, len(words))
