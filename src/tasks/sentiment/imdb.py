"""Sentiment classification of the IMDB film reviews, read by tensorflow-datasets.

Source: Maas, Daly, Pham, Huang, Ng and Potts, "Learning Word Vectors for Sentiment Analysis", ACL
2011, pages 142-150: 25,000 training and 25,000 test reviews, half of each positive.
"""

import logging
import os
import re
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import ClassVar

import keras
import numpy as np

from unrolled.tasks.base.examples import Examples, pad, predict
from unrolled.tasks.base.metric import accuracy
from unrolled.tasks.base.task import Breakdown, Point, Report, Task
from unrolled.tasks.data.cache import Arrays, cached, code_of, fingerprint
from unrolled.tasks.data.tfds import PreparedSet
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS, UNKNOWN, Vocabulary

DATASET = "imdb_reviews/plain_text"
VERSION = "1.0.0"
HELD_OUT = 5_000
NEEDS_NO_DOWNLOAD = "agreement"  # The alternative that messages suggest.

_LENGTH_ENDS = (50, 100, 150, 200, 250, 300, 400)
_LINE_BREAK = "<br />"
BY_LENGTH = Breakdown("accuracy", "length in words", of_metric=True)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

_logger = logging.getLogger(__name__)


def words_only(text: str) -> str:
    """Returns the words of `text` in lower case, separated by single spaces.

    A word is a run of letters and digits of any script, and may contain single apostrophes. The
    reviews' line breaks, all other punctuation and underscores separate words.

    >>> words_only("It's<br /><br />_Jaws 2_, isn't it? 'Twas café-style.")
    "it's jaws 2 isn't it twas café style"
    """
    return " ".join(_WORD.findall(text.replace(_LINE_BREAK, " ").lower()))


@dataclass(frozen=True)
class Reviews:
    """Texts and their labels: 0 for a negative review, 1 for a positive one."""

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> "Reviews":
        return Reviews([self.texts[row] for row in rows], self.labels[rows])

    def as_words(self) -> "Reviews":
        """Returns the reviews as words, in an order that is independent of how they were stored."""
        texts = [words_only(text) for text in self.texts]
        rows = sorted(range(len(texts)), key=lambda row: (texts[row], self.labels[row]))
        return Reviews(texts, self.labels).take(np.array(rows, int))


class PreparedReviews(PreparedSet):
    """The reviews as prepared by tensorflow-datasets."""

    def __init__(self) -> None:
        super().__init__(DATASET, VERSION, "imdb", NEEDS_NO_DOWNLOAD)

    def read(self) -> tuple[Reviews, Reviews]:
        """Returns the official training and test reviews.

        Raises:
            MissingDataError: if the prepared files are damaged or incomplete.
        """
        return self._split("train"), self._split("test")

    def _split(self, split: str) -> Reviews:
        batches = self.batches(split, as_supervised=True)
        texts = [text.decode() for texts, _ in batches for text in texts]
        return Reviews(texts, np.concatenate([labels for _, labels in batches]))


