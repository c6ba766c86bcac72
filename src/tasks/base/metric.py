"""The number by which a task's answers are judged."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """What chooses the best epoch, what a table compares, and from when on a task is learnt.

    Attributes:
        key: its name in Keras, in MLflow and in a `Report`: "mse", as in "test/mse".
        name: as people write it: "accuracy", "MSE".
        guessing: what the best answer reaches that looks at no input.
        learnt: from this value on the task counts as learnt, whose price is compared; None for a
            task that one never has learnt.
        higher_is_better: whether a higher value is a better one.
        share: whether its values are shares of a whole, shown in percent.
        unit: of its values, where they have one.
        is_loss: whether it is the loss, too.
        logarithmic: whether its values are logarithms, such as nats a character, whose differences
            say by themselves how many times as good.
    """

    key: str
    name: str
    guessing: float
    learnt: float | None
    higher_is_better: bool
    share: bool = False
    unit: str = ""
    is_loss: bool = False
    logarithmic: bool = False

    @property
    def label(self) -> str:
        """Its name with its unit, for the axis of a figure."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def by_ratio(self) -> bool:
        """Whether values are compared by ratio: errors, whose spread grows with their size."""
        return not (self.higher_is_better or self.logarithmic)

    def merit(self, value: float) -> float:
        """The value, turned so that a better one is higher."""
        return value if self.higher_is_better else -value

    def worst(self, values: Iterable[float]) -> float:
        """The value that no other is worse than."""
        return min(values, key=self.merit)

    def is_learnt(self, value: float) -> bool:
        """Whether the task counts as learnt at this value."""
        return self.learnt is not None and self.merit(value) >= self.merit(self.learnt)

    def text(self, value: float) -> str:
        """As a table has it: shares and logarithms to three places, others to three digits.

        From 100 to 10,000, where perplexities are, it is a tenth.
        """
        if self.share or self.logarithmic:
            return f"{value:.3f}"
        if 100 <= value < 10_000:
            return f"{value:.1f}"
        return f"{value:#.3g}".removesuffix(".")

    @property
    def learnt_text(self) -> str:
        """The value of `learnt` as a table's heading has it."""
        return f"{self.learnt:.0%}" if self.share else f"{self.learnt:.3g}"


def accuracy(classes: int, learnt: float) -> Metric:
    """The share of right answers, where `classes` classes are equally frequent."""
    return Metric("accuracy", "accuracy", 1 / classes, learnt, higher_is_better=True, share=True)


def mean_squared_error(guessing: float, learnt: float) -> Metric:
    """The mean squared error, for answers that are one number."""
    return Metric("mse", "MSE", guessing, learnt, higher_is_better=False, is_loss=True)


def cross_entropy(guessing: float, learnt: float) -> Metric:
    """The cross-entropy in nats for each answer at a step."""
    return Metric(
        "cross_entropy",
        "cross-entropy",
        guessing,
        learnt,
        higher_is_better=False,
        unit="nats a step",
        is_loss=True,
    )
