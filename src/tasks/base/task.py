"""The interface of a task to the programs that train and compare units on it."""

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
    """A point of a grouped metric: the mean `value` of `count` predictions at `at`."""

    at: float
    value: float
    count: int


@dataclass(frozen=True)
class Breakdown:
    """The name of a grouped metric: which values are grouped, and by which property.

    Attributes:
        what: name of the values: "accuracy".
        by: property of the targets, with its unit: "distance in words".
        of_metric: whether the values are those of the task's metric.
    """

    what: str
    by: str
    of_metric: bool = False

    @property
    def name(self) -> str:
        """The display name: "accuracy by distance in words"."""
        return f"{self.what} by {self.by}"


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Attributes:
        classes: names of the classes.
        counts: integers `(classes, classes)`, [true class, predicted class].
    """

    classes: list[str]
    counts: np.ndarray


@dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
        metrics: values by key.
        breakdowns: points of each `Breakdown`, sorted by `at`.
        tables: columns of values by heading, by the name of a table.
        confusions: confusion matrices by name.
        judged: metrics of those breakdowns that use another metric than the task's.
    """

    metrics: dict[str, float]
    breakdowns: dict[Breakdown, list[Point]] = field(default_factory=dict)
    tables: dict[str, dict[str, list]] = field(default_factory=dict)
    confusions: dict[str, Confusion] = field(default_factory=dict)
    judged: dict[Breakdown, Metric] = field(default_factory=dict)

    def as_data(self, metric: Metric) -> dict[str, Any]:
        """Returns the report as plain values, for comparisons.

        Args:
            metric: metric of the task.
        """
        breakdowns = []
        for breakdown, points in self.breakdowns.items():
            breakdown_metric = metric if breakdown.of_metric else self.judged.get(breakdown)
            breakdowns.append(
                {
                    "what": breakdown.what,
                    "by": breakdown.by,
                    "metric": breakdown_metric and asdict(breakdown_metric),
                    "points": [asdict(point) for point in points],
                }
            )
        return {"metric": asdict(metric), "metrics": self.metrics, "breakdowns": breakdowns}


class MissingDataError(RuntimeError):
    """Raised when a data set is not on this machine; the message says how to obtain it."""


_KERAS_METRICS = {
    "accuracy": keras.metrics.SparseCategoricalAccuracy,
    "cross_entropy": partial(keras.metrics.SparseCategoricalCrossentropy, from_logits=True),
    "mse": keras.metrics.MeanSquaredError,
}


class Task(abc.ABC):
    """A learning problem: its data, its loss, and its evaluation.

    A task is created from its options alone and reads no data before `load`. The shape of the
    targets and the metric are known before.

    Attributes:
        name: the name in conf/task.
        features: size of the input vectors; None if inputs are token ids.
        classes: number of classes; None for regression.
        per_step: True if the model predicts at each step (many-to-many), False if it predicts once
            per sequence (many-to-one).
        counted: what training progress is counted in.
        model: the kind of model, as in conf/model.
        metric: the metric, which `evaluate` reports under its key.
        vocabulary: after `load`, the words by token id; id 0 is padding. None if inputs are
            vectors.
        training, validation, test: after `load`, the splits. The training split may be generated
            anew for each epoch.
        fingerprint: after `load`, a hash of all data, equal if and only if the data are equal.
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
        """Generates or reads the data.

        Raises:
            MissingDataError: if a data set is neither on this machine nor downloadable.
        """

    def model_arguments(self) -> dict[str, Any]:
        """Returns the arguments of the model builder that follow from the data, after `load`."""
        return {
            "vocabulary_size": None if self.vocabulary is None else len(self.vocabulary),
            "features": self.features,
            "classes": self.classes,
            "per_step": self.per_step,
        }

    def model_files(self) -> dict[str, dict]:
        """Returns JSON files to save beside a trained model: content by file name."""
        return {}

    def loss(self) -> keras.losses.Loss | None:
        """Returns the training loss, averaged over all targets; None if the model has its own."""
        reduction = "mean_with_sample_weight"
        if self.classes is None:
            return keras.losses.MeanSquaredError(reduction=reduction)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)

    def keras_metrics(self) -> list[keras.metrics.Metric]:
        """Returns `metric` for training and validation; empty for a model that tracks it itself.

        Raises:
            ValueError: if Keras does not have the metric. Such a task must override this method.
        """
        if self.metric.key not in _KERAS_METRICS:
            raise ValueError(
                f"`metric`: expected a metric with the key {', '.join(_KERAS_METRICS)}, or a task "
                f"that overrides keras_metrics, got {self.metric.key!r} in {type(self).__name__}."
            )
        return [_KERAS_METRICS[self.metric.key](name=self.metric.key)]

    def step_labels(self, inputs: np.ndarray) -> list[str]:
        """Returns a label for each step of one example in a figure: its words.

        Args:
            inputs: inputs of one example, as in `Examples`.
        """
        if self.vocabulary is None:
            return [""] * len(inputs)
        return [self.vocabulary[token] for token in inputs if token != PADDING]

    def training_batches(
        self, batch_size: int, seed: int, window: int | None = None, first_epoch: int = 0
    ) -> tf.data.Dataset:
        """Returns the training batches, epoch after epoch; the order is determined by the seed.

        Args:
            batch_size: number of examples per batch.
            seed: determines the order.
            window: number of steps per window, for a task whose states are carried from batch to
                batch; otherwise None.
            first_epoch: index of the first epoch, to continue earlier training.

        Raises:
            ValueError: if a window is given for a task whose examples are separate sequences.
        """
        self._check_window(window)
        return of_examples.training_batches(self.training, batch_size, seed, first_epoch)

    def validation_batches(self, batch_size: int, window: int | None = None) -> tf.data.Dataset:
        """Returns the validation split once, for training with the given batch size."""
        self._check_window(window)
        return of_examples.evaluation_batches(self.validation, 4 * batch_size)

    def batches_per_epoch(self, batch_size: int, window: int | None = None) -> int:
        """Returns the number of training steps per epoch."""
        self._check_window(window)
        return math.ceil(len(self.training) / batch_size)

    def diagnostic_examples(self, count: int) -> Examples:
        """Returns the first validation examples, for measurements of gradients and gates."""
        return self.validation.first(count)

    def _check_window(self, window: int | None) -> None:
        if window is not None:
            raise ValueError(
                f"training.window: expected null, because the examples of {self.name} are separate "
                f"sequences, got {window}. (training=language is for language models.)"
            )

    @abc.abstractmethod
    def evaluate(self, model: keras.Model) -> Report:
        """Evaluates a model on the test split, which is used nowhere else."""
