"""The stage before a comparison that finds each variant's own value of one key.

No variant is judged at the optimum of another: every variant is trained with each value of the key,
on seeds that the comparison does not use, and gets the value that is best on validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.comparison.extremes import listed
from unrolled.comparison.runs import has_diverged, is_search, metric_of, variant_of
from unrolled.comparison.sections import Heading, Table
from unrolled.comparison.variants import Variant, short
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import RunRecord


@dataclass(frozen=True)
class Trial:
    """One variant with one value of the key.

    Attributes:
        value: of the key.
        mean: over the runs that succeeded, of each one's best metric on validation; NaN if none
            did.
        loss: the same mean of the loss on validation at these epochs.
        metric: of the task; None where no run succeeded.
        runs: how many succeeded.
        failed: how many did not.
    """

    value: Any
    mean: float
    loss: float
    metric: Metric | None
    runs: int
    failed: int


@dataclass(frozen=True)
class Choice:
    """The value that a variant gets.

    Attributes:
        variant: the variant.
        trials: one for each value, in the order of the values.
        value: the best; None if every run failed, so that the variant gets what it had.
    """

    variant: Variant
    trials: list[Trial]
    value: Any

    @property
    def at_the_edge(self) -> bool:
        """Whether no value was tried beyond the best, so that a better one may lie there."""
        tried = [trial.value for trial in self.trials]
        if not all(isinstance(value, int | float) for value in tried):
            return False
        return self.value in (min(tried), max(tried))


def choices(runs: Sequence[RunRecord], key: str, values: Sequence[Any]) -> list[Choice]:
    """The choice that the runs of this stage make for each variant.

    Best is the highest mean merit over the seeds; ties, as of accuracies of 1, are broken by the
    lowest mean loss. A run that failed counts as worst: a value with fewer failed runs is better,
    whatever the others of its runs reached. A run that was stopped does not count.
    """
    grouped: dict[Variant, dict[str, list[RunRecord]]] = {}
    for run in filter(is_search, runs):
        if run.status == "FINISHED" or has_diverged(run):
            grouped.setdefault(variant_of(run), {}).setdefault(run.params[key], []).append(run)
    return [_choice(variant, by_value, values) for variant, by_value in grouped.items()]


def _choice(
    variant: Variant, by_value: Mapping[str, Sequence[RunRecord]], values: Sequence[Any]
) -> Choice:
    # MLflow stores the value of a parameter as a text.
    trials = [_trial(value, by_value[str(value)]) for value in values if str(value) in by_value]
    usable = [trial for trial in trials if trial.runs]
    best = max(usable, key=_worth, default=None)
    return Choice(variant, trials, best.value if best else None)


def _worth(trial: Trial) -> tuple[float, ...]:
    assert trial.metric is not None  # It has runs that succeeded.
    return -trial.failed, trial.metric.merit(trial.mean), -trial.loss


def _trial(value: Any, runs: Sequence[RunRecord]) -> Trial:
    good = [run for run in runs if run.status == "FINISHED" and run.report]
    if not good:
        return Trial(value, np.nan, np.nan, None, 0, len(runs))
    metric = metric_of(good)
    mean, loss = np.mean([_best_epoch(run, metric) for run in good], axis=0)
    return Trial(value, float(mean), float(loss), metric, len(good), len(runs) - len(good))


def _best_epoch(run: RunRecord, metric: Metric) -> tuple[float, float]:
    """Metric and loss on validation at the best epoch, whose model the run stores."""
    curves = (run.series[f"validation/{name}"] for name in (metric.key, "loss"))
    epochs = [tuple(value for _, value in points) for points in zip(*curves, strict=True)]
    return max(epochs, key=lambda values: (metric.merit(values[0]), -values[1]))


def chosen(found: Sequence[Choice]) -> list[tuple[dict[str, Any], Any]]:
    """The settings of each variant that has a best value, and that value."""
    return [(dict(each.variant.settings), each.value) for each in found if each.value is not None]


def table(found: Sequence[Choice], key: str) -> Table:
    """Every mean, and the value that each variant gets."""
    values = dict.fromkeys(trial.value for choice in found for trial in choice.trials)
    columns = {Heading("variant", "variant"): [choice.variant.name for choice in found]}
    for value in values:
        cells = [{t.value: _cell(t) for t in choice.trials}.get(value, "") for choice in found]
        columns[Heading("value", f"{short(key)}={value}", str(value))] = cells
    columns[Heading("chosen", "chosen")] = [
        "its own: all failed" if choice.value is None else str(choice.value) for choice in found
    ]
    return columns


def _cell(trial: Trial) -> str:
    failed = f"{trial.failed} failed" if trial.failed else ""
    mean = trial.metric.text(trial.mean) if trial.metric else ""
    return ", ".join(part for part in (mean, failed) if part)


def best_first(found: Sequence[Choice]) -> list[Choice]:
    """The choices by the result of the best value, those without one last."""

    def worth(choice: Choice) -> tuple[float, ...]:
        return max((_worth(trial) for trial in choice.trials if trial.runs), default=())

    return sorted(found, key=worth, reverse=True)


def sentences(found: Sequence[Choice], key: str, seeds: int, most: int | None = None) -> list[str]:
    """Warnings about a search.

    Args:
        found: the choices.
        key: whose value was searched.
        seeds: with how many every value was to be tried.
        most: how many names a sentence lists; None for all.
    """
    said = []
    values = {trial.value for choice in found for trial in choice.trials}
    cut = [
        choice.variant.name
        for choice in found
        if sum(trial.runs + trial.failed for trial in choice.trials) < seeds * len(values)
    ]
    if cut:
        said.append(f"The search was stopped before its end for {listed(cut, most)}.")
    at_edge = [f"{choice.variant} ({choice.value})" for choice in found if choice.at_the_edge]
    if at_edge:
        said.append(
            f"The best {key} is the lowest or the highest tried for {listed(at_edge, most)}: a "
            "better one may lie beyond it."
        )
    return said


def caption(found: Sequence[Choice], key: str) -> str:
    """What the columns of `table` mean."""
    metric = next((t.metric for choice in found for t in choice.trials if t.metric), None)
    name = metric.name if metric else "metric"
    ties = "" if metric is None or metric.is_loss else " (ties are broken by the lowest loss)"
    return (
        f"Mean over the seeds of each run's best {name} on validation. Chosen: the best {key}"
        f"{ties}, with which the runs of the comparison were trained, on other seeds. A run that "
        "failed counts as worst."
    )


def as_columns(found: Sequence[Choice], key: str) -> dict[str, list]:
    """All means in full, one row per variant and value; null where there is none."""
    rows = [
        {
            "variant": choice.variant.name,
            "key": key,
            "value": trial.value,
            "mean": None if np.isnan(trial.mean) else trial.mean,
            "runs": trial.runs,
            "failed": trial.failed,
            "kept": trial.value == choice.value,
            "at_the_edge": trial.value == choice.value and choice.at_the_edge,
        }
        for choice in found
        for trial in choice.trials
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}
