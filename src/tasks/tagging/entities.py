"""Entities in sequences of tags, counted as conlleval does.

A tag is "O", or "B-" or "I-" before a type. In BIO an entity always begins with a B; in IOB1 a B
only parts it from one of its type right before it. conlleval, the script of the CoNLL shared tasks,
takes any sequence: an I that stands first, after O or after another type begins an entity, too. An
entity is right where its first word, its last and its type are.

Source: Tjong Kim Sang & Buchholz 2000, "Introduction to the CoNLL-2000 Shared Task: Chunking"; the
schemes are those of Ramshaw & Marcus 1995 and Ratnaparkhi 1998.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

OUTSIDE = "O"
GOLD, PREDICTED, CORRECT = range(3)
"""Columns of counts."""


class MixedSchemesError(ValueError):
    """Tags that are neither BIO nor IOB1.

    Attributes:
        without_b: number of a sentence and of the step in it where an entity begins without a B.
        with_b: the same of a B that parts nothing.
    """

    def __init__(self, without_b: tuple[int, int], with_b: tuple[int, int]):
        super().__init__(
            "expected the tags to be BIO, each entity beginning with a B, or IOB1, with a B only "
            "right after an entity of the same type; got some of each"
        )
        self.without_b, self.with_b = without_b, with_b


def to_bio(tags: Sequence[str]) -> list[str]:
    """The tags of a sentence, of BIO or IOB1, in BIO.

    >>> to_bio(["I-PER", "I-PER", "B-PER", "O"])
    ['B-PER', 'I-PER', 'B-PER', 'O']
    """
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and before[2:] != tag[2:] else tag
        for before, tag in pairwise([OUTSIDE, *tags])
    ]


def scheme_of(sentences: Sequence[Sequence[str]]) -> str:
    """ "BIO" or "IOB1", what the tags of some sentences are; "BIO" where they may be both.

    Raises:
        MixedSchemesError: if one sentence has an entity without a B, which BIO forbids, and one a B
            that parts nothing, which IOB1 forbids: where entities begin is open then.
    """
    places = {"I": None, "B": None}  # The first entity that begins so, with no other to part.
    for number, tags in enumerate(sentences):
        for step, (before, tag) in enumerate(pairwise([OUTSIDE, *tags])):
            if tag != OUTSIDE and before[2:] != tag[2:]:
                places[tag[0]] = places[tag[0]] or (number, step)
    if places["I"] and places["B"]:
        raise MixedSchemesError(places["I"], places["B"])
    return "IOB1" if places["I"] else "BIO"


class Tags:
    """The tags of some types of entities, by number: O is 0, then each type has its B and its I.

    >>> Tags(["LOC", "PER"]).names
    ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER']

    Attributes:
        types: the types, in order.
        names: of the tags, by number.
    """

    def __init__(self, types: Sequence[str]):
        self.types = list(types)
        self.names = [OUTSIDE, *(f"{part}-{each}" for each in self.types for part in "BI")]
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def encode(self, tags: Sequence[str]) -> np.ndarray:
        """The number of each tag, int32 `(words,)`.

        Raises:
            ValueError: for a tag that is none of `names`.
        """
        for tag in tags:
            if tag not in self._numbers:
                raise ValueError(f"Expected one of the tags {', '.join(self.names)}, got {tag!r}.")
        return np.array([self._numbers[tag] for tag in tags], np.int32)

    def decode(self, numbers: Sequence[int]) -> list[str]:
        """The names of tags."""
        return [self.names[number] for number in numbers]

    def legal_starts(self) -> np.ndarray:
        """Which tags BIO has at the beginning of a sentence, bool `(tags,)`: no I."""
        return ~_is_inside(np.arange(len(self.names)))

    def legal_transitions(self) -> np.ndarray:
        """Which tags BIO has after which, bool `(tags, tags)`: an I after its own B or I alone."""
        before, after = np.indices((len(self.names),) * 2)
        same_type = (before > 0) & (_type_of(before) == _type_of(after))
        return ~_is_inside(after) | same_type


def _is_inside(numbers):
    return (numbers > 0) & (numbers % 2 == 0)


def _type_of(numbers):
    """1, 2, ... for the types; 0 for O."""
    return (numbers + 1) // 2


@dataclass(frozen=True)
class Entity:
    """The words from `start` up to, but without, `stop` are an entity of a type."""

    start: int
    stop: int
    type: str


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, as conlleval finds them.

    >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
    [Entity(start=0, stop=2, type='PER'), Entity(start=3, stop=4, type='LOC')]
    """
    found, start = [], None
    for step, (before, tag) in enumerate(zip([OUTSIDE, *tags], [*tags, OUTSIDE], strict=True)):
        goes_on = tag.startswith("I-") and tag[2:] == before[2:]
        if start is not None and not goes_on:
            found.append(Entity(start, step, before[2:]))
            start = None
        if tag != OUTSIDE and start is None:
            start = step
    return found


