"""The stage before a comparison that finds each variant's own value of one key.

No variant is judged at the optimum of another: every variant is trained with each value of the key,
on seeds that the comparison does not use, and gets the value that is best on validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrolled.comparison.extremes import listed
from unrolled.comparison.halving import Asked, Halving
from unrolled.comparison.runs import has_diverged, is_search, metric_of, variant_of
from unrolled.comparison.sections import Heading, Table
from unrolled.comparison.variants import Variant, short
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import RunRecord

_LOSS = "validation/loss"


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
        epochs: that all its runs were trained.
        round: the last round that it takes part in, from 0; 0 in a search without halving.
    """

    value: Any
    mean: float
    loss: float
    metric: Metric | None
    runs: int
    failed: int
    epochs: int = 0
    round: int = 0


@dataclass(frozen=True)
class Choice:
    """The value that a variant gets.

    Attributes:
        variant: the variant.
        trials: one for each value, in the order of the values.
        value: the best; None if every run failed, so that the variant gets what it had.
        is_complete: whether all runs of the search have ended.
    """

    variant: Variant
    trials: list[Trial]
    value: Any
    is_complete: bool = True

    @property
    def at_the_edge(self) -> bool:
        """Whether no value was tried beyond the best, so that a better one may lie there."""
        tried = [trial.value for trial in self.trials]
        if not all(isinstance(value, int | float) for value in tried):
            return False
        return self.value in (min(tried), max(tried))

    @property
    def runs(self) -> int:
        """How many runs were judged."""
        return sum(trial.runs + trial.failed for trial in self.trials)

    @property
    def epochs(self) -> int:
        """How many epochs all runs were trained: the budget that the search used."""
        return sum(trial.epochs for trial in self.trials)


_ByValue = Mapping[str, Sequence[RunRecord]]
"""The runs of one variant by the value of the key, as MLflow stores it: as a text."""


def choices(runs: Sequence[RunRecord], asked: Asked) -> list[Choice]:
    """The choice that the runs of this stage make for each variant.

    Best is the highest mean merit over the seeds; ties, as of accuracies of 1, are broken by the
    lowest mean loss. A run that failed counts as worst: a value with fewer failed runs is better,
    whatever the others of its runs reached. A run that was stopped by the user does not count.

    With halving, the values that go on to the next round are chosen in the same way, from the
    epochs up to the end of their round, so a choice does not depend on when the runs were trained.
    Of values with equally many failed runs, the best is among those of the latest round.
    """
    grouped: dict[Variant, dict[str, list[RunRecord]]] = {}
    for run in filter(is_search, runs):
        if asked.key in run.params:  # Else it was killed before it began.
            by_value = grouped.setdefault(variant_of(run), {})
            by_value.setdefault(run.params[asked.key], []).append(run)
    found = [_choice(variant, by_value, asked) for variant, by_value in grouped.items()]
    return [choice for choice in found if choice.runs]


def stopped(runs: Sequence[RunRecord], asked: Asked, number: int) -> list[RunRecord]:
    """The runs of the values that do not go on after a round, whose number counts from 0."""
    values = {
        (choice.variant, str(trial.value))
        for choice in choices(runs, asked)
        for trial in choice.trials
        if trial.round <= number
    }
    searched = filter(is_search, runs)
    return [run for run in searched if (variant_of(run), run.params.get(asked.key)) in values]


def _choice(variant: Variant, by_value: _ByValue, asked: Asked) -> Choice:
    trials, is_complete = _trials(by_value, asked)
    usable = [trial for trial in trials if trial.runs]
    best = max(usable, key=_worth, default=None)
    return Choice(variant, trials, best.value if best else None, is_complete)


def _trials(by_value: _ByValue, asked: Asked) -> tuple[list[Trial], bool]:
    """The trial of each value in the last round that it has completed, and whether all rounds are.

    A search without halving is one round, whose runs are trained to their end.
    """
    rungs = [None] if asked.halving is None else asked.halving.rungs
    left = [value for value in asked.values if str(value) in by_value]
    is_complete = len(left) == len(asked.values)
    found: dict[Any, Trial] = {}
    for number, rung in enumerate(rungs):
        now = {value: _trial(value, by_value[str(value)], rung, number) for value in left}
        is_complete &= all(each.runs + each.failed >= len(asked.seeds) for each in now.values())
        if found and not is_complete:
            now = {value: replace(found[value], round=number) for value in left}
        found |= now
        if asked.halving is None or not is_complete:
            break
        left = _going_on(now, asked.halving)
    return list(found.values()), is_complete


def _going_on(trials: Mapping[Any, Trial], halving: Halving) -> list[Any]:
    """The best values of a round, in the order of the values. Values without a result never go on.

    Ties are broken by the order of the values.
    """
    usable = [trial for trial in trials.values() if trial.runs]
    best = sorted(usable, key=_worth, reverse=True)[: halving.left(len(trials))]
    return [value for value, trial in trials.items() if trial in best]


def _worth(trial: Trial) -> tuple[float, ...]:
    assert trial.metric is not None  # It has runs that succeeded.
    return -trial.failed, trial.round, trial.metric.merit(trial.mean), -trial.loss


def _trial(value: Any, runs: Sequence[RunRecord], rung: int | None, number: int) -> Trial:
    """A value as its runs were after so many epochs, or at their end if that is None."""
    good = [run for run in runs if _succeeded(run, rung)]
    ended = (
        run for run in runs if has_diverged(run) or (rung is None and run.status == "FINISHED")
    )
    failed = sum(not _succeeded(run, rung) for run in ended)
    epochs = sum(map(_epochs, runs))
    if not good:
        return Trial(value, np.nan, np.nan, None, 0, failed, epochs, number)
    metric = metric_of(good)
    mean, loss = np.mean([_best_epoch(run, metric, rung) for run in good], axis=0)
    return Trial(value, float(mean), float(loss), metric, len(good), failed, epochs, number)


