"""How sure a difference is: tests over the seeds of a sweep's variants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from unrolled.tasks.base.metric import Metric
from unrolled.tracking import RunRecord

Runs = Mapping[str, Sequence[RunRecord]]
"""The runs of each variant that ended well."""

LEVEL = 0.05
"""A corrected p below it counts as significant; intervals hold 1 - LEVEL."""


@dataclass(frozen=True)
class Interval:
    """A difference of two means by Welch's t-test (Welch 1947): variances may differ.

    Attributes:
        value: the mean of one minus that of the other.
        low, high: its interval at 95%; NaN where there is no test.
        p: probability of a difference as large were the means equal; NaN where there is no test.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan


@dataclass(frozen=True)
class Ratio:
    """How many times the one is the other, by geometric means.

    Attributes:
        value: the ratio.
        low, high: its interval at 95%; NaN where there is no test.
        p: of Welch's t-test on the logarithms; NaN where there is no test.
    """

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Difference:
    """How one variant's test metric differs from its baseline's.

    Attributes:
        variant, baseline: their names.
        metric: of the task. An error is compared by log10: its spread over the seeds grows with its
            size.
        runs, baseline_runs: how many of each were compared.
        interval: of variant minus baseline, in shares or units of the metric, or in powers of ten;
            its p is not corrected.
        p: corrected for the number of comparisons (Holm 1979); NaN where there is no test.
        why_not: why nothing is concluded; empty if something can be.
    """

    variant: str
    baseline: str
    metric: Metric
    runs: int
    baseline_runs: int
    interval: Interval
    p: float = np.nan
    why_not: str = ""

    @property
    def significant(self) -> bool:
        """Whether the two differ, as far as chance goes."""
        return not self.why_not and self.p < LEVEL

    @property
    def better(self) -> bool:
        """Whether the variant's mean is the better one, significantly or not."""
        return self.metric.merit(self.interval.value) > 0

    @property
    def flag(self) -> str:
        """The outcome in a word or two."""
        if self.why_not:
            return self.why_not
        if not self.significant:
            return "not significant"
        return "better" if self.better else "worse"


def welch(these: Sequence[float], those: Sequence[float]) -> Interval:
    """The difference of the means of two lists of values, one a run.

    Without two values in each, or without any spread in both, there is a difference but no test.
    """
    these, those = np.asarray(these, float), np.asarray(those, float)
    value = float(these.mean() - those.mean())
    if min(len(these), len(those)) < 2 or _spread(these) == _spread(those) == 0:
        return Interval(value)
    a, b = (values.var(ddof=1) / len(values) for values in (these, those))
    error = np.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (len(these) - 1) + b**2 / (len(those) - 1))
    half = error * stats.t.ppf(1 - LEVEL / 2, freedom)
    p = 2 * stats.t.sf(abs(value) / error, freedom)
    return Interval(value, float(value - half), float(value + half), float(p))


def _spread(values: np.ndarray) -> float:
    return float(np.ptp(values))


def ratio(these: Sequence[float], those: Sequence[float]) -> Ratio:
    """How many times `these` are `those`: steps of memory, half-lives, examples to learn.

    Args:
        these, those: a positive value a run each.

    Raises:
        ValueError: for a list that is empty, or a value that is not finite and above 0.
    """
    for values in (these, those):
        if not len(values) or not all(np.isfinite(value) and value > 0 for value in values):
            raise ValueError(
                f"expected finite values above 0, one a run, got {list(values)}. Leave out the "
                "runs that have none, and say so."
            )
    found = welch(np.log(these), np.log(those))
    return Ratio(*map(float, np.exp([found.value, found.low, found.high])), found.p)


def holm(p: Sequence[float]) -> list[float]:
    """Each p corrected for how many there are (Holm 1979); NaN is no test and counts for none."""
    corrected = [np.nan] * len(p)
    order = sorted((k for k in range(len(p)) if not np.isnan(p[k])), key=lambda k: p[k])
    least = 0.0
    for rank, k in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p[k]))
        corrected[k] = least
    return corrected


def on_scale(metric: Metric, values: Sequence[float]) -> np.ndarray:
    """Values of a metric as they are compared: log10 of an error.

    An error of 0 becomes -inf.
    """
    if not metric.by_ratio:
        return np.asarray(values, float)
    with np.errstate(divide="ignore"):
        return np.log10(values)


_ITS_OWN = ("DivergedError", "FloatingPointError")


def failed_by_itself(run: RunRecord) -> bool:
    """Whether a run failed because its unit did not train.

    That it was stopped or killed, or that the disk was full, says nothing of a unit.
    """
    return run.status == "FAILED" and is_its_own(run.tags.get("error", ""))


def is_its_own(error: str) -> bool:
    """Whether an error, its kind first, is the failure of a unit to train."""
    return error.startswith(_ITS_OWN)


def metric_of(runs: Sequence[RunRecord]) -> Metric:
    """By what the answers of a variant are judged."""
    return Metric(**runs[0].report["metric"])


