"""What every task offers to the programs that train and compare units on it."""

import abc
import math
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from unrolled.tasks.base import examples as of_examples
from unrolled.tasks.base.examples import PADDING, Examples, FreshExamples
from unrolled.tasks.base.metric import Metric


@dataclass(frozen=True)
class Point:
    """One point of a breakdown: at `at`, the measured `value` over `count` answers."""

    at: float
    value: float
    count: int


@dataclass(frozen=True)
class Breakdown:
    """Which values are broken down, and by what.

    Attributes:
        what: the name of the values: "accuracy".
        by: the property of the questions, with its unit: "distance in words".
        of_metric: whether they are values of the task's metric.
    """

    what: str
    by: str
    of_metric: bool = False

    @property
    def name(self) -> str:
        """For people: "accuracy by distance in words"."""
        return f"{self.what} by {self.by}"


@dataclass(frozen=True)
class Confusion:
    """How often each class was answered where each was right.

    `counts` are whole numbers `(classes, classes)`, [right, answered], in the order of `classes`.
    """

    classes: list[str]
    counts: np.ndarray


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    `metrics` maps a key to a number; `breakdowns` maps a `Breakdown` to its points, in the order of
    `at`; `tables` maps a name to columns of values by their headings;
    `confusions` maps a name to a `Confusion`; `judged` maps a breakdown that is of another
    metric than the task's to that metric.
    """

    metrics: dict[str, float]
    breakdowns: dict[Breakdown, list[Point]] = field(default_factory=dict)
    tables: dict[str, dict[str, list]] = field(default_factory=dict)
    confusions: dict[str, Confusion] = field(default_factory=dict)
    judged: dict[Breakdown, Metric] = field(default_factory=dict)

    def as_data(self, metric: Metric) -> dict[str, Any]:
        """What a comparison reads of it, as plain values.

        Args:
            metric: of the task.
        """
        breakdowns = []
        for each, points in self.breakdowns.items():
            of = metric if each.of_metric else self.judged.get(each)
            breakdowns.append(
                {
                    "what": each.what,
                    "by": each.by,
                    "metric": of and asdict(of),
                    "points": [asdict(point) for point in points],
                }
            )
        return {"metric": asdict(metric), "metrics": self.metrics, "breakdowns": breakdowns}


class MissingDataError(RuntimeError):
    """A data set that is not on this machine; the message names the ways out."""


_IN_KERAS = {
    "accuracy": keras.metrics.SparseCategoricalAccuracy,
    "cross_entropy": partial(keras.metrics.SparseCategoricalCrossentropy, from_logits=True),
    "mse": keras.metrics.MeanSquaredError,
}


class Task(abc.ABC):
    """One thing to learn: its examples, and what is reported of a model that learnt it.

    A task is made with its options alone and touches no data until `load`. What is asked, and how
    answers are judged, is known before.

    Attributes:
        name: as in conf/task.
        features: where an input is a vector of real numbers at each step, how many; None where it
            is a word number.
        classes: number of classes an answer chooses from; None where it is a number.
        per_step: True where the question is asked at steps (many-to-many), False where it is asked
            once about the whole sequence (many-to-one).
        counted: what training is counted in.
        model: the kind of model that learns it, as in conf/model.
        metric: how answers are judged. `evaluate` reports it under its key.
        vocabulary: after `load`, the words by their number; number 0 is padding. None where inputs
            are vectors.
        training, validation, test: after `load`, the splits; training may be fresh in each epoch.
        fingerprint: after `load`, a hash of all data, equal exactly when the data are.
    """

    name: ClassVar[str]
    features: ClassVar[int | None] = None
    classes: int | None
    per_step: ClassVar[bool]
    counted: ClassVar[str] = "examples"
    model: ClassVar[str] = "stack"
    metric: Metric

    vocabulary: list[str] | None = None
    training: Examples | FreshExamples
    validation: Examples
    test: Examples
    fingerprint: str

    @abc.abstractmethod
    def load(self) -> None:
        """Make or read the data.

        Raises:
            MissingDataError: if a data set is needed that is not here and cannot be fetched.
        """

    def answers(self) -> dict:
        """What a model for it takes and gives, after `load`: arguments of what builds models."""
        return {
            "vocabulary_size": None if self.vocabulary is None else len(self.vocabulary),
            "features": self.features,
            "classes": self.classes,
            "per_step": self.per_step,
        }

    def keepsakes(self) -> dict[str, dict]:
        """What is kept beside a trained model to use it: a name of a JSON file, and its content."""
        return {}

    def loss(self) -> keras.losses.Loss | None:
        """What training makes small: the mean over all questions, wherever they are asked.

        None for a model that has its own.
        """
        reduction = "mean_with_sample_weight"
        if self.classes is None:
            return keras.losses.MeanSquaredError(reduction=reduction)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)

    def metrics_in_keras(self) -> list[keras.metrics.Metric]:
        """`metric`, to be followed in training and on the validation split.

        Empty for a model that follows it by itself.
        """
        return [_IN_KERAS[self.metric.key](name=self.metric.key)]

    def names_of_steps(self, inputs: np.ndarray) -> list[str]:
        """What to write under each step of one example in a picture: its words.

        Args:
            inputs: of the example, as in its `Examples`.
        """
        if self.vocabulary is None:
            return [""] * len(inputs)
        return [self.vocabulary[number] for number in inputs if number != PADDING]

    def training_batches(
        self, batch_size: int, seed: int, window: int | None = None, first_epoch: int = 0
    ) -> tf.data.Dataset:
        """The training split an epoch after the other, the same for the same seed.

        Args:
            batch_size: examples in a batch.
            seed: of their order.
            window: steps of a window, for a task that is read on from batch to batch; else None.
            first_epoch: number of epochs that went before, of which it is the continuation.

        Raises:
            ValueError: for a window where examples have a length of their own.
        """
        self._refuse(window)
        return of_examples.training_batches(self.training, batch_size, seed, first_epoch)

    def validation_batches(self, batch_size: int, window: int | None = None) -> tf.data.Dataset:
        """The validation split once, for training with batches of that size."""
        self._refuse(window)
        return of_examples.evaluation_batches(self.validation, 4 * batch_size)

    def batches_an_epoch(self, batch_size: int, window: int | None = None) -> int:
        """How many training steps an epoch has."""
        self._refuse(window)
        return math.ceil(len(self.training) / batch_size)

    def examples_to_look_into(self, count: int) -> Examples:
        """Some of the validation split, to measure a model's gradients and gates on."""
        return self.validation.first(count)

    def _refuse(self, window):
        if window is not None:
            raise ValueError(
                f"training.window: expected null, as the examples of {self.name} each have a "
                f"length of their own, got {window}. (training=language is for language models.)"
            )

    @abc.abstractmethod
    def evaluate(self, model) -> Report:
        """Metrics and breakdowns of `model` on the test split, touched here and nowhere else."""
