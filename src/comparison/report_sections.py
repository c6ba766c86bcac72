"""The sections of a sweep's report."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from unrolled.comparison import baselines, main_table, pictures, search, significance
from unrolled.comparison.forest import forest
from unrolled.comparison.runs import (
    Runs,
    VariantRuns,
    baseline_names,
    divergences,
    units,
)
from unrolled.comparison.sections import Section, data_of
from unrolled.comparison.verdict import verdict
from unrolled.console.terminal import QUICK
from unrolled.tracking import RunRecord, SweepRecord


def search_section(sweep: SweepRecord) -> list[Section]:
    """What the stage found that chose a key's value for each variant; none without such a stage.

    Args:
        sweep: with the runs of all stages.
    """
    asked = sweep.record.get("search")
    if not asked:
        return []
    key = asked["key"]
    found = search.choices(sweep.runs, key, asked["values"])
    if not found:
        return []
    return [
        Section(
            heading=f"The search for {key}",
            table=search.table(found, key),
            caption=search.caption(found, key),
            sentences=search.sentences(found, key, len(asked["seeds"])),
            data={"search.json": search.as_columns(found, key)},
        )
    ]


def comparison_sections(sweep: SweepRecord, variants: Sequence[VariantRuns]) -> list[Section]:
    """The table of all variants, the verdict, and their differences from the baselines.

    There are none if no run can be compared and none diverged.

    Args:
        sweep: with the runs of the main stage.
        variants: with the runs that can be compared.
    """
    diverged = divergences(sweep)
    if not variants and not diverged:
        return []
    runs = {each.variant: each.runs for each in variants}
    asked = baselines.read_all(baseline_names(sweep), units(sweep))
    against = baselines.compared_with(asked, units(sweep))
    found = significance.differences(runs, against, diverged)
    quick = sweep.tags.get("budget") == "quick"
    heading = f"{sweep.name}\n{QUICK}" if quick else sweep.name
    table = main_table.table(variants, diverged)
    return [
        Section(
            heading=heading,
            table=table,
            caption=main_table.caption(table),
            data={"comparison.json": data_of(table)},
            pictures=partial(pictures.of_sweep, variants, heading),
        ),
        Section(
            sentences=verdict(runs, found, diverged, baselines=asked, quick=quick),
        ),
        *difference_sections(found, heading),
        *missing_section(asked, runs, found),
    ]


def difference_sections(found: Sequence[significance.Difference], heading: str) -> list[Section]:
    """The differences from the baselines: one section for each metric."""
    by_metric: dict[str, list[significance.Difference]] = {}
    for each in found:
        by_metric.setdefault(each.metric.key, []).append(each)
    sections: list[Section] = []
    for key, group in by_metric.items():
        name = f"forest_{key}.png" if len(by_metric) > 1 else "forest.png"
        drawn = any(np.isfinite(each.interval.value) for each in group)
        sections.append(
            Section(
                heading="Differences from the baseline",
                table=significance.table(group),
                caption=significance.caption(group[0].metric),
                data={} if sections else {"differences.json": _in_full(found)},
                pictures=partial(_forest, name, group, heading) if drawn else None,
            )
        )
    return sections


def _forest(name, group, heading):
    return {name: forest(group, heading)}


def _in_full(found: Sequence[significance.Difference]) -> dict[str, list]:
    """All numbers of all differences, one row per difference; null where there is no number."""
    rows = [
        {
            "variant": each.variant.name,
            "baseline": each.baseline.name,
            "metric": each.metric.name,
            "scale": "log10" if each.metric.by_ratio else "as it is",
            "runs": each.runs,
            "baseline_runs": each.baseline_runs,
            "difference": each.interval.value,
            "low": each.interval.low,
            "high": each.interval.high,
            "p_uncorrected": each.interval.p,
            "p_holm": each.p,
            "outcome": each.outcome,
        }
        for each in found
    ]
    return {name: [_or_null(row[name]) for row in rows] for name in rows[0]}


def _or_null(value):
    return None if isinstance(value, float) and not np.isfinite(value) else value


def missing_section(
    asked: Sequence[baselines.Baseline], runs: Runs, found: Sequence[significance.Difference]
) -> list[Section]:
    """The baselines with which nothing is compared for want of runs; none if there are no such."""
    if asked and not found:
        names = " or ".join(each.name for each in asked)
        said = (
            "There are no differences to show: they need runs that succeeded of the baseline "
            f"{names} and of a variant to compare with it."
        )
    else:
        absent = [each.name for each in asked if not any(map(each.includes, runs))]
        if not absent:
            return []
        names = " or ".join(absent)
        said = f"Nothing is compared with {names}, of which no run succeeded."
    return [Section(sentences=[said])]


def left_out_section(left_out: Sequence[tuple[RunRecord, str]]) -> list[Section]:
    """The runs that are not compared, each with the reason; none if all are compared."""
    said = [f"{run.name}: {why}" for run, why in left_out]
    return [Section(sentences=said, is_warning=True)] if said else []
