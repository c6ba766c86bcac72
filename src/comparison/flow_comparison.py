"""The gradient flow of a sweep's variants, side by side.

The forward direction of the first recurrent layer is compared, whose gradient passes through all
layers above. The state is the memory cell c if the unit has one, else the activation a.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unrolled.comparison import flow_figures
from unrolled.comparison.runs import Runs, report_of, results
from unrolled.comparison.sections import Heading, Table
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import RunRecord

_MEMORY = Heading("memory", "memory (steps)")
_CAPTION = (
    "Memory: of the trained model, the lag at which the gradient with respect to c⟨t⟩ (a⟨t⟩ for a "
    "basic RNN) falls below 1% of its peak; ≥: in some run further back than was measured."
)


def followed(runs: Runs) -> Runs:
    """The runs whose gradient flow was measured."""
    found = {each: [run for run in group if _has_diagnosis(run)] for each, group in runs.items()}
    return {each: group for each, group in found.items() if group}


def memories(runs: Sequence[RunRecord]) -> np.ndarray:
    """The effective memory of each run's stored model, in steps."""
    return np.array([_kept(run)["memory"] for run in runs], float)


def longer(runs: Sequence[RunRecord]) -> np.ndarray:
    """For each run, whether the effective memory is longer than could be measured."""
    return np.array([_kept(run)["memory_is_longer"] for run in runs], bool)


def columns(runs: Sequence[RunRecord]) -> dict[Heading, str]:
    """The cells of one variant in a table; none where its gradient flow was not measured."""
    runs = [run for run in runs if _has_diagnosis(run)]
    if not runs:
        return {}
    steps = memories(runs)
    spread = f" ± {steps.std(ddof=1):.0f}" if len(steps) > 1 else ""
    beyond = "≥ " if longer(runs).any() else ""
    return {_MEMORY: f"{beyond}{steps.mean():.0f}{spread}"}


def caption(table: Table) -> str:
    """What these columns of a table mean; empty if it has none of them."""
    return _CAPTION if _MEMORY in table else ""


def pictures(runs: Runs, metric: Metric, heading: str) -> dict[str, Figure]:
    """Lag curves before and after training, heat maps through it, success by memory, half-lives.

    Args:
        runs: of variants of one metric; those without measurements are left out.
        metric: of the task.
        heading: below each title.
    """
    runs = followed(runs)
    if not runs:
        return {}
    answer = "the loss at the last answer" if _loss(runs) == "late" else "the task's loss"
    drawn = {
        f"gradient_flow_{when}_training": flow_figures.lag_curves(
            {each.name: _by_lag(group, when) for each, group in runs.items()},
            f"How far back the gradient of {answer} reaches, {when} training\n{heading}",
        )
        for when in ("before", "after")
    }
    drawn["gradient_flow_through_training"] = flow_figures.flow_through_training(
        {each.name: _map(group) for each, group in runs.items()},
        f"How far back the gradient of {answer} reaches, through training\n{heading}",
    )
    drawn["success_by_memory"] = flow_figures.success_by_memory(
        {
            each.name: (memories(group), np.array(results(group)), longer(group))
            for each, group in runs.items()
        },
        f"Success and effective memory, one dot per run\n{heading}",
        metric,
    )
    half_lives = {each.name: _half_lives(group) for each, group in runs.items()}
    if any(half_lives.values()):
        drawn["half_life_by_gates"] = flow_figures.half_life_by_gates(
            half_lives,
            f"Does the gradient decay as the gates imply? One dot per run\n{heading}",
        )
    return drawn


def _half_lives(runs: Sequence[RunRecord]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Before and after training, the half-lives that the gates imply and those measured.

    Empty for a unit without gates.
    """
    if not _diagnosis(runs[0])["kept"]["gates"]:
        return {}
    pairs: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
    for run in runs:
        found = _diagnosis(run)
        for when, at in (("before", found["measured"][0]), ("after", found["kept"])):
            # The gradient flows through the units that hold it longest, not through the median one.
            *_, slowest = at["gates"][0]["time_constants"]
            pairs[when].append((np.log(2) * slowest, _memory(at)["half_life"]))
    arrays = {when: np.array(values, float).T for when, values in pairs.items()}
    return {when: (implied, measured) for when, (implied, measured) in arrays.items()}


def _has_diagnosis(run: RunRecord) -> bool:
    return bool((run.report or {}).get("diagnosis"))


def _diagnosis(run: RunRecord) -> dict[str, Any]:
    return report_of(run)["diagnosis"]


def _kept(run: RunRecord) -> dict:
    return _memory(_diagnosis(run)["kept"])


def _memory(found: dict) -> dict:
    """The flow that is compared, see above; of two losses the one at the last answer."""
    flows = found["flows"]
    layer = flows[0]["layer"]
    flows = [flow for flow in flows if flow["layer"] == layer]
    wanted = {"loss": "late", "direction": "forward", "state": "c"}  # In the order of importance.
    return min(flows, key=lambda flow: [flow[key] != value for key, value in wanted.items()])


def _loss(runs: Runs) -> str:
    return _kept(next(iter(runs.values()))[0])["loss"]


def _relative(flow: dict) -> dict[int, float]:
    """log10 of the norm at each lag, relative to lag 0; lags without a gradient are left out."""
    by_lag = dict(zip(flow["lags"], flow["log10_mean"], strict=True))
    at_answer = by_lag.get(0, np.nan)
    return {lag: norm - at_answer for lag, norm in by_lag.items() if np.isfinite(norm - at_answer)}


def _by_lag(runs: Sequence[RunRecord], when: str) -> dict[int, np.ndarray]:
    found = [_diagnosis(run) for run in runs]
    of_runs = [
        _relative(_memory(each["measured"][0] if when == "before" else each["kept"]))
        for each in found
    ]
    lags = set().union(*of_runs)
    return {lag: np.array([run[lag] for run in of_runs if lag in run]) for lag in lags}


def _map(runs: Sequence[RunRecord]) -> tuple[list[int], list[int], np.ndarray]:
    """Training steps, lags, and the mean over the runs at each of them."""
    by_step: dict[int, list[dict[int, float]]] = {}
    for run in runs:
        for found in _diagnosis(run)["measured"]:
            by_step.setdefault(found["step"], []).append(_relative(_memory(found)))
    steps = sorted(by_step)
    lags = sorted(set().union(*(run for group in by_step.values() for run in group)))
    values = [[_mean(group, lag) for lag in lags] for group in (by_step[step] for step in steps)]
    return steps, lags, np.array(values)


def _mean(of_runs: Sequence[dict[int, float]], lag: int) -> float:
    there = [run[lag] for run in of_runs if lag in run]
    return float(np.mean(there)) if there else np.nan