@dataclass(eq=False)
class Imdb(Task):
    """Predict whether a review is positive (1) or negative (0), once, after its last word.

    Training reviews with the same words as a test review are dropped (`dropped` counts them); the
    official test split is unchanged. The validation reviews are held out from the remaining
    training reviews that occur once, so that no text is in two splits. The vocabulary is built from
    the remaining training reviews.

    Every split is shuffled so that every prefix of it is stratified: `first(n)` and the options
    that limit a split give a representative sample.

    Attributes:
        vocabulary_size: maximum number of token ids, including `<PAD>` and `<UNK>`.
        max_words: longer reviews are truncated to this number of words.
        keep: the words of a longer review that remain, the "first" or the "last".
        validation_examples: number of training reviews to hold out; None for 5,000.
        train_examples, test_examples: maximum number of reviews; None for all.
        data_seed: determines the reviews of each split and their order.
        cache_dir: folder of the encoded reviews; None for `cache.default_folder()`.
        source: where the reviews come from; has the methods of `PreparedReviews`.
        dropped: after `load`, the number of training reviews that were dropped.
    """

    name: ClassVar[str] = "imdb"
    classes = 2
    per_step: ClassVar[bool] = False
    metric = accuracy(classes, solved=0.85)

    vocabulary_size: int = 10_000
    max_words: int = 400
    keep: str = "last"
    validation_examples: int | None = None
    train_examples: int | None = None
    test_examples: int | None = None
    data_seed: int = 0
    cache_dir: str | os.PathLike | None = None
    source: PreparedReviews = field(default_factory=PreparedReviews)

    def __post_init__(self):
        if self.keep not in ("first", "last"):
            raise ValueError(f'`keep`: expected "first" or "last", got {self.keep!r}.')
        if self.cache_dir is not None and not str(self.cache_dir):
            raise ValueError("`cache_dir`: expected a folder or None, got ''.")
        if self.validation_examples is None:
            self.validation_examples = HELD_OUT
        counts = ("vocabulary_size", "max_words", "validation_examples")
        caps = ("train_examples", "test_examples")
        for name in counts + caps:
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1) and not (name in caps and value is None):
                raise ValueError(f"`{name}`: expected an integer of at least 1, got {value!r}.")

    def load(self) -> None:
        self.source.prepare()
        not_in_key = ("cache_dir", "source")
        key = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in not_in_key}
        code = code_of(__name__, Vocabulary.__module__)
        key |= {"code": code, "reviews": self.source.fingerprint()}
        arrays = cached(self._encode_all, self.name, key, self.cache_dir)
        self.dropped = int(arrays.pop("dropped"))
        self.fingerprint = fingerprint(arrays)
        self.vocabulary = arrays["vocabulary"].tobytes().decode().split("\n")
        self.training = _unpack("training", arrays)
        self.validation = _unpack("validation", arrays)
        self.test = _unpack("test", arrays)

    def evaluate(self, model: keras.Model) -> Report:
        """Reports the accuracy, also by the length of the truncated reviews.

        The point at 100 includes reviews with more words than the previous point, 50, and at most
        100.
        """
        correct = predict(model, self.test) == self.test.targets
        points = _by_length(correct, self.test.lengths, self.max_words)
        return Report({"accuracy": float(correct.mean())}, {BY_LENGTH: points})

    def _encode_all(self) -> Arrays:
        _logger.info("Encoding the reviews of %s, once.", DATASET)
        official, test = (reviews.as_words() for reviews in self.source.read())
        remaining = excluding(official, test)
        assert self.validation_examples is not None  # See __post_init__.
        training, validation = hold_out(remaining, self.validation_examples, self.data_seed)
        training = training.take(
            stratified_order(training.labels, self.data_seed)[: self.train_examples]
        )
        test = test.take(stratified_order(test.labels, self.data_seed)[: self.test_examples])
        words = (text.split() for text in training.texts)
        vocabulary = Vocabulary.of_most_frequent(words, self.vocabulary_size)
        return {
            "dropped": np.array(len(official) - len(remaining)),
            "vocabulary": np.frombuffer("\n".join(vocabulary.words).encode(), np.uint8),
            **_pack("training", training.labels, self._encode(training.texts, vocabulary)),
            **_pack("validation", validation.labels, self._encode(validation.texts, vocabulary)),
            **_pack("test", test.labels, self._encode(test.texts, vocabulary)),
        }

    def _encode(self, texts: list[str], vocabulary: Vocabulary) -> list[np.ndarray]:
        window = slice(self.max_words) if self.keep == "first" else slice(-self.max_words, None)
        # A review without words becomes one unknown word, because it needs a last step.
        empty = [SPECIAL_WORDS[UNKNOWN]]
        return [vocabulary.encode(text.split()[window] or empty) for text in texts]


def excluding(reviews: Reviews, others: Reviews) -> Reviews:
    """Returns the `reviews` whose text is not among the `others`."""
    excluded = set(others.texts)
    return reviews.take(np.flatnonzero([text not in excluded for text in reviews.texts]))


def hold_out(reviews: Reviews, count: int, seed: int) -> tuple[Reviews, Reviews]:
    """Splits the `reviews` into a training part and `count` for validation, with disjoint texts.

    Raises:
        ValueError: if fewer than `count` texts occur once, or none would remain for training.
    """
    copies = Counter(reviews.texts)
    unique = np.flatnonzero([copies[text] == 1 for text in reviews.texts])
    most = min(len(unique), len(reviews) - 1)
    if count > most:
        raise ValueError(f"`validation_examples`: expected at most {most}, got {count}.")
    validation = unique[stratified_order(reviews.labels[unique], seed)[:count]]
    training = np.setdiff1d(np.arange(len(reviews)), validation)
    return reviews.take(training), reviews.take(validation)


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns shuffled row indices, such that every prefix has the overall label frequencies."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        rows = shuffled[labels[shuffled] == label]
        position[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(position, kind="stable")


def _pack(split: str, labels: np.ndarray, sequences: list[np.ndarray]) -> Arrays:
    """Returns the arrays of a split without padding, which would double their size."""
    return {
        f"{split}_labels": labels.astype(np.int32),
        f"{split}_lengths": np.array([len(sequence) for sequence in sequences], np.int32),
        f"{split}_words": np.concatenate(sequences),
    }


def _unpack(split: str, arrays: Arrays) -> Examples:
    ends = np.cumsum(arrays[f"{split}_lengths"])
    sequences = np.split(arrays[f"{split}_words"], ends[:-1])
    return Examples(pad(sequences), arrays[f"{split}_labels"])


def _by_length(correct: np.ndarray, lengths: np.ndarray, longest: int) -> list[Point]:
    ends = [*(end for end in _LENGTH_ENDS if end < longest), longest]
    bins = np.searchsorted(ends, lengths)
    return [
        Point(end, float(correct[bins == index].mean()), int((bins == index).sum()))
        for index, end in enumerate(ends)
        if (bins == index).any()
    ]
