"""The metric by which a task is evaluated."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """The metric that selects the best epoch, is compared in tables, and says if a task is solved.

    Attributes:
        key: name in Keras, in MLflow and in a `Report`: "mse", as in "test/mse".
        name: display name, such as "accuracy" or "MSE".
        chance_level: the value of the best prediction that ignores the input.
        solved: the value at which the task counts as solved, whose cost is compared; None for a
            task that is never solved.
        higher_is_better: whether higher values are better.
        is_fraction: whether values are fractions, displayed in percent.
        unit: unit of the values, if they have one.
        is_loss: whether the metric is also the loss.
        logarithmic: whether values are logarithms, such as nats per character, whose differences
            are already ratios.
    """

    key: str
    name: str
    chance_level: float
    solved: float | None
    higher_is_better: bool
    is_fraction: bool = False
    unit: str = ""
    is_loss: bool = False
    logarithmic: bool = False

    @property
    def label(self) -> str:
        """The name with its unit, for the axis of a figure."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def by_ratio(self) -> bool:
        """Whether values are compared by ratio: errors, whose spread grows with their size."""
        return not (self.higher_is_better or self.logarithmic)

    def merit(self, value: float) -> float:
        """Returns the value with its sign changed if necessary, so that higher is better."""
        return value if self.higher_is_better else -value

    def worst(self, values: Iterable[float]) -> float:
        """Returns the worst value."""
        return min(values, key=self.merit)

    def is_solved(self, value: float) -> bool:
        """Whether the task counts as solved at this value."""
        return self.solved is not None and self.merit(value) >= self.merit(self.solved)

    def text(self, value: float) -> str:
        """Formats a value for a table.

        Fractions and logarithms have three decimals, and values from 100 to 10,000, such as
        perplexities, one. All others have three significant digits.
        """
        if self.is_fraction or self.logarithmic:
            return f"{value:.3f}"
        if 100 <= value < 10_000:
            return f"{value:.1f}"
        return f"{value:#.3g}".removesuffix(".")

    @property
    def solved_text(self) -> str:
        """The value of `solved`, formatted for a table heading."""
        return f"{self.solved:.0%}" if self.is_fraction else f"{self.solved:.3g}"


def accuracy(classes: int, solved: float) -> Metric:
    """The fraction of correct predictions among `classes` equally frequent classes."""
    return Metric(
        "accuracy", "accuracy", 1 / classes, solved, higher_is_better=True, is_fraction=True
    )


def mean_squared_error(chance_level: float, solved: float) -> Metric:
    """The mean squared error, for targets that are a single number."""
    return Metric("mse", "MSE", chance_level, solved, higher_is_better=False, is_loss=True)


def cross_entropy(chance_level: float, solved: float) -> Metric:
    """The cross-entropy in nats per predicted step."""
    return Metric(
        "cross_entropy",
        "cross-entropy",
        chance_level,
        solved,
        higher_is_better=False,
        unit="nats per step",
        is_loss=True,
    )
