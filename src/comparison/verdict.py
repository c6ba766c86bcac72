"""The findings of a sweep in a few sentences that claim no more than its numbers show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from unrolled.comparison import flow_comparison
from unrolled.comparison.baselines import Baseline
from unrolled.comparison.extremes import NAMES, listed, ranked, ranks
from unrolled.comparison.runs import Runs, metric_of, results
from unrolled.comparison.significance import (
    LEVEL,
    Difference,
    Finding,
    holm,
    mean,
    on_scale,
    p_text,
    ratio,
    welch,
    why_no_conclusion,
    why_not_finite,
)
from unrolled.comparison.variants import Variant, keys_of, short
from unrolled.tracking import RunRecord

_FEWEST = 3
"""Seeds below which no conclusion is drawn."""

Counts = Mapping[Variant, int]
_Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Field:
    """Variants that can be compared with one another.

    Attributes:
        where: what they have in common, "T=50: "; empty if all variants are in it.
        runs: of each variant, those that succeeded.
        diverged: how many runs of each variant diverged.
        most: how many names a sentence lists; None for all.
    """

    where: str
    runs: Runs
    diverged: Counts
    most: int | None


def verdict(
    runs: Runs,
    differences: Sequence[Difference],
    diverged: Counts,
    *,
    baselines: Sequence[Baseline] = (),
    quick: bool = False,
    most: int | None = None,
) -> list[str]:
    """The sentences, the most important first.

    Args:
        runs: of each variant those that succeeded.
        differences: of the variants from their baselines.
        diverged: how many runs of each variant diverged.
        baselines: of the sweep.
        quick: whether the budget was.
        most: how many names a sentence lists, and how many groups of variants are discussed; None
            for all.
    """
    broken = [*_infinite(runs, most), *_divergence(runs, diverged, most)]
    names = {**runs, **diverged}
    seeds = max((len(runs.get(name, [])) + diverged.get(name, 0) for name in names), default=0)
    if quick:
        return ["No conclusion can be drawn from budget=quick.", *broken]
    if seeds < _FEWEST:
        least = f"{seeds} {'seed' if seeds == 1 else 'seeds'}"
        return [
            f"No conclusion can be drawn from {least} per variant; the minimum is {_FEWEST}.",
            *broken,
        ]
    said = []
    fields = _fields(runs, diverged, baselines, most)
    if most is not None and len(fields) > most:
        said += _overview(len(fields), differences, most)
        order = ranks(runs)
        fields = sorted(fields, key=lambda field: min(map(order.__getitem__, field.runs)))[:most]
    for field in fields:
        found = [each for each in differences if each.variant in field.runs]
        said += [*_best(field, found), *_against_baselines(field, found)]
        said += [*_solved(field), *_memories(field)]
    return said + broken


def _overview(fields: int, differences: Sequence[Difference], most: int) -> list[str]:
    """All differences in numbers, and which groups of variants are discussed after that."""
    said = []
    if differences:
        counts = Counter(each.finding for each in differences)
        said.append(
            f"{len(differences)} differences from a baseline: {counts[Finding.BETTER]} "
            f"significantly better, {counts[Finding.WORSE]} significantly worse, "
            f"{counts[Finding.NOT_SIGNIFICANT]} not significant, {counts[Finding.OPEN]} "
            "inconclusive."
        )
    said.append(
        f"Of {fields} groups of variants, the {most} with the best variants follow. The page of "
        "the sweep discusses all."
    )
    return said


def _fields(
    runs: Runs, diverged: Counts, baselines: Sequence[Baseline], most: int | None
) -> list[_Field]:
    """Variants of one metric that differ in what the baselines set, or else in their unit."""
    compared = {key for baseline in baselines for key in baseline.settings} or {"cell"}
    if not baselines and len({variant.texts["cell"] for variant in runs}) == 1:
        compared = set(keys_of(runs))
    groups: dict[tuple[_Settings, str], dict[Variant, Sequence[RunRecord]]] = {}
    for variant, group in runs.items():
        rest = tuple(item for item in variant.texts.items() if item[0] not in compared)
        groups.setdefault((rest, metric_of(group).key), {})[variant] = group
    return [
        _Field(f"{_common(rest) or metric}: " if len(groups) > 1 else "", group, diverged, most)
        for (rest, metric), group in groups.items()
    ]


def _common(settings: _Settings) -> str:
    return " ".join(f"{short(key)}={text}" for key, text in settings)


def _best(field: _Field, differences: Sequence[Difference]) -> list[str]:
    """Which variant is best, and whether it differs from the next."""
    if len(field.runs) < 2:
        return []
    metric = metric_of(next(iter(field.runs.values())))
    values = {variant: on_scale(metric, results(group)) for variant, group in field.runs.items()}
    best, *others = ranked(field.runs)
    # The best was chosen by its result, so its p is corrected for all that it might have beaten.
    p = holm([_p(field, values, best, other) for other in others])[0]
    for each in differences:  # It may not claim more than the table, which corrects for more pairs.
        if {each.variant, each.baseline} == {best, others[0]}:
            p = max(p, each.p)
    found = 10 ** mean(values[best]) if metric.by_ratio else mean(values[best])
    which = "geometric mean" if metric.by_ratio else "mean"
    what = f"{which} of the test {metric.name} {metric.text(found)}"
    why_not = _why_not(field, values, best, others[0])
    said = f"{field.where}{best} is best ({what}); {_compared(others[0], p, why_not)}"
    plain = {each.baseline for each in differences}
    if best in plain:
        said += f"; it is {'the' if len(plain) == 1 else 'a'} baseline"
    return [f"{said}."]


def _compared(variant: Variant, p: float, why_not: str | None) -> str:
    if why_not is not None:
        return f"whether it differs from the next, {variant}, is inconclusive ({why_not})"
    if p < LEVEL:
        return f"it is significantly better than the next, {variant} ({p_text(p)})"
    return f"it does not differ significantly from the next, {variant} ({p_text(p)})"


def _against_baselines(field: _Field, differences: Sequence[Difference]) -> list[str]:
    """One sentence for each baseline: what is worse, what is better, and what is inconclusive."""
    if len(field.runs) < 3:  # Of two variants everything has been said.
        return []
    by_baseline: dict[Variant, list[Difference]] = {}
    for each in differences:
        by_baseline.setdefault(each.baseline, []).append(each)
    return [_against(field, baseline, group) for baseline, group in by_baseline.items()]


def _against(field: _Field, baseline: Variant, differences: Sequence[Difference]) -> str:
    why_not = {
        each.variant: each.why_not or _too_few(field, each.variant, baseline)
        for each in differences
    }
    tested = [each for each in differences if why_not[each.variant] is None]
    said = []
    for finding, word in ((Finding.WORSE, "worse"), (Finding.BETTER, "better")):
        group = [each for each in tested if each.finding is finding]
        if group:
            names = _names(group, field.most)
            said.append(f"significantly {word}: {names} ({_largest_p(group)})")
    alike = [each for each in tested if each.finding is Finding.NOT_SIGNIFICANT]
    if alike:
        more = " more" if said else ""
        shown = f"{_names(alike, field.most)} ({_widest(alike)})"
        said.append(f"no difference was shown for {len(alike)}{more}: {shown}")
    untold = [f"{variant} ({why})" for variant, why in why_not.items() if why is not None]
    if untold:
        said.append(f"inconclusive: {listed(untold, field.most)}")
    return f"{field.where}against the baseline {baseline}, {'; '.join(said)}."


def _names(differences: Sequence[Difference], most: int | None) -> str:
    return listed([each.variant.name for each in differences], most)


def _largest_p(differences: Sequence[Difference]) -> str:
    largest = p_text(max(each.p for each in differences))
    return largest if len(differences) == 1 else f"largest {largest}"


def _widest(differences: Sequence[Difference]) -> str:
    """How large a difference may be that was not shown."""
    metric = differences[0].metric
    half = max((each.interval.high - each.interval.low) / 2 for each in differences)
    scale = f"log10 {metric.name}" if metric.by_ratio else metric.name
    widest = "95% interval" if len(differences) == 1 else "widest 95% interval"
    return f"{widest} ±{half:.2g} in {scale}"


def _p(field: _Field, values: Mapping[Variant, np.ndarray], one: Variant, other: Variant) -> float:
    if _why_not(field, values, one, other) is not None:
        return np.nan
    return welch(values[one], values[other]).p


def _why_not(
    field: _Field, values: Mapping[Variant, np.ndarray], one: Variant, other: Variant
) -> str | None:
    diverged = field.diverged.get(one, 0) + field.diverged.get(other, 0)
    return (
        why_not_finite(values[one], values[other])
        or _too_few(field, one, other)
        or why_no_conclusion(values[one], values[other], diverged)
    )


def _too_few(field: _Field, *variants: Variant) -> str | None:
    few = any(len(field.runs[variant]) < _FEWEST for variant in variants)
    return f"fewer than {_FEWEST} runs succeeded" if few else None


class _Solved(Enum):
    """In how many seeds a variant solved its task."""

    ALL = "in all seeds by"
    SOME = "in some by"
    NONE = "in none by"


def _solved(field: _Field) -> list[str]:
    """Which variants solved the task in all seeds, in some and in none.

    A run that diverged did not solve it.
    """
    metric = metric_of(next(iter(field.runs.values())))
    if metric.solved is None:
        return []
    groups: dict[_Solved, list[str]] = {how: [] for how in _Solved}
    for variant, group in field.runs.items():
        solved = sum(metric.is_solved(value) for value in results(group))
        tried = len(group) + field.diverged.get(variant, 0)
        if solved == tried:
            groups[_Solved.ALL].append(variant.name)
        elif solved:
            groups[_Solved.SOME].append(f"{variant} ({solved} of {tried})")
        else:
            groups[_Solved.NONE].append(variant.name)
    side = "or more" if metric.higher_is_better else "or less"
    solvers = _shortened({how: names for how, names in groups.items() if names}, field.most)
    return [f"{field.where}solved (test {metric.name} {metric.solved_text} {side}) {solvers}."]


def _shortened(groups: Mapping[_Solved, Sequence[str]], most: int | None) -> str:
    """Names by group; the number of a large group replaces its names if all others are listed."""
    largest = max(groups, key=lambda how: len(groups[how]))
    said = {how: listed(names, most) for how, names in groups.items()}
    # A name of SOME is shown with its number of seeds, so it always stays.
    if len(groups[largest]) > NAMES and largest is not _Solved.SOME:
        del said[largest]  # It goes last.
        said[largest] = f"{'the other' if said else 'all'} {len(groups[largest])}"
    return "; ".join(f"{how.value} {names}" for how, names in said.items())


def _memories(field: _Field) -> list[str]:
    """How far back the gradient of each unit reaches, and whether the extremes differ."""
    followed = flow_comparison.followed(field.runs)
    memory = {variant: flow_comparison.memories(group) for variant, group in followed.items()}
    without = {variant: int(np.sum(~(steps > 0))) for variant, steps in memory.items()}
    left_out = [
        f"{variant} ({n} of {len(memory[variant])} runs have none)"
        for variant, n in without.items()
        if n
    ]
    said = _reach(
        field, {variant: steps for variant, steps in memory.items() if not without[variant]}
    )
    if left_out:
        said.append(f"{field.where}effective memories leave out {listed(left_out, field.most)}.")
    return said


def _reach(field: _Field, memory: Mapping[Variant, np.ndarray]) -> list[str]:
    """The same, from the effective memories in steps, all above 0, of each variant's runs."""
    if len(memory) < 2 or len({tuple(steps) for steps in memory.values()}) < 2:
        return []
    followed = flow_comparison.followed(field.runs)
    means = {variant: float(np.exp(np.log(steps).mean())) for variant, steps in memory.items()}
    shortest, *_, longest = sorted(means, key=lambda variant: means[variant])
    longer = {each: flow_comparison.longer(followed[each]).any() for each in (longest, shortest)}
    if longer[shortest]:
        return [
            f"{field.where}effective memories are not compared: in a run of {shortest}, whose "
            "memory is shortest, the gradient reaches further back than was measured."
        ]
    found = ratio(memory[longest], memory[shortest])
    pairs = len(memory) * (len(memory) - 1) // 2
    p = min(1.0, found.p * pairs)  # The extremes of so many, chosen by their result.
    beyond = "at least " if longer[longest] else ""
    why_not = _why_not(field, {each: np.log(steps) for each, steps in memory.items()}, *longer)
    if why_not is not None or not p < LEVEL:
        return [
            f"{field.where}effective memories range from {means[shortest]:.0f} steps ({shortest}) "
            f"to {beyond}{means[longest]:.0f} ({longest}); whether these differ is inconclusive "
            f"({why_not or p_text(p)})."
        ]
    within = "" if beyond else f", 95% interval {found.low:.1f} to {found.high:.1f}"
    among = f" as the extremes of {len(memory)}" if pairs > 1 else ""
    return [
        f"{field.where}the gradient of {longest} reaches back {beyond}{found.value:.1f} times as "
        f"many steps as that of {shortest} ({beyond}{means[longest]:.0f} and "
        f"{means[shortest]:.0f}{within}; {p_text(p)}{among})."
    ]


def _infinite(runs: Runs, most: int | None) -> list[str]:
    """The variants whose test metric is infinite, as a perplexity too large for any number is."""
    counts = {variant: int(np.isinf(results(group)).sum()) for variant, group in runs.items()}
    said = [f"{variant} ({n} of {len(runs[variant])} runs)" for variant, n in counts.items() if n]
    return [f"The test metric is infinite for {listed(said, most)}."] if said else []


def _divergence(runs: Runs, diverged: Counts, most: int | None) -> list[str]:
    if not any(diverged.values()):
        return []
    names = {**runs, **diverged}
    started = {name: len(runs.get(name, [])) + diverged.get(name, 0) for name in names}
    each = [f"{variant} ({n} of {started[variant]})" for variant, n in diverged.items() if n]
    total = f"{sum(diverged.values())} of {sum(started.values())}"
    return [f"{total} runs diverged: {listed(each, most)}."]
