"""What a sweep found, in a few sentences that say no more than its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.comparison import flow_comparison
from unrolled.comparison.significance import (
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
    why_not_finite,
)
from unrolled.comparison.variants import parts

_FEWEST = 3
"""Seeds below which nothing is concluded."""

_MOST = 4
"""Names above which a list of those who learnt gives way to their number."""


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
    broken = [*_infinite(runs), *_failures(runs, failed, diverged)]
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
        found = [each for each in differences if each.variant in field.runs]
        said += [*_best(field, found), *_against_baselines(field, found)]
        said += [*_learnt(field), *_memories(field)]
    return said + broken


def _fields(runs: Runs, failed: Mapping[str, int], baselines: Sequence[str]) -> list[_Field]:
    """Variants of one metric that differ in what the baselines name, or else in their unit."""
    compared = {key for name in baselines for key in parts(name)} or {"cell"}
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
    """Who does best, and whether it differs from the next."""
    if len(field.runs) < 2:
        return []
    metric = metric_of(next(iter(field.runs.values())))
    values = {name: on_scale(metric, results(group)) for name, group in field.runs.items()}
    ranked = sorted(values, key=lambda name: -metric.merit(_mean(values[name])))
    best, others = ranked[0], ranked[1:]
    # The best was chosen by its result, so its p is corrected for all whom it might have beaten.
    p = holm([_p(field, values, best, other) for other in others])[0]
    for each in differences:  # It may not say more than the table, which corrects for other pairs.
        if {each.variant, each.baseline} == set(ranked[:2]):
            p = max(p, each.p)
    found = 10 ** _mean(values[best]) if metric.by_ratio else _mean(values[best])
    mean = "geometric mean" if metric.by_ratio else "mean"
    what = f"{mean} of the test {metric.name} {metric.text(found)}"
    why_not = _why_not(field, values, best, others[0])
    said = f"{field.where}{best} does best ({what}); {_compared(others[0], p, why_not)}"
    plain = {each.baseline for each in differences}
    if best in plain:
        said += f"; it is {'the' if len(plain) == 1 else 'a'} baseline"
    return [f"{said}."]


def _mean(values: np.ndarray) -> float:
    """The mean; infinite with any infinite value, whatever error of 0 (-inf) is beside it."""
    return np.inf if np.isposinf(values).any() else float(values.mean())


def _compared(name: str, p: float, why_not: str) -> str:
    if why_not:
        return f"whether it differs from the next, {name}, is open ({why_not})"
    if p < LEVEL:
        return f"it is significantly better than the next, {name} ({p_text(p)})"
    return f"it does not differ significantly from the next, {name} ({p_text(p)})"


def _against_baselines(field: _Field, differences: Sequence[Difference]) -> list[str]:
    """A sentence or two for each baseline: who is worse, who better, and who was not told apart."""
    if len(field.runs) < 3:  # Of two all has been said.
        return []
    by_baseline = {}
    for each in differences:
        by_baseline.setdefault(each.baseline, []).append(each)
    return [_against(field, name, group) for name, group in by_baseline.items()]


def _against(field: _Field, baseline: str, differences: Sequence[Difference]) -> str:
    why_not = {
        each.variant: each.why_not or _too_few(field, each.variant, baseline)
        for each in differences
    }
    tested = [each for each in differences if not why_not[each.variant]]
    said = []
    for outcome in ("worse", "better"):
        group = [each for each in tested if each.flag == outcome]
        if group:
            said.append(f"significantly {outcome}: {_names(group)} ({_largest_p(group)})")
    alike = [each for each in tested if not each.significant]
    if alike:
        more = " more" if said else ""
        shown = f"{_names(alike)} ({_widest(alike)})"
        said.append(f"no difference was shown for {len(alike)}{more}: {shown}")
    untold = [f"{name} ({why})" for name, why in why_not.items() if why]
    if untold:
        said.append(f"open: {', '.join(untold)}")
    return f"{field.where}against the baseline {baseline}, {'; '.join(said)}."


def _names(differences: Sequence[Difference]) -> str:
    return ", ".join(each.variant for each in differences)


def _largest_p(differences: Sequence[Difference]) -> str:
    largest = p_text(max(each.p for each in differences))
    return largest if len(differences) == 1 else f"largest {largest}"


def _widest(differences: Sequence[Difference]) -> str:
    """What may be there yet where no difference was shown."""
    metric = differences[0].metric
    half = max((each.interval.high - each.interval.low) / 2 for each in differences)
    scale = f"log10 {metric.name}" if metric.by_ratio else metric.name
    widest = "95% interval" if len(differences) == 1 else "widest 95% interval"
    return f"{widest} ±{half:.2g} in {scale}"


def _p(field: _Field, values: Mapping[str, np.ndarray], one: str, other: str) -> float:
    if _why_not(field, values, one, other):
        return np.nan
    return welch(values[one], values[other]).p


def _why_not(field: _Field, values: Mapping[str, np.ndarray], one: str, other: str) -> str:
    failed = field.failed.get(one, 0) + field.failed.get(other, 0)
    return (
        why_not_finite(values[one], values[other])
        or _too_few(field, one, other)
        or why_no_conclusion(values[one], values[other], failed)
    )


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
    listed = _shortened({how: who for how, who in groups.items() if who})
    return [f"{field.where}learnt (test {metric.name} {metric.learnt_text} {side}) {listed}."]


def _shortened(groups: Mapping[str, Sequence[str]]) -> str:
    """Names by group; for many of one group stands their number, when all others are named."""
    largest = max(groups, key=lambda how: len(groups[how]))
    said = {how: ", ".join(who) for how, who in groups.items()}
    if len(groups[largest]) > _MOST and "some" not in largest:  # Of some it says in how many seeds.
        del said[largest]  # It goes last.
        said[largest] = f"{'the other' if said else 'all'} {len(groups[largest])}"
    return "; ".join(f"{how} {who}" for how, who in said.items())


def _memories(field: _Field) -> list[str]:
    """How many times as far back the gradient of one extreme unit reaches as that of the other."""
    followed = flow_comparison.followed(field.runs)
    memory = {name: flow_comparison.memories(group) for name, group in followed.items()}
    without = {name: int(np.sum(~(steps > 0))) for name, steps in memory.items()}
    left_out = [
        f"{name} ({n} of {len(memory[name])} runs have none)" for name, n in without.items() if n
    ]
    said = _reach(field, {name: steps for name, steps in memory.items() if not without[name]})
    if left_out:
        said.append(f"{field.where}effective memories leave out {', '.join(left_out)}.")
    return said


def _reach(field: _Field, memory: Mapping[str, np.ndarray]) -> list[str]:
    """The same, from the effective memories in steps, all above 0, of each variant's runs."""
    if len(memory) < 2 or len({tuple(steps) for steps in memory.values()}) < 2:
        return []
    followed = flow_comparison.followed(field.runs)
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


def _infinite(runs: Runs) -> list[str]:
    """Whose test metric is infinite, as a perplexity is that no number can hold."""
    counts = {name: int(np.isinf(results(group)).sum()) for name, group in runs.items()}
    said = [f"{name} ({n} of {len(runs[name])} runs)" for name, n in counts.items() if n]
    return [f"The test metric is infinite for {', '.join(said)}."] if said else []


def _failures(runs: Runs, failed: Mapping[str, int], diverged: Mapping[str, int]) -> list[str]:
    if not any(failed.values()):
        return []
    started = {name: len(runs.get(name, [])) + failed.get(name, 0) for name in {**runs, **failed}}
    each = ", ".join(f"{name} ({n} of {started[name]})" for name, n in failed.items() if n)
    exploded = sum(diverged.values())
    why = f", {exploded} of them by gradients that exploded" if exploded else ""
    return [f"{sum(failed.values())} of {sum(started.values())} runs failed{why}: {each}."]
