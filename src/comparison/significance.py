"""How sure a difference is: tests over the seeds of a sweep's variants."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import numpy as np
from scipy import stats

from unrolled.comparison.runs import Runs, metric_of, results
from unrolled.comparison.sections import Heading, Table
from unrolled.comparison.variants import Variant
from unrolled.tasks.base.metric import Metric

Values = Sequence[float] | np.ndarray
"""One value per run."""

LEVEL = 0.05
"""A corrected p below it counts as significant; intervals have a confidence level of 1 - LEVEL."""


@dataclass(frozen=True)
class Interval:
    """A difference of two means by Welch's t-test (Welch 1947): variances may differ.

    Attributes:
        value: the mean of one minus that of the other.
        low, high: its 95% confidence interval; NaN where there is no test.
        p: probability of a difference as large if the means were equal; NaN where there is no test.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan


@dataclass(frozen=True)
class Ratio:
    """The ratio of two geometric means.

    Attributes:
        value: the ratio.
        low, high: its 95% confidence interval; NaN where there is no test.
        p: of Welch's t-test on the logarithms; NaN where there is no test.
    """

    value: float
    low: float
    high: float
    p: float


class Finding(Enum):
    """What a difference comes to."""

    BETTER = auto()
    WORSE = auto()
    NOT_SIGNIFICANT = auto()
    OPEN = auto()  # No conclusion can be drawn.


_WORDS = {
    Finding.BETTER: "better",
    Finding.WORSE: "worse",
    Finding.NOT_SIGNIFICANT: "not significant",
}


@dataclass(frozen=True)
class Difference:
    """How one variant's test metric differs from its baseline's.

    Attributes:
        variant, baseline: the two.
        metric: of the task. An error is compared by log10: its spread over the seeds grows with its
            size.
        runs, baseline_runs: how many of each were compared.
        interval: of variant minus baseline, in the unit of the metric or in powers of ten; its p is
            not corrected.
        p: corrected for the number of comparisons (Holm 1979); NaN where there is no test.
        why_not: why no conclusion can be drawn, for people; None if one can.
    """

    variant: Variant
    baseline: Variant
    metric: Metric
    runs: int
    baseline_runs: int
    interval: Interval
    p: float = np.nan
    why_not: str | None = None

    @property
    def finding(self) -> Finding:
        """What the difference comes to."""
        if self.why_not is not None:
            return Finding.OPEN
        if not self.p < LEVEL:
            return Finding.NOT_SIGNIFICANT
        better = self.metric.merit(self.interval.value) > 0
        return Finding.BETTER if better else Finding.WORSE

    @property
    def outcome(self) -> str:
        """The finding in a word or two, for people."""
        return self.why_not or _WORDS[self.finding]


def welch(these: Values, those: Values) -> Interval:
    """The difference of the means of two lists of values, one value per run.

    Without two values in each list, or without any spread in both, there is a difference but no
    test.
    """
    these, those = np.asarray(these, float), np.asarray(those, float)
    value = float(these.mean() - those.mean())
    if min(len(these), len(those)) < 2 or np.ptp(these) == np.ptp(those) == 0:
        return Interval(value)
    with warnings.catch_warnings():  # SciPy warns where one of the two has no spread.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ttest_ind(these, those, equal_var=False)
    low, high = found.confidence_interval(1 - LEVEL)
    return Interval(value, float(low), float(high), float(found.pvalue))


def ratio(these: Values, those: Values) -> Ratio:
    """The ratio of the geometric means of two lists of values: steps of memory, half-lives.

    Args:
        these, those: one positive value per run.

    Raises:
        ValueError: for a list that is empty, or a value that is not finite and above 0.
    """
    for values in (these, those):
        if not len(values) or not all(np.isfinite(value) and value > 0 for value in values):
            raise ValueError(
                f"expected finite values above 0, one per run, got {list(values)}. Leave out the "
                "runs that have none, and say so."
            )
    found = welch(np.log(these), np.log(those))
    value, low, high = map(float, np.exp([found.value, found.low, found.high]))
    return Ratio(value, low, high, found.p)


def holm(p: Sequence[float]) -> list[float]:
    """Each p corrected for how many there are (Holm 1979); NaN is no test and counts for none."""
    corrected = [np.nan] * len(p)
    order = sorted((k for k in range(len(p)) if not np.isnan(p[k])), key=lambda k: p[k])
    least = 0.0
    for rank, k in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p[k]))
        corrected[k] = least
    return corrected


def on_scale(metric: Metric, values: Values) -> np.ndarray:
    """Values of a metric on the scale on which they are compared: log10 of an error.

    An error of 0 becomes -inf.
    """
    if not metric.by_ratio:
        return np.asarray(values, float)
    with np.errstate(divide="ignore"):
        return np.log10(values)


def mean(values: np.ndarray) -> float:
    """The mean; infinite with any infinite value, whatever error of 0 (-inf) is beside it."""
    return np.inf if np.isposinf(values).any() else float(values.mean())


