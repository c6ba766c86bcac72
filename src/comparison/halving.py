"""What a search was asked for, and how long successive halving trains each of its values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Halving:
    """The rounds of a search that stops bad values early, the same for every variant.

    This is synchronous successive halving (Jamieson & Talwalkar 2016, "Non-stochastic Best Arm
    Identification and Hyperparameter Optimization"; Li et al. 2018, "Hyperband"): at the end of a
    round all of its values are judged by the epochs that each was trained so far.

    Attributes:
        factor: η; the best 1/η of the values of a round, rounded up, go on to the next.
        rungs: the last epoch of each round, increasing; the last is the last epoch of the budget.
    """

    factor: int
    rungs: Sequence[int]

    @classmethod
    def of(cls, factor: int, epochs: int, values: int) -> "Halving":
        """As many rounds as leave one value, but the first has at least one epoch.

        The rungs of R rounds are ceil(E / η^(R-1)), ..., ceil(E / η), E. With fewer than η epochs
        there is one round, in which every value is trained to its end.

        Args:
            factor: η, at least 2.
            epochs: E, of the budget.
            values: that are tried.

        >>> Halving.of(3, epochs=27, values=9).rungs
        [3, 9, 27]
        >>> Halving.of(3, epochs=20, values=5).rungs
        [3, 7, 20]
        >>> Halving.of(3, epochs=8, values=5).rungs
        [3, 8]
        """
        rungs, left, part = [epochs], values, factor
        while left > 1 and part <= epochs:
            rungs.insert(0, _ceil(epochs, part))
            left, part = _ceil(left, factor), part * factor
        return cls(factor, rungs)

    @property
    def early(self) -> Sequence[int]:
        """The rungs after which values are stopped."""
        return self.rungs[:-1]

    def left(self, values: int) -> int:
        """How many of the values of a round go on to the next one."""
        return _ceil(values, self.factor)

    def epochs(self, values: int) -> int:
        """The epochs that a variant is trained with one seed, if no run diverges.

        >>> Halving(3, [3, 7, 20]).epochs(values=5)  # 5 * 3 + 2 * 4 + 1 * 13
        36
        """
        trained = before = 0
        for rung in self.rungs:
            trained += values * (rung - before)
            values, before = self.left(values), rung
        return trained


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


@dataclass(frozen=True)
class Asked:
    """A stage before the sweep that finds the best value of one key for each variant.

    Attributes:
        key: of the configuration.
        values: that are tried.
        seeds: of its runs; the sweep has none of them.
        halving: its rounds; None if every value is trained to the end of the budget.
    """

    key: str
    values: Sequence[Any]
    seeds: Sequence[int]
    halving: Halving | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Asked":
        """Read it from the record of a sweep; an earlier version wrote none about halving."""
        halving = record.get("halving")
        rounds = None if halving is None else Halving(**halving)
        return cls(record["key"], record["values"], record["seeds"], rounds)
