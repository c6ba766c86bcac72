"""Does a film review praise or pan? The IMDB reviews, read by tensorflow-datasets.

Source: Maas, Daly, Pham, Huang, Ng and Potts, "Learning Word Vectors for Sentiment Analysis",
ACL 2011, pages 142-150: 25,000 reviews to train on and 25,000 to test on, half of each favourable.
"""

import logging
import os
import re
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np

from unrolled.tasks.base.examples import Examples, pad, predict
from unrolled.tasks.base.metric import Metric, accuracy
from unrolled.tasks.base.task import Breakdown, Point, Report, Task
from unrolled.tasks.data.cache import Arrays, cached, code_of, fingerprint
from unrolled.tasks.data.tfds import PreparedSet
from unrolled.tasks.data.vocabulary import SPECIAL_WORDS, UNKNOWN, Vocabulary

DATASET = "imdb_reviews/plain_text"
VERSION = "1.0.0"
HELD_OUT = 5_000
NEEDS_NO_DOWNLOAD = "agreement"  # The task to name to whoever cannot download.

_LENGTH_ENDS = (50, 100, 150, 200, 250, 300, 400)
_LINE_BREAK = "<br />"
BY_LENGTH = Breakdown("accuracy", "length in words", of_metric=True)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

_logger = logging.getLogger(__name__)


def words_only(text: str) -> str:
    """The words of `text` in lower case with one space between them.

    A word is a run of letters and digits of any alphabet, in which single apostrophes may stand.
    The reviews' line breaks, all other punctuation and underscores only separate words.

    >>> words_only("It's<br /><br />_Jaws 2_, isn't it? 'Twas café-style.")
    "it's jaws 2 isn't it twas café style"
    """
    return " ".join(_WORD.findall(text.replace(_LINE_BREAK, " ").lower()))


@dataclass(frozen=True)
class Reviews:
    """Texts, and the label of each: 0 for an unfavourable review, 1 for a favourable one."""

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> "Reviews":
        return Reviews([self.texts[row] for row in rows], self.labels[rows])

    def as_words(self) -> "Reviews":
        """The same reviews as words, in an order that does not depend on how they were stored."""
        texts = [words_only(text) for text in self.texts]
        rows = sorted(range(len(texts)), key=lambda row: (texts[row], self.labels[row]))
        return Reviews(texts, self.labels).take(np.array(rows, int))


class PreparedReviews(PreparedSet):
    """The reviews as tensorflow-datasets prepared them."""

    def __init__(self):
        super().__init__(DATASET, VERSION, "imdb", NEEDS_NO_DOWNLOAD)

    def read(self) -> tuple[Reviews, Reviews]:
        """The official training and test reviews.

        Raises:
            MissingDataError: if the prepared files are damaged or not all there.
        """
        return self._split("train"), self._split("test")

    def _split(self, split):
        batches = self.batches(split, as_supervised=True)
        texts = [text.decode() for texts, _ in batches for text in texts]
        return Reviews(texts, np.concatenate([labels for _, labels in batches]))