def results(runs: Sequence[RunRecord]) -> list[float]:
    """The test metric of each run."""
    return [run.metrics[f"test/{metric_of(runs).key}"] for run in runs]


def differences(
    runs: Runs, against: Mapping[str, str], failed: Mapping[str, int]
) -> list[Difference]:
    """Each variant against its baseline, by the test metric, corrected for all of one metric.

    Args:
        runs: of each variant those that ended well.
        against: by variant the one it is compared with, see `baselines.compared_with`.
        failed: how many runs of a variant failed. Those that ended well are a favourable choice of
            them, so nothing is concluded where there are any.
    """
    found = []
    for name, group in runs.items():
        other = against.get(name)
        if other in runs and metric_of(group).key == metric_of(runs[other]).key:
            found.append(_difference(name, other, runs, failed))
    corrected = {}
    for key in {each.metric.key for each in found}:
        together = [each for each in found if each.metric.key == key]
        p = holm([each.interval.p for each in together])
        corrected |= {each.variant: p for each, p in zip(together, p, strict=True)}
    return [replace(each, p=corrected[each.variant]) for each in found]


def _difference(name: str, against: str, runs: Runs, failed: Mapping[str, int]) -> Difference:
    metric = metric_of(runs[name])
    these, those = (on_scale(metric, results(runs[each])) for each in (name, against))
    interval, why_not = Interval(np.nan), why_not_finite(these, those)
    if not why_not:
        interval = welch(these, those)
        why_not = why_no_conclusion(these, those, failed.get(name, 0), failed.get(against, 0))
    return Difference(name, against, metric, len(these), len(those), interval, why_not=why_not)


def why_not_finite(*groups: Sequence[float]) -> str:
    """Why values on the scale of a metric have no mean, in a few words; empty if they have."""
    values = np.concatenate(groups)
    if np.isfinite(values).all():
        return ""
    infinite = int(np.sum(values == np.inf))
    return f"{infinite} infinite" if infinite else "an error of 0 has no logarithm"


def why_no_conclusion(
    these: Sequence[float], those: Sequence[float], failed: int = 0, failed_there: int = 0
) -> str:
    """Why a test of two lists of values says nothing, in a few words; empty if it does."""
    if min(len(these), len(those)) < 2:
        return "fewer than 2 runs"
    if failed or failed_there:
        return f"{failed} failed" if failed else f"{failed_there} of the baseline failed"
    if np.ptp(these) == np.ptp(those) == 0:
        return "no spread"
    return ""


def p_text(p: float) -> str:
    """A p in words no stronger than it is.

    >>> [p_text(p) for p in (0.0004, 0.004, 0.0096, 0.049, 0.0499, 0.73, float("nan"))]
    ['p < 0.001', 'p < 0.01', 'p < 0.01', 'p = 0.049', 'p < 0.05', 'p = 0.73', 'no test']
    """
    if np.isnan(p):
        return "no test"
    for limit in (0.001, 0.01):
        if p < limit:
            return f"p < {limit}"
    rounded = f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
    return f"p < {LEVEL}" if p < LEVEL <= float(rounded) else f"p = {rounded}"


def caption(metric: Metric) -> str:
    """What the columns of `table` mean."""
    scale = (
        f"Difference: variant minus baseline, of the mean test {metric.name} over the seeds."
        if not metric.by_ratio
        else f"Difference: variant minus baseline, of the mean log10 of the test"
        f" {metric.name} over "
        "the seeds (its spread grows with its size); -1 is a tenth of the error."
    )
    return (
        f"{scale} Interval: Welch's t, each by itself. p: the same test, corrected for all "
        f"comparisons of this table (Holm); below {LEVEL} the difference is significant. An "
        "interval without 0 beside a larger p is chance among so many. Seeds decide initial "
        "weights and order of examples; the test's examples are the same for all."
    )


def table(found: Sequence[Difference]) -> dict[str, list[str]]:
    """The differences of one metric, baseline by baseline, best first, column by column."""
    groups = list(dict.fromkeys(each.baseline for each in found))
    ordered = sorted(found, key=lambda each: (groups.index(each.baseline), -_merit(each)))
    metric = ordered[0].metric
    name = f"log10 {metric.name}" if metric.by_ratio else metric.name
    return {
        "variant": [each.variant for each in ordered],
        "baseline": [each.baseline for each in ordered],
        "runs": [f"{each.runs} : {each.baseline_runs}" for each in ordered],
        f"difference in\n{name}": [_number(each.interval.value) for each in ordered],
        "95% interval": [
            ""
            if np.isnan(each.interval.low)
            else f"{_number(each.interval.low)} to {_number(each.interval.high)}"
            for each in ordered
        ],
        "p (Holm)": [
            "" if np.isnan(each.p) else p_text(each.p)[2:].removeprefix("= ") for each in ordered
        ],
        "outcome": [each.flag for each in ordered],
    }


def _merit(difference: Difference) -> float:
    merit = difference.metric.merit(difference.interval.value)
    return -np.inf if np.isnan(merit) else merit


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f}"
