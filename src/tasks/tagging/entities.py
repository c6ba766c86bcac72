"""Entities in tag sequences, evaluated as conlleval does.

A tag is "O", or "B-" or "I-" followed by a type. In BIO every entity starts with a B. In IOB1 a B
is used only to separate adjacent entities of the same type. conlleval, the script of the CoNLL
shared tasks, accepts any sequence: an I at the beginning, after O or after another type also starts
an entity. An entity is correct if its first word, its last word and its type are correct.

Source: Tjong Kim Sang & Buchholz 2000, "Introduction to the CoNLL-2000 Shared Task: Chunking"; the
schemes are those of Ramshaw & Marcus 1995 and Ratnaparkhi 1998.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf

OUTSIDE = "O"
GOLD, PREDICTED, CORRECT = range(3)
"""Columns of the counts."""


class MixedSchemesError(ValueError):
    """Raised for tags that are neither BIO nor IOB1.

    Attributes:
        without_b: sentence and step, as indices, where an entity starts without a B.
        with_b: the same for a B that separates nothing.
    """

    def __init__(self, without_b: tuple[int, int], with_b: tuple[int, int]) -> None:
        super().__init__(
            "expected BIO tags, where every entity starts with B, or IOB1 tags, where B occurs "
            "only directly after an entity of the same type; got a mixture"
        )
        self.without_b, self.with_b = without_b, with_b


def to_bio(tags: Sequence[str]) -> list[str]:
    """Converts the tags of a sentence from BIO or IOB1 to BIO.

    >>> to_bio(["I-PER", "I-PER", "B-PER", "O"])
    ['B-PER', 'I-PER', 'B-PER', 'O']
    """
    return [
        f"B-{tag[2:]}" if tag.startswith("I-") and previous[2:] != tag[2:] else tag
        for previous, tag in pairwise([OUTSIDE, *tags])
    ]


def scheme_of(sentences: Sequence[Sequence[str]]) -> str:
    """Returns the tagging scheme of some sentences, "BIO" or "IOB1"; "BIO" if both are possible.

    Raises:
        MixedSchemesError: if an entity starts without a B, which BIO forbids, and another B
            separates nothing, which IOB1 forbids, so that entity boundaries are ambiguous.
    """
    # The first entity that starts so, not adjacent to another.
    first: dict[str, tuple[int, int] | None] = {"I": None, "B": None}
    for index, tags in enumerate(sentences):
        for step, (previous, tag) in enumerate(pairwise([OUTSIDE, *tags])):
            if tag != OUTSIDE and previous[2:] != tag[2:]:
                first[tag[0]] = first[tag[0]] or (index, step)
    if first["I"] and first["B"]:
        raise MixedSchemesError(first["I"], first["B"])
    return "IOB1" if first["I"] else "BIO"


class Tags:
    """The tags of some entity types, by id: O is 0, followed by B and I of each type.

    >>> Tags(["LOC", "PER"]).names
    ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER']

    Attributes:
        types: the types, in order.
        names: names of the tags, by id.
    """

    def __init__(self, types: Sequence[str]) -> None:
        self.types = list(types)
        self.names = [OUTSIDE, *(f"{part}-{each}" for each in self.types for part in "BI")]
        self._ids = {name: number for number, name in enumerate(self.names)}

    def encode(self, tags: Sequence[str]) -> np.ndarray:
        """Returns the id of each tag, int32 `(words,)`.

        Raises:
            ValueError: for an unknown tag.
        """
        for tag in tags:
            if tag not in self._ids:
                raise ValueError(f"Expected one of the tags {', '.join(self.names)}, got {tag!r}.")
        return np.array([self._ids[tag] for tag in tags], np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Returns the names of tags."""
        return [self.names[tag] for tag in ids]

    def legal_starts(self) -> np.ndarray:
        """Returns which tags may start a sentence in BIO, bool `(tags,)`: all but I."""
        return ~_is_inside(np.arange(len(self.names)))

    def legal_transitions(self) -> np.ndarray:
        """Returns the legal transitions [previous, next] in BIO, bool `(tags, tags)`.

        An I may follow only the B or I of its own type.
        """
        previous, following = np.indices((len(self.names),) * 2)
        same_type = (previous > 0) & (_type_of(previous) == _type_of(following))
        return ~_is_inside(following) | same_type