def _succeeded(run: RunRecord, rung: int | None) -> bool:
    """Whether a run has reached a rung, or its end if that is None."""
    if not run.report:
        return False
    return run.status == "FINISHED" if rung is None else _epochs(run) >= rung


def _epochs(run: RunRecord) -> int:
    """The epochs that a run was trained, without one in which it diverged."""
    return len(run.series.get(_LOSS, []))


def _best_epoch(run: RunRecord, metric: Metric, rung: int | None) -> tuple[float, float]:
    """Metric and loss on validation at the best epoch up to a rung, whose model the run stores."""
    curves = (run.series[name][:rung] for name in (f"validation/{metric.key}", _LOSS))
    epochs = [tuple(value for _, value in points) for points in zip(*curves, strict=True)]
    return max(epochs, key=lambda values: (metric.merit(values[0]), -values[1]))


def chosen(found: Sequence[Choice]) -> list[tuple[dict[str, Any], Any]]:
    """The settings of each variant that has a best value, and that value."""
    return [(dict(each.variant.settings), each.value) for each in found if each.value is not None]


def table(found: Sequence[Choice], asked: Asked) -> Table:
    """Every mean, the value that each variant gets, and the budget that its search used."""
    values = dict.fromkeys(trial.value for choice in found for trial in choice.trials)
    columns = {Heading("variant", "variant"): [choice.variant.name for choice in found]}
    for value in values:
        cells = [
            {t.value: _cell(t, asked.halving) for t in choice.trials}.get(value, "")
            for choice in found
        ]
        columns[Heading("value", f"{short(asked.key)}={value}", str(value))] = cells
    columns[Heading("chosen", "chosen")] = [
        "its own: all failed" if choice.value is None else str(choice.value) for choice in found
    ]
    columns[Heading("budget", "trained")] = [
        f"{choice.runs} runs, {choice.epochs} epochs" for choice in found
    ]
    return columns


def _cell(trial: Trial, halving: Halving | None) -> str:
    failed = f"{trial.failed} failed" if trial.failed else ""
    mean = trial.metric.text(trial.mean) if trial.metric else ""
    said = ", ".join(part for part in (mean, failed) if part)
    return said if halving is None else f"{said} ({trial.epochs})".lstrip()


def best_first(found: Sequence[Choice]) -> list[Choice]:
    """The choices by the result of the best value, those without one last."""

    def worth(choice: Choice) -> tuple[float, ...]:
        return max((_worth(trial) for trial in choice.trials if trial.runs), default=())

    return sorted(found, key=worth, reverse=True)


def sentences(found: Sequence[Choice], key: str, most: int | None = None) -> list[str]:
    """Warnings about a search.

    Args:
        found: the choices.
        key: whose value was searched.
        most: how many names a sentence lists; None for all.
    """
    said = []
    cut = [choice.variant.name for choice in found if not choice.is_complete]
    if cut:
        said.append(f"The search was stopped before its end for {listed(cut, most)}.")
    longest = max(choice.epochs for choice in found)
    shorter = [
        f"{choice.variant} ({choice.epochs} epochs)" for choice in found if choice.epochs < longest
    ]
    if shorter:
        said.append(
            f"The search had a smaller budget for {listed(shorter, most)} than for the others "
            f"({longest} epochs), because runs diverged or were stopped."
        )
    at_edge = [f"{choice.variant} ({choice.value})" for choice in found if choice.at_the_edge]
    if at_edge:
        said.append(
            f"The best {key} is the lowest or the highest tried for {listed(at_edge, most)}: a "
            "better one may lie beyond it."
        )
    return said


def caption(found: Sequence[Choice], asked: Asked) -> str:
    """What the columns of `table` mean, and the budget of the search."""
    metric = next((t.metric for choice in found for t in choice.trials if t.metric), None)
    name = metric.name if metric else "metric"
    ties = "" if metric is None or metric.is_loss else " (ties are broken by the lowest loss)"
    return (
        f"Mean over the seeds of each run's best {name} on validation. Chosen: the best {asked.key}"
        f"{ties}, with which the runs of the comparison were trained, on other seeds. A run that "
        f"failed counts as worst. {_halving_words(asked)}{_budget_words(found, asked)}"
    )


def _halving_words(asked: Asked) -> str:
    if asked.halving is None or not asked.halving.early:
        return ""
    early, last = " and ".join(map(str, asked.halving.early)), asked.halving.rungs[-1]
    return (
        f"After {early} of {last} epochs the best 1/{asked.halving.factor} of the "
        "values went on (rounded up), and the others were stopped. In brackets: the epochs that "
        "all runs of a value were trained. "
    )


def _budget_words(found: Sequence[Choice], asked: Asked) -> str:
    trained = sorted({choice.epochs for choice in found})
    each = f"for {trained[0]}" if len(trained) == 1 else f"for {trained[0]} to {trained[-1]}"
    whole = ""
    if asked.halving is not None:
        every = len(asked.values) * len(asked.seeds) * asked.halving.rungs[-1]
        whole = f" ({every} without halving)"
    return f"The search trained each variant {each} epochs in all{whole}."


def as_columns(found: Sequence[Choice], key: str) -> dict[str, list]:
    """All means in full, one row per variant and value; null where there is none.

    `epochs` counts those of all runs of the value, and `search_epochs` those of all its variant's.
    """
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
            "epochs": trial.epochs,
            "search_epochs": choice.epochs,
        }
        for choice in found
        for trial in choice.trials
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}