@dataclass(eq=False)
class Imdb(Task):
    """Is the review favourable (1) or not (0)? Asked once, after its last word.

    Training reviews whose words are also a test review's are dropped (`dropped` counts them); the
    official test split stays as it is. Validation is held out of the training reviews that are
    left, from those that occur once, so that no text is in two splits. The vocabulary is made of
    what is left to train on.

    Every split is in a seeded order of which each beginning has both labels in the split's shares:
    `first(n)` and the options that cap a split take a fair sample.

    Attributes:
        vocabulary_size: at most this many numbers, with `<PAD>` and `<UNK>`.
        max_words: longer reviews lose what is beyond this many words.
        keep: which words of a longer review stay, the "first" or the "last".
        validation_examples: how many training reviews to hold out, or None for 5,000.
        train_examples, test_examples: at most this many, or None for all.
        data_seed: of the choice of reviews for each split and of their order.
        cache_dir: where the encoded reviews are kept, or None for `cache.default_folder()`.
        source: where the reviews come from; has the methods of `PreparedReviews`.
        dropped: after `load`, the number of training reviews dropped.
    """

    name: ClassVar[str] = "imdb"
    classes: ClassVar[int] = 2
    per_step: ClassVar[bool] = False
    metric: ClassVar[Metric] = accuracy(classes, learnt=0.85)

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
            raise ValueError(f'Expected keep to be "first" or "last", got {self.keep!r}.')
        if self.validation_examples is None:
            self.validation_examples = HELD_OUT
        counts = ("vocabulary_size", "max_words", "validation_examples")
        caps = ("train_examples", "test_examples")
        for name in counts + caps:
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1) and not (name in caps and value is None):
                raise ValueError(f"Expected {name} to be a number of at least 1, got {value!r}.")

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

    def evaluate(self, model) -> Report:
        """Accuracy, also by the length of the reviews as the model sees them.

        The point at 100 is of the reviews longer than the point before it (50), to 100 words.
        """
        correct = predict(model, self.test) == self.test.targets
        points = _by_length(correct, self.test.lengths, self.max_words)
        return Report({"accuracy": float(correct.mean())}, {BY_LENGTH: points})

    def _encode_all(self) -> Arrays:
        _logger.info("Encoding the reviews of %s, once.", DATASET)
        official, test = (reviews.as_words() for reviews in self.source.read())
        kept = without(official, test)
        training, validation = hold_out(kept, self.validation_examples, self.data_seed)
        training = training.take(fair_order(training.labels, self.data_seed)[: self.train_examples])
        test = test.take(fair_order(test.labels, self.data_seed)[: self.test_examples])
        words = (text.split() for text in training.texts)
        vocabulary = Vocabulary.of_most_frequent(words, self.vocabulary_size)
        return {
            "dropped": np.array(len(official) - len(kept)),
            "vocabulary": np.frombuffer("\n".join(vocabulary.words).encode(), np.uint8),
            **_pack("training", training.labels, self._encode(training.texts, vocabulary)),
            **_pack("validation", validation.labels, self._encode(validation.texts, vocabulary)),
            **_pack("test", test.labels, self._encode(test.texts, vocabulary)),
        }

    def _encode(self, texts: list[str], vocabulary: Vocabulary) -> list[np.ndarray]:
        kept = slice(self.max_words) if self.keep == "first" else slice(-self.max_words, None)
        # A review without words becomes one unknown word: nothing but padding has no last step.
        nothing = [SPECIAL_WORDS[UNKNOWN]]
        return [vocabulary.encode(text.split()[kept] or nothing) for text in texts]


def without(reviews: Reviews, others: Reviews) -> Reviews:
    """The `reviews` whose text is not among the `others`."""
    excluded = set(others.texts)
    return reviews.take(np.flatnonzero([text not in excluded for text in reviews.texts]))


def hold_out(reviews: Reviews, count: int, seed: int) -> tuple[Reviews, Reviews]:
    """The `reviews` as a training part and `count` for validation, with no text in both.

    Raises:
        ValueError: if fewer than `count` texts occur once, or none would be left to train on.
    """
    copies = Counter(reviews.texts)
    unique = np.flatnonzero([copies[text] == 1 for text in reviews.texts])
    most = min(len(unique), len(reviews) - 1)
    if count > most:
        raise ValueError(f"Expected validation_examples to be at most {most}, got {count}.")
    validation = unique[fair_order(reviews.labels[unique], seed)[:count]]
    training = np.setdiff1d(np.arange(len(reviews)), validation)
    return reviews.take(training), reviews.take(validation)


def fair_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Row numbers, shuffled so that every beginning has each label in its share of the whole."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = shuffled[labels[shuffled] == label]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(place, kind="stable")


def _pack(split: str, labels: np.ndarray, sequences: list[np.ndarray]) -> Arrays:
    """A split without its padding, which would be half of it."""
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
        Point(end, float(correct[bins == number].mean()), int((bins == number).sum()))
        for number, end in enumerate(ends)
        if (bins == number).any()
    ]
