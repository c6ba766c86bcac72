"""What is shown of a large sweep: the best and the worst variants, and the baselines."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from unrolled.comparison.runs import Runs, metric_of, results
from unrolled.comparison.significance import mean, on_scale
from unrolled.comparison.variants import Variant
from unrolled.tracking import RunRecord

ROWS = 21
"""Rows of a table on the terminal: the ten best, the ten worst and the baseline.

More rows do not fit on one screen together with their headings and the caption.
"""

NAMES = 4
"""Names that a sentence lists before the others are only counted."""

ENDS = "the best and the worst"
"""What `ends` returns of a sequence with the best first, for people."""

T = TypeVar("T")


@dataclass(frozen=True)
class Extremes:
    """The variants that are shown of a large sweep.

    Attributes:
        ranks: the rank of each among all variants of its metric, metric by metric, the best first.
        baselines: how many of them are shown because they are baselines.
    """

    ranks: Mapping[Variant, int]
    baselines: int

    @property
    def words(self) -> str:
        """Which variants these are, for people."""
        if not self.baselines:
            return ENDS
        return f"the best, the worst and the baseline{'s' if self.baselines > 1 else ''}"


def extremes(runs: Runs, baselines: Collection[Variant], most: int) -> Extremes:
    """The best and the worst variants of each metric, as many of each, and the baselines.

    There is no room for baselines that would take more than half of the places, as where each
    variant has one of its own.

    Args:
        runs: of each variant those that succeeded.
        baselines: of the sweep.
        most: how many variants can be shown.
    """
    there = [variant for variant in runs if variant in baselines]
    few = there if len(there) <= most // 2 else []
    by_metric = _by_metric(runs)
    shown = set(few)
    for ordered in by_metric:
        shown.update(ends(ordered, most // len(by_metric) - len(set(few).intersection(ordered))))
    found = _ranks(by_metric)
    return Extremes({each: rank for each, rank in found.items() if each in shown}, len(few))


def ranks(runs: Runs) -> dict[Variant, int]:
    """The rank of each variant among those of its metric, metric by metric, from 1 for the best."""
    return _ranks(_by_metric(runs))


def _ranks(by_metric: Sequence[Sequence[Variant]]) -> dict[Variant, int]:
    return {each: rank for ordered in by_metric for rank, each in enumerate(ordered, 1)}


def _by_metric(runs: Runs) -> list[list[Variant]]:
    groups: dict[str, dict[Variant, Sequence[RunRecord]]] = {}
    for variant, group in runs.items():
        groups.setdefault(metric_of(group).key, {})[variant] = group
    return [ranked(group) for group in groups.values()]


def ranked(runs: Runs) -> list[Variant]:
    """Variants of one metric, the best mean first; errors have geometric means."""

    def merit(variant: Variant) -> float:
        metric = metric_of(runs[variant])
        return metric.merit(mean(on_scale(metric, results(runs[variant]))))

    return sorted(runs, key=merit, reverse=True)


def ends(ordered: Sequence[T], most: int) -> list[T]:
    """The first and the last items, as many of each; all items if they are at most `most`.

    >>> ends([1, 2, 3, 4, 5, 6], 5), ends([1, 2, 3], 3)
    ([1, 2, 5, 6], [1, 2, 3])
    """
    if len(ordered) <= most:
        return list(ordered)
    half = max(1, most // 2)
    return [*ordered[:half], *ordered[-half:]]


def listed(names: Sequence[str], most: int | None) -> str:
    """Names for a sentence, at most so many of them and the number of the others.

    >>> listed(["gru", "lstm", "lstm_coupled"], 2), listed(["gru", "lstm", "lstm_coupled"], None)
    ('gru, lstm and 1 more', 'gru, lstm, lstm_coupled')
    """
    if most is None or len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
