"""The sections of a sweep's report."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from unrolled.comparison import baselines, main_table, pictures, search, significance
from unrolled.comparison.extremes import ENDS, NAMES, ROWS, Extremes, ends, extremes
from unrolled.comparison.forest import forest
from unrolled.comparison.halving import Asked
from unrolled.comparison.runs import (
    Runs,
    VariantRuns,
    baseline_names,
    divergences,
    units,
)
from unrolled.comparison.sections import Section, Table, data_of
from unrolled.comparison.variants import Variant
from unrolled.comparison.verdict import verdict
from unrolled.console.terminal import QUICK
from unrolled.tracking import RunRecord, SweepRecord

_SEARCH, _TABLE, _DIFFERENCES = "search.json", "comparison.json", "differences.json"


def search_section(sweep: SweepRecord) -> list[Section]:
    """What the stage found that chose a key's value for each variant; none without such a stage.

    Args:
        sweep: with the runs of all stages.
    """
    record = sweep.record.get("search")
    if not record:
        return []
    asked = Asked.of(record)
    found = search.choices(sweep.runs, asked)
    if not found:
        return []
    section = Section(
        heading=f"The search for {asked.key}",
        table=search.table(found, asked),
        caption=search.caption(found, asked),
        sentences=search.sentences(found, asked.key),
        data={_SEARCH: search.as_columns(found, asked.key)},
    )
    if len(found) > ROWS:
        shown = search.table(ends(search.best_first(found), ROWS), asked)
        excerpt = _excerpt(section, shown, ENDS, f"variants are in the artifact {_SEARCH}")
        said = search.sentences(found, asked.key, NAMES)
        section = replace(section, excerpt=replace(excerpt, sentences=said))
    return [section]


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
    main = Section(
        heading=heading,
        table=table,
        caption=main_table.caption(table),
        data={_TABLE: data_of(table)},
        pictures=partial(pictures.of_sweep, variants, heading, set(against.values())),
    )
    told = partial(verdict, runs, found, diverged, baselines=asked, quick=quick)
    findings = Section(sentences=told())
    rows = list(dict.fromkeys([*runs, *diverged]))
    if len(rows) > ROWS:
        shown = extremes(runs, set(against.values()), ROWS)
        main = replace(main, excerpt=_main_excerpt(main, rows, shown))
        findings = replace(findings, excerpt=Section(sentences=told(most=NAMES)))
    return [
        main,
        findings,
        *difference_sections(found, heading),
        *missing_section(asked, runs, found),
    ]


def _main_excerpt(main: Section, rows: Sequence[Variant], found: Extremes) -> Section:
    """The best and the worst variants and the baselines, or the first if no run succeeded.

    Args:
        main: the section with the table of all variants.
        rows: the variant of each of its rows.
        found: the variants to show.
    """
    assert main.table is not None
    shown = list(found.ranks) or rows[:ROWS]
    which = found.words if found.ranks else f"the first {ROWS}"
    places, ranks = zip(*((rows.index(each), found.ranks.get(each)) for each in shown), strict=True)
    table = main_table.excerpt(main.table, places, ranks)
    return _excerpt(main, table, which, f"variants are in the artifact {_TABLE}")


def _excerpt(section: Section, table: Table, which: str, where: str) -> Section:
    """A section with a part of its table, and a line that says so.

    Args:
        section: with the whole table.
        table: the rows to show.
        which: which rows these are.
        where: what the other rows are and where they are.
    """
    assert section.table is not None
    total, shown = (len(next(iter(each.values()))) for each in (section.table, table))
    said = f"Shown are {which}. The other {total - shown} of {total} {where}."
    return replace(section, table=table, caption=f"{said}\n\n{section.caption}")


def difference_sections(found: Sequence[significance.Difference], heading: str) -> list[Section]:
    """The differences from the baselines: one section for each metric."""
    by_metric: dict[str, list[significance.Difference]] = {}
    for each in found:
        by_metric.setdefault(each.metric.key, []).append(each)
    sections: list[Section] = []
    for key, group in by_metric.items():
        name = f"forest_{key}.png" if len(by_metric) > 1 else "forest.png"
        drawn = any(np.isfinite(each.interval.value) for each in group)
        section = Section(
            heading="Differences from the baseline",
            table=significance.table(group),
            caption=significance.caption(group[0].metric),
            data={} if sections else {_DIFFERENCES: _in_full(found)},
            pictures=partial(_forest, name, group, heading) if drawn else None,
        )
        if len(group) > ROWS:
            shown = significance.table(ends(significance.best_first(group), ROWS))
            where = f"differences are in the artifact {_DIFFERENCES}"
            section = replace(section, excerpt=_excerpt(section, shown, ENDS, where))
        sections.append(section)
    return sections


def _forest(name: str, group: Sequence[significance.Difference], heading: str) -> dict[str, Figure]:
    """The forest plot of all differences in one metric, or of the best and the worst of many."""
    if len(group) > ROWS:
        shown = ends(significance.best_first(group), ROWS)
        heading = f"{ENDS}, {len(shown)} of {len(group)} differences\n{heading}"
        group = shown
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
    section = Section(sentences=said, is_warning=True)
    if len(said) > ROWS:
        more = f"{len(said) - ROWS} more runs are left out; the page of the sweep names all."
        section = replace(section, excerpt=replace(section, sentences=[*said[:ROWS], more]))
    return [section] if said else []