def _is_inside(tags: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
    return (tags > 0) & (tags % 2 == 0)


def _type_of(tags: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
    """Returns 1, 2, ... for the types; 0 for O."""
    return (tags + 1) // 2


@dataclass(frozen=True)
class Entity:
    """An entity of a type, from word `start` to word `stop`, exclusive."""

    start: int
    stop: int
    type: str


def entities(tags: Sequence[str]) -> list[Entity]:
    """Returns the entities of a sentence, as conlleval finds them.

    >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
    [Entity(start=0, stop=2, type='PER'), Entity(start=3, stop=4, type='LOC')]
    """
    found, start = [], None
    for step, (previous, tag) in enumerate(zip([OUTSIDE, *tags], [*tags, OUTSIDE], strict=True)):
        continues = tag.startswith("I-") and tag[2:] == previous[2:]
        if start is not None and not continues:
            found.append(Entity(start, step, previous[2:]))
            start = None
        if tag != OUTSIDE and start is None:
            start = step
    return found


def count_entities(gold: tf.Tensor, predicted: tf.Tensor, mask: tf.Tensor, tags: Tags) -> tf.Tensor:
    """Counts the entities of every type, in TensorFlow.

    Args:
        gold, predicted: tag ids, int `(sentences, steps)`.
        mask: bool or numbers `(sentences, steps)`, 0 at padding, which is on the right.
        tags: the tags.

    Returns:
        Int32 `(types, 3)`: `GOLD`, `PREDICTED`, and `CORRECT`.
    """
    mask = tf.cast(mask, tf.bool)
    gold, predicted = (tf.where(mask, tf.cast(each, tf.int32), 0) for each in (gold, predicted))
    starts, ends = zip(*map(_starts_and_ends, (gold, predicted)), strict=True)
    types = [_type_of(each) for each in (gold, predicted)]
    # Two entities are equal if they start together, and no start or end differs inside.
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


def _starts_and_ends(tags: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first and the last steps of entities, bool `(sentences, steps)`."""
    previous = tf.pad(tags[:, :-1], [(0, 0), (1, 0)])
    continues = _is_inside(tags) & (_type_of(tags) == _type_of(previous))
    next_continues = tf.pad(continues[:, 1:], [(0, 0), (0, 1)])
    return (tags > 0) & ~continues, (tags > 0) & ~next_continues


@keras.saving.register_keras_serializable("unrolled")
class EntityF1(keras.metrics.Metric):
    """F1 over the entities of all types, from 0 to 1, for predicted tags.

    Args:
        tags: a `Tags`, or its types.
        name: name of the metric.

    Attributes:
        counts: sum of `count_entities` so far.
    """

    def __init__(self, tags: Tags | Sequence[str], name: str = "f1", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.tags = tags if isinstance(tags, Tags) else Tags(tags)
        self.counts = self.add_weight(
            shape=(len(self.tags.types), 3), initializer="zeros", dtype="int64", name="counts"
        )

    def update_state(
        self, gold: tf.Tensor, predicted: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Adds the counts of some sentences; a weight of 0, `(sentences, steps)`, marks padding."""
        mask = tf.ones_like(gold) if sample_weight is None else sample_weight
        counts = count_entities(gold, predicted, mask, self.tags)
        self.counts.assign_add(tf.cast(counts, tf.int64))

    def result(self) -> tf.Tensor:
        gold, predicted, correct = tf.unstack(
            tf.cast(tf.reduce_sum(self.counts, 0), tf.float32), axis=0
        )
        return tf.math.divide_no_nan(2 * correct, gold + predicted)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tags": self.tags.types}


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1 of the entities of a type, or of all; 0 for 0/0, as in conlleval."""

    type: str
    gold: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        """The fraction of predicted entities that are correct."""
        return self.correct / max(self.predicted, 1)

    @property
    def recall(self) -> float:
        """The fraction of gold entities that are found."""
        return self.correct / max(self.gold, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.correct / max(self.gold + self.predicted, 1)


@dataclass(frozen=True)
class Scores:
    """Scores of the entities, overall and by type."""

    overall: Score
    by_type: list[Score]

    @classmethod
    def of(cls, counts: np.ndarray, tags: Tags) -> "Scores":
        """Creates the scores from the result of `count_entities`."""
        counts = np.array(counts)
        each = [Score(one, *map(int, row)) for one, row in zip(tags.types, counts, strict=True)]
        return cls(Score("all", *map(int, counts.sum(axis=0))), each)

    def table(self) -> dict[str, list]:
        """Returns columns by heading, with a row for each type and one for all."""
        rows = [*self.by_type, self.overall]
        columns = ("type", "gold", "predicted", "correct", "precision", "recall", "f1")
        return {name: [getattr(row, name) for row in rows] for name in columns}