def differences(
    runs: Runs, against: Mapping[Variant, Variant], diverged: Mapping[Variant, int]
) -> list[Difference]:
    """The difference of each variant from its baseline in the test metric.

    The p of all differences in one metric are corrected together.

    Args:
        runs: of each variant those that succeeded.
        against: the baseline of each variant, see `baselines.compared_with`.
        diverged: how many runs of a variant diverged. Those that succeeded are a favorable choice
            of them, so no conclusion is drawn if there are any.
    """
    found = []
    for variant, group in runs.items():
        other = against.get(variant)
        if other is None or other not in runs:
            continue
        if metric_of(group).key == metric_of(runs[other]).key:
            found.append(_difference(variant, other, runs, diverged))
    corrected: dict[Variant, float] = {}
    for key in {each.metric.key for each in found}:
        together = [each for each in found if each.metric.key == key]
        p = holm([each.interval.p for each in together])
        corrected |= {each.variant: p for each, p in zip(together, p, strict=True)}
    return [replace(each, p=corrected[each.variant]) for each in found]


def _difference(
    variant: Variant, baseline: Variant, runs: Runs, diverged: Mapping[Variant, int]
) -> Difference:
    metric = metric_of(runs[variant])
    these, those = (on_scale(metric, results(runs[each])) for each in (variant, baseline))
    interval, why_not = Interval(np.nan), why_not_finite(these, those)
    if why_not is None:
        interval = welch(these, those)
        why_not = why_no_conclusion(
            these, those, diverged.get(variant, 0), diverged.get(baseline, 0)
        )
    return Difference(variant, baseline, metric, len(these), len(those), interval, why_not=why_not)


def why_not_finite(*groups: Values) -> str | None:
    """Why values on the scale of a metric have no mean, for people; None if they have one."""
    values = np.concatenate(groups)
    if np.isfinite(values).all():
        return None
    infinite = int(np.sum(values == np.inf))
    return f"{infinite} infinite" if infinite else "an error of 0 has no logarithm"


def why_no_conclusion(
    these: Values, those: Values, diverged: int = 0, diverged_there: int = 0
) -> str | None:
    """Why a test of two lists of values shows nothing, for people; None if it shows something."""
    if min(len(these), len(those)) < 2:
        return "fewer than 2 runs"
    if diverged or diverged_there:
        return f"{diverged} diverged" if diverged else f"{diverged_there} of the baseline diverged"
    if np.ptp(these) == np.ptp(those) == 0:
        return "no spread"
    return None


def p_text(p: float) -> str:
    """A p that claims no more than it is.

    >>> [p_text(p) for p in (0.0004, 0.004, 0.0096, 0.049, 0.0499, 0.73, float("nan"))]
    ['p < 0.001', 'p < 0.01', 'p < 0.01', 'p = 0.049', 'p < 0.05', 'p = 0.73', 'no test']
    """
    if np.isnan(p):
        return "no test"
    limit, rounded = _rounded(p)
    return f"p < {limit}" if limit else f"p = {rounded}"


def _rounded(p: float) -> tuple[float | None, str]:
    """The limit that a p is reported to be below, if there is one, and the p as a text."""
    rounded = f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
    below = [limit for limit in (0.001, 0.01) if p < limit]
    if p < LEVEL <= float(rounded):
        below.append(LEVEL)
    return (below[0] if below else None), rounded


def caption(metric: Metric) -> str:
    """What the columns of `table` mean."""
    scale = (
        f"Difference: variant minus baseline, of the mean test {metric.name} over the seeds."
        if not metric.by_ratio
        else f"Difference: variant minus baseline, of the mean log10 of the test {metric.name} "
        "over the seeds (its spread grows with its size); -1 is a tenth of the error."
    )
    return (
        f"{scale} Interval: Welch's t, each by itself. p: the same test, corrected for all "
        f"comparisons of the sweep in this metric (Holm); below {LEVEL} the difference is "
        "significant. An interval that excludes 0 next to a larger p may be due to the number of "
        "comparisons. Seeds decide initial weights and the order of examples; the test examples "
        "are the same for all."
    )


def table(found: Sequence[Difference]) -> Table:
    """The differences in one metric, baseline by baseline, the best first."""
    groups = list(dict.fromkeys(each.baseline for each in found))
    ordered = sorted(best_first(found), key=lambda each: groups.index(each.baseline))
    metric = ordered[0].metric
    name = f"log10 {metric.name}" if metric.by_ratio else metric.name
    return {
        Heading("variant", "variant"): [each.variant.name for each in ordered],
        Heading("baseline", "baseline"): [each.baseline.name for each in ordered],
        Heading("runs", "runs"): [f"{each.runs} : {each.baseline_runs}" for each in ordered],
        Heading("difference", f"difference in\n{name}"): [
            _number(each.interval.value) for each in ordered
        ],
        Heading("interval", "95% interval"): [_range(each.interval) for each in ordered],
        Heading("p", "p (Holm)"): [_p_cell(each.p) for each in ordered],
        Heading("outcome", "outcome"): [each.outcome for each in ordered],
    }


def best_first(found: Sequence[Difference]) -> list[Difference]:
    """The differences in one metric, those without a number last."""
    return sorted(found, key=_merit, reverse=True)


def _merit(difference: Difference) -> float:
    merit = difference.metric.merit(difference.interval.value)
    return -np.inf if np.isnan(merit) else merit


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f}"


def _range(interval: Interval) -> str:
    if np.isnan(interval.low):
        return ""
    return f"{_number(interval.low)} to {_number(interval.high)}"


def _p_cell(p: float) -> str:
    if np.isnan(p):
        return ""
    limit, rounded = _rounded(p)
    return f"< {limit}" if limit else rounded
