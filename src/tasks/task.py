"""What every task offers to the programs that train and compare units on it."""

import abc
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import keras
import numpy as np

from tasks.examples import PADDING, Examples, FreshExamples
from tasks.metric import Metric


@dataclass(frozen=True)
class Point:
    """One point of a breakdown: at `at`, the measured `value` over `count` answers."""

    at: float
    value: float
    count: int


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    `metrics` maps a name to a number; `breakdowns` maps a name such as "accuracy by distance" to
    its points, in the order of `at`.
    """

    metrics: dict[str, float]
    breakdowns: dict[str, list[Point]] = field(default_factory=dict)


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

    def loss(self) -> keras.losses.Loss:
        """What training makes small: the mean over all questions, wherever they are asked."""
        reduction = "mean_with_sample_weight"
        if self.classes is None:
            return keras.losses.MeanSquaredError(reduction=reduction)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)

    def metric_in_keras(self) -> keras.metrics.Metric:
        """`metric`, to be followed in training and on the validation split."""
        return _IN_KERAS[self.metric.key](name=self.metric.key)

    def names_of_steps(self, inputs: np.ndarray) -> list[str]:
        """What to write under each step of one example in a picture: its words.

        Args:
            inputs: of the example, as in its `Examples`.
        """
        if self.vocabulary is None:
            return [""] * len(inputs)
        return [self.vocabulary[number] for number in inputs if number != PADDING]

    @abc.abstractmethod
    def evaluate(self, model) -> Report:
        """Metrics and breakdowns of `model` on the test split, touched here and nowhere else."""
