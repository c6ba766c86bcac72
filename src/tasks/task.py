"""What every task offers to the programs that train and compare units on it."""

import abc
from dataclasses import dataclass, field
from typing import ClassVar

from tasks.examples import Examples


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


class Task(abc.ABC):
    """One thing to learn: its examples, and what is reported of a model that learnt it.

    A task is made with its options alone and touches no data until `load`.

    Attributes:
        name: as in conf/task.
        classes: number of classes an answer chooses from.
        per_step: True where the question is asked at steps (many-to-many), False where it is asked
            once about the whole sequence (many-to-one).
        learnt: the accuracy at which the task counts as learnt, whose price is compared.
        vocabulary: after `load`, the words by their number; number 0 is padding.
        training, validation, test: after `load`, the splits.
        fingerprint: after `load`, a hash of all data, equal exactly when the data are.
    """

    name: ClassVar[str]
    classes: ClassVar[int]
    per_step: ClassVar[bool]
    learnt: ClassVar[float]

    vocabulary: list[str]
    training: Examples
    validation: Examples
    test: Examples
    fingerprint: str

    @abc.abstractmethod
    def load(self) -> None:
        """Make or read the data.

        Raises:
            MissingDataError: if a data set is needed that is not here and cannot be fetched.
        """

    @abc.abstractmethod
    def evaluate(self, model) -> Report:
        """Metrics and breakdowns of `model` on the test split, touched here and nowhere else."""