def count_entities(gold, predicted, asked, tags: Tags):
    """How many entities there are of every type, in TensorFlow.

    Args:
        gold, predicted: numbers of tags, int `(sentences, steps)`.
        asked: `(sentences, steps)`, bool or numbers, not 0 at words; padding is on the right.
        tags: theirs.

    Returns:
        Whole numbers, int32 `(types, 3)`: `GOLD`, `PREDICTED`, and `CORRECT` of both.
    """
    asked = tf.cast(asked, tf.bool)
    gold, predicted = (tf.where(asked, tf.cast(each, tf.int32), 0) for each in (gold, predicted))
    starts, ends = zip(*map(_starts_and_ends, (gold, predicted)), strict=True)
    types = [_type_of(each) for each in (gold, predicted)]
    # Two entities are one where they start alike, and differ in no start or end up to the last.
    differs = (starts[0] != starts[1]) | (ends[0] != ends[1])
    entity = tf.cumsum(tf.cast(tf.reshape(starts[0], (-1,)), tf.int32))
    inside = tf.reshape((gold > 0) & differs, (-1,))
    differences = tf.math.unsorted_segment_sum(tf.cast(inside, tf.int32), entity, tf.size(gold) + 1)
    same = tf.reshape(tf.gather(differences, entity), tf.shape(gold)) == 0
    correct = starts[0] & starts[1] & (types[0] == types[1]) & same

    def by_type(where, types):
        found = tf.boolean_mask(types, where)
        return tf.math.bincount(found, minlength=len(tags.types) + 1)[1:]

    columns = [
        by_type(starts[0], types[0]),
        by_type(starts[1], types[1]),
        by_type(correct, types[0]),
    ]
    return tf.stack(columns, axis=1)


def _starts_and_ends(tags):
    """At which steps an entity begins, and at which it ends, bool `(sentences, steps)`."""
    before = tf.pad(tags[:, :-1], [(0, 0), (1, 0)])
    goes_on = _is_inside(tags) & (_type_of(tags) == _type_of(before))
    next_goes_on = tf.pad(goes_on[:, 1:], [(0, 0), (0, 1)])
    return (tags > 0) & ~goes_on, (tags > 0) & ~next_goes_on


@keras.saving.register_keras_serializable("unrolled")
class EntityF1(keras.metrics.Metric):
    """F1 over the entities of all types, from 0 to 1, by tags that were predicted already.

    Args:
        tags: a `Tags`, or its types.
        name: of the metric.

    Attributes:
        counts: `count_entities` so far.
    """

    def __init__(self, tags, name="f1", **options):
        super().__init__(name=name, **options)
        self.tags = tags if isinstance(tags, Tags) else Tags(tags)
        self.counts = self.add_weight(
            shape=(len(self.tags.types), 3), initializer="zeros", dtype="int64", name="counts"
        )

    def update_state(self, gold, predicted, sample_weight=None):
        """Count some sentences; a weight of 0, `(sentences, steps)`, marks padding."""
        asked = tf.ones_like(gold) if sample_weight is None else sample_weight
        more = count_entities(gold, predicted, asked, self.tags)
        self.counts.assign_add(tf.cast(more, tf.int64))

    def result(self):
        gold, predicted, correct = tf.unstack(
            tf.cast(tf.reduce_sum(self.counts, 0), tf.float32), axis=0
        )
        return tf.math.divide_no_nan(2 * correct, gold + predicted)

    def get_config(self):
        return {**super().get_config(), "tags": self.tags.types}


@dataclass(frozen=True)
class Score:
    """How well the entities of a type, or all of them, were found; shares from 0 to 1.

    A share of nothing is 0, as conlleval has it.
    """

    type: str
    gold: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        """How many of those predicted are right."""
        return self.correct / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        """How many of the right ones were found."""
        return self.correct / max(self.gold, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.correct / max(self.gold + self.predicted, 1)


@dataclass(frozen=True)
class Scores:
    """How well entities were found, overall and by type."""

    overall: Score
    by_type: list[Score]

    @classmethod
    def of(cls, counts: np.ndarray, tags: Tags) -> "Scores":
        """From what `count_entities` gives."""
        counts = np.array(counts)
        each = [Score(one, *map(int, row)) for one, row in zip(tags.types, counts, strict=True)]
        return cls(Score("all", *map(int, counts.sum(axis=0))), each)

    def table(self) -> dict[str, list]:
        """Columns by their headings, a row for each type and one for all."""
        rows = [*self.by_type, self.overall]
        columns = ("type", "gold", "predicted", "correct", "precision", "recall", "f1")
        return {name: [getattr(row, name) for row in rows] for name in columns}
