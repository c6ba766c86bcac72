"""What a sweep found, in a few sentences that say no more than its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments import flow_comparison
from experiments.statistics import (
    LEVEL,
    Difference,
    Runs,
    holm,
    metric_of,
    on_scale,
    p_text,
    ratio,
    results,
    welch,
    why_no_conclusion,
)
from experiments.sweep import parts

_FEWEST = 3
"""Seeds below which nothing is concluded."""
_MANY = 3
"""Variants of a baseline from which on they are listed by outcome."""
_OUTCOMES = {
    "better": "significantly better",
    "worse": "significantly worse",
    "not significant": "no difference was shown for",
}


@dataclass(frozen=True)
class _Field:
    """Variants that can be held against one another.

    Attributes:
        where: what they have in common, "T=50: "; empty where all variants are in it.
        runs: of each variant, those that ended well.
        failed: how many runs of each variant failed.
    """

    where: str
    runs: Runs
    failed: Mapping[str, int]


def verdict(
    runs: Runs,
    differences: Sequence[Difference],
    failed: Mapping[str, int],
    diverged: Mapping[str, int],
    *,
    baselines: Sequence[str] = (),
    quick: bool = False,
) -> list[str]:
    """The sentences, the most important first.

    Args:
        runs: of each variant those that ended well.
        differences: of the variants from their baselines.
        failed: how many runs of each variant failed, however they did.
        diverged: how many of them because their gradients exploded.
        baselines: as the experiment names them.
        quick: whether the budget was.
    """
    broken = _failures(runs, failed, diverged)
    names = {**runs, **failed}
    seeds = max((len(runs.get(name, [])) + failed.get(name, 0) for name in names), default=0)
    if quick:
        return ["Nothing can be concluded from budget=quick.", *broken]
    if seeds < _FEWEST:
        least = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
        return [
            f"Nothing can be concluded from {least} a variant; {_FEWEST} are the least.",
            *broken,
        ]
    said = []
    for field in _fields(runs, failed, baselines):
        said += [*_best(field, differences), *_variants(field, differences)]
        said += [*_learnt(field), *_memories(field)]
    return said + broken


def _fields(runs: Runs, failed: Mapping[str, int], baselines: Sequence[str]) -> list[_Field]:
    """Variants of one metric that differ in what a baseline names, or else in their unit."""
    compared = {key for each in baselines for key in parts(each)} or {"cell"}
    if not baselines and len({parts(name)["cell"] for name in runs}) == 1:
        compared = {key for name in runs for key in parts(name)}
    groups = {}
    for name, group in runs.items():
        rest = " ".join(f"{k}={v}" for k, v in parts(name).items() if k not in compared)
        groups.setdefault((rest, metric_of(group).key), {})[name] = group
    return [
        _Field(f"{rest or metric}: " if len(groups) > 1 else "", group, failed)
        for (rest, metric), group in groups.items()
    ]


def _best(field: _Field, differences: Sequence[Difference]) -> list[str]:
    """Who does best, and whether it differs from the next and from the baseline."""
    if len(field.runs) < 2:
        return []
    metric = metric_of(next(iter(field.runs.values())))
    values = {name: on_scale(metric, results(group)) for name, group in field.runs.items()}
    ranked = sorted(values, key=lambda name: -metric.merit(values[name].mean()))
    best, others = ranked[0], ranked[1:]
    # The best was chosen by its result, so its p is corrected for all whom it might have beaten.
    by_holm = holm([_p(field, values, best, other) for other in others])
    found = values[best].mean() if metric.higher_is_better else 10 ** values[best].mean()
    mean = "mean" if metric.higher_is_better else "geometric mean"
    what = f"{mean} of the test {metric.name} {metric.text(found)}"
    said = [
        f"{field.where}{best} does best ({what}); "
        + _compared("the next", others[0], by_holm[0], _why_not(field, values, best, others[0]))
    ]
    for each in differences:
        if each.variant == best and each.baseline != others[0]:
            why_not = each.why_not or _too_few(field, best, each.baseline)
            said.append(_compared("the baseline", each.baseline, each.p, why_not))
        if each.baseline == best:
            said.append("it is the baseline")
            break
    return ["; ".join(said) + "."]


def _variants(field: _Field, differences: Sequence[Difference]) -> list[str]:
    """Of many variants of one baseline, which are better, which worse, and which are open."""
    by_baseline = {}
    for each in differences:
        if each.variant in field.runs:
            by_baseline.setdefault(each.baseline, []).append(each)
    said = []
    for baseline, group in by_baseline.items():
        if len(group) < _MANY:
            continue
        outcomes = {}
        for each in group:
            outcomes.setdefault(each.flag, []).append(each)
        listed = "; ".join(
            f"{_OUTCOMES.get(flag, flag)}: {', '.join(each.variant for each in those)}"
            + (f" ({p_text(max(each.p for each in those))})" if flag in ("better", "worse") else "")
            for flag, those in outcomes.items()
        )
        said.append(f"{field.where}Against {baseline}: {listed}.")
    return said


def _compared(role: str, name: str, p: float, why_not: str) -> str:
    if why_not:
        return f"whether it differs from {role}, {name}, is open ({why_not})"
    if p < LEVEL:
        return f"it is significantly better than {role}, {name} ({p_text(p)})"
    return f"it does not differ significantly from {role}, {name} ({p_text(p)})"


def _p(field: _Field, values: Mapping[str, np.ndarray], one: str, other: str) -> float:
    if _why_not(field, values, one, other):
        return np.nan
    return welch(values[one], values[other]).p


def _why_not(field: _Field, values: Mapping[str, np.ndarray], one: str, other: str) -> str:
    if not np.isfinite([*values[one], *values[other]]).all():
        return "an error of 0 has no logarithm"
    failed = field.failed.get(one, 0) + field.failed.get(other, 0)
    return _too_few(field, one, other) or why_no_conclusion(values[one], values[other], failed)


def _too_few(field: _Field, *names: str) -> str:
    few = any(len(field.runs[name]) < _FEWEST for name in names)
    return f"fewer than {_FEWEST} runs ended well" if few else ""


def _learnt(field: _Field) -> list[str]:
    """Who learnt the task in all seeds, in some and in none; a run that failed did not."""
    metric = metric_of(next(iter(field.runs.values())))
    if metric.learnt is None:
        return []
    learnt = {
        name: sum(metric.is_learnt(value) for value in results(group))
        for name, group in field.runs.items()
    }
    tried = {name: len(group) + field.failed.get(name, 0) for name, group in field.runs.items()}
    groups = {
        "in all seeds by": [name for name in learnt if learnt[name] == tried[name]],
        "in some by": [
            f"{name} ({learnt[name]} of {tried[name]})"
            for name in learnt
            if 0 < learnt[name] < tried[name]
        ],
        "in none by": [name for name in learnt if not learnt[name]],
    }
    side = "or more" if metric.higher_is_better else "or less"
    listed = "; ".join(f"{how} {', '.join(who)}" for how, who in groups.items() if who)
    return [f"{field.where}learnt (test {metric.name} {metric.learnt_text} {side}) {listed}."]


def _memories(field: _Field) -> list[str]:
    """How many times as far back the gradient of one extreme unit reaches as that of the other."""
    followed = flow_comparison.followed(field.runs)
    memory = {name: flow_comparison.memories(group) for name, group in followed.items()}
    memory = {name: steps for name, steps in memory.items() if np.all(steps > 0)}
    if len(memory) < 2 or len({tuple(steps) for steps in memory.values()}) < 2:
        return []
    means = {name: float(np.exp(np.log(steps).mean())) for name, steps in memory.items()}
    *_, longest = ranked = sorted(means, key=means.get)
    shortest = ranked[0]
    longer = {name: flow_comparison.longer(followed[name]).any() for name in (longest, shortest)}
    reach = f"{means[shortest]:.0f} steps ({shortest})"
    if longer[shortest]:
        return [f"{field.where}every gradient reaches back further than was measured in some run."]
    found = ratio(memory[longest], memory[shortest])
    pairs = len(memory) * (len(memory) - 1) // 2
    p = min(1.0, found.p * pairs)  # The extremes of so many, chosen by their result.
    beyond = "at least " if longer[longest] else ""
    why_not = _why_not(field, {name: np.log(steps) for name, steps in memory.items()}, *longer)
    if why_not or not p < LEVEL:
        return [
            f"{field.where}effective memories go from {reach} to {beyond}{means[longest]:.0f} "
            f"({longest}); whether these differ is open ({why_not or p_text(p)})."
        ]
    within = "" if beyond else f", 95% interval {found.low:.1f} to {found.high:.1f}"
    among = f" as the extremes of {len(memory)}" if pairs > 1 else ""
    return [
        f"{field.where}{longest} holds a gradient over {beyond}{found.value:.1f} times as many "
        f"steps as {shortest} ({beyond}{means[longest]:.0f} against {means[shortest]:.0f}{within}; "
        f"{p_text(p)}{among})."
    ]


def _failures(runs: Runs, failed: Mapping[str, int], diverged: Mapping[str, int]) -> list[str]:
    if not any(failed.values()):
        return []
    started = {name: len(runs.get(name, [])) + failed.get(name, 0) for name in {**runs, **failed}}
    each = ", ".join(f"{name} ({n} of {started[name]})" for name, n in failed.items() if n)
    exploded = sum(diverged.values())
    why = f", {exploded} of them by gradients that exploded" if exploded else ""
    return [f"{sum(failed.values())} of {sum(started.values())} runs failed{why}: {each}."]
