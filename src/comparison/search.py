"""The stage before a comparison that finds each variant's own value of one key.

No variant is judged at another's optimum: every variant is trained with each value of the key, on
seeds of its own, and keeps the one that does best on validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.comparison.significance import failed_by_itself
from unrolled.comparison.variants import STAGE
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import RunRecord


@dataclass(frozen=True)
class Trial:
    """One variant with one value of the key.

    Attributes:
        value: of the key.
        mean: over the runs that ended well, of each one's best metric on validation; NaN if none
            did.
        loss: the same mean of the loss on validation at these epochs.
        metric: of the task; None where no run ended well.
        runs: how many ended well.
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
    """The value that a variant keeps.

    Attributes:
        variant: its name.
        trials: one a value, in the order of the values.
        value: the best; None where every run failed, and the variant keeps what it had.
    """

    variant: str
    trials: list[Trial]
    value: Any

    @property
    def at_the_edge(self) -> bool:
        """Whether no value was tried beyond the best, so that a better one may lie there."""
        tried = [trial.value for trial in self.trials]
        if not all(isinstance(value, int | float) for value in tried):
            return False
        return self.value in (min(tried), max(tried))


def is_search(run: RunRecord) -> bool:
    """Whether a run is one of this stage."""
    return run.tags.get("stage") == STAGE


def choices(runs: Sequence[RunRecord], key: str, values: Sequence[Any]) -> list[Choice]:
    """What the runs of this stage say, a choice a variant.

    Best is the highest mean merit over the seeds, of equals the one of the lowest mean loss, as of
    accuracies of 1. A run that failed counts as worst: a value with
    fewer of them goes first, whatever the others of its runs reached. One that was stopped does not
    count.
    """
    grouped = {}
    for run in filter(is_search, runs):
        if run.status != "FINISHED" and not failed_by_itself(run):
            continue
        grouped.setdefault(run.tags["variant"], {}).setdefault(run.params[key], []).append(run)
    return [_choice(variant, by_value, values) for variant, by_value in grouped.items()]


def _choice(
    variant: str, by_value: Mapping[str, Sequence[RunRecord]], values: Sequence[Any]
) -> Choice:
    trials = [_trial(value, by_value[str(value)]) for value in values if str(value) in by_value]
    usable = [trial for trial in trials if trial.runs]
    best = max(usable, key=_worth, default=None)
    return Choice(variant, trials, best.value if best else None)


def _worth(trial: Trial) -> tuple[float, ...]:
    return -trial.failed, trial.metric.merit(trial.mean), -trial.loss


def _trial(value: Any, runs: Sequence[RunRecord]) -> Trial:
    good = [run for run in runs if run.status == "FINISHED" and run.report]
    if not good:
        return Trial(value, np.nan, np.nan, None, 0, len(runs))
    metric = Metric(**good[0].report["metric"])
    mean, loss = np.mean([_best_epoch(run, metric) for run in good], axis=0)
    return Trial(value, float(mean), float(loss), metric, len(good), len(runs) - len(good))


def _best_epoch(run: RunRecord, metric: Metric) -> tuple[float, float]:
    """Metric and loss on validation at the epoch whose model is kept."""
    curves = (run.series[f"validation/{name}"] for name in (metric.key, "loss"))
    epochs = [tuple(value for _, value in points) for points in zip(*curves, strict=True)]
    return max(epochs, key=lambda values: (metric.merit(values[0]), -values[1]))


def chosen(found: Sequence[Choice]) -> dict[str, Any]:
    """The value of each variant that has one."""
    return {choice.variant: choice.value for choice in found if choice.value is not None}


def table(found: Sequence[Choice], key: str) -> dict[str, list[str]]:
    """Every mean, column by column, and the value that each variant keeps."""
    values = dict.fromkeys(trial.value for choice in found for trial in choice.trials)
    short = key.rpartition(".")[2]
    columns = {"variant": [choice.variant for choice in found]}
    for value in values:
        cells = [{t.value: _cell(t) for t in choice.trials}.get(value, "") for choice in found]
        columns[f"{short}={value}"] = cells
    columns["kept"] = [
        "its own: all failed" if choice.value is None else str(choice.value) for choice in found
    ]
    return columns


def _cell(trial: Trial) -> str:
    failed = f"{trial.failed} failed" if trial.failed else ""
    mean = trial.metric.text(trial.mean) if trial.metric else ""
    return ", ".join(part for part in (mean, failed) if part)


def sentences(found: Sequence[Choice], key: str, seeds: int) -> list[str]:
    """What to beware of, where every value was to be tried with so many seeds."""
    said = []
    values = {trial.value for choice in found for trial in choice.trials}
    cut = [
        choice.variant
        for choice in found
        if sum(trial.runs + trial.failed for trial in choice.trials) < seeds * len(values)
    ]
    if cut:
        said.append(f"The search was stopped before its end for {', '.join(cut)}.")
    at_edge = [f"{choice.variant} ({choice.value})" for choice in found if choice.at_the_edge]
    if at_edge:
        said.append(
            f"The best {key} is the lowest or the highest tried for {', '.join(at_edge)}: a better "
            "one may lie beyond it."
        )
    return said


def caption(found: Sequence[Choice], key: str) -> str:
    """What the columns of `table` mean."""
    metric = next((t.metric for choice in found for t in choice.trials if t.metric), None)
    name = metric.name if metric else "metric"
    of_equals = "" if metric is None or metric.is_loss else " (of equals, the one of lowest loss)"
    return (
        f"Mean over the seeds of each run's best {name} on validation; kept is the best {key}"
        f"{of_equals}, with which the runs compared were made, on other seeds. A run that failed "
        "counts as worst."
    )


def as_columns(found: Sequence[Choice], key: str) -> dict[str, list]:
    """All means in full, a row a variant and value; null where there is none."""
    rows = [
        {
            "variant": choice.variant,
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
