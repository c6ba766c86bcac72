"""The comparison of one sweep's runs: a report on the terminal and on the parent run."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from unrolled import tracking
from unrolled.comparison import baselines, sections
from unrolled.comparison.report_sections import (
    comparison_sections,
    left_out_section,
    search_section,
)
from unrolled.comparison.runs import (
    VariantRuns,
    baseline_tags,
    identity_of,
    main_stage,
    metric_of,
    report_of,
    units,
    variant_of,
)
from unrolled.comparison.variants import Variant
from unrolled.console.terminal import say
from unrolled.tracking import RunRecord, SweepRecord

LeftOut = list[tuple[RunRecord, str]]
"""Runs that are not compared, each with the reason."""


def compare(run_id: str, baseline_names: list[str] | None = None) -> None:
    """Show the comparison of a sweep and store it on its parent run.

    Runs that failed, never ended or stored no report that can be compared are named and left out of
    all numbers; those that diverged are counted beside them.

    Args:
        run_id: of the parent run.
        baseline_names: other baselines than the sweep has; the sweep stores them.

    Raises:
        tracking.NoSuchRunError: if there is no such run.
        tracking.UnreadableRecordError: if the sweep's record cannot be read.
        RefusedError: for names that cannot be its baselines.
    """
    writer = tracking.RunWriter(run_id)
    everything, repeated = _each_once(tracking.read_sweep(run_id))
    if baseline_names is not None:
        baselines.check(baseline_names, units(everything))
        tags = baseline_tags(baseline_names)
        everything = replace(everything, tags=everything.tags | tags)
        writer.set_tags(tags)
    sweep = main_stage(everything)
    variants = _variants(sweep.runs)
    searched, compared = search_section(everything), comparison_sections(sweep, variants)
    left_out = left_out_section(repeated + _left_out(sweep.runs))
    table, verdict, details = compared[:1], compared[1:2], compared[2:]
    for section in [*searched, *table, *details, *verdict]:  # A terminal shows the end.
        sections.show(section)
    if searched or compared:
        for section in [*searched, *compared]:
            sections.log(section, writer)
        page = [*table, *verdict, *details, *searched, *left_out]
        writer.describe(_page(page), _page(map(sections.excerpt_of, page)))
        writer.log_metrics(_metrics(variants))
    where = tracking.how_to_browse(sweep.experiment_id, run_id)
    say.print(f"Curves, pictures and models: {where}", soft_wrap=True)
    for section in left_out:
        sections.show(section)


def _page(parts: Iterable[sections.Section]) -> str:
    return "\n\n".join(map(sections.as_markdown, parts))


def _variants(runs: Sequence[RunRecord]) -> list[VariantRuns]:
    grouped: dict[Variant, list[RunRecord]] = {}
    for run in runs:
        if not _why_left_out(run):
            grouped.setdefault(variant_of(run), []).append(run)
    return [VariantRuns(variant, group) for variant, group in grouped.items()]


def _left_out(runs: Sequence[RunRecord]) -> LeftOut:
    """The runs that cannot be compared, without those that were run again after a resume."""
    reasons = [(run, _why_left_out(run)) for run in runs]
    compared = {identity_of(run) for run, why in reasons if not why}
    return [(run, why) for run, why in reasons if why and identity_of(run) not in compared]


def _each_once(sweep: SweepRecord) -> tuple[SweepRecord, LeftOut]:
    """The sweep with the latest of several finished runs that repeat one another; and the others.

    There are several if one was deleted, run again and restored. Each would count as a seed.
    """
    searched = (sweep.record.get("search") or {}).get("key")
    latest = {  # Runs are in the order in which they started.
        identity_of(run, searched): run.run_id for run in sweep.runs if run.status == "FINISHED"
    }
    others = [
        run
        for run in sweep.runs
        if run.status == "FINISHED" and latest[identity_of(run, searched)] != run.run_id
    ]
    runs = [run for run in sweep.runs if all(run is not other for other in others)]
    why = "was run again later; only the later run is compared."
    return replace(sweep, runs=runs), [(run, why) for run in others]


def _why_left_out(run: RunRecord) -> str:
    """Why a run cannot be compared, for people; empty if it can."""
    if run.status != "FINISHED":
        return f"{run.status}. {run.tags.get('error', '')}"
    if "metric" not in (run.report or {}):
        return (
            f"{tracking.REPORT} does not name the metric of the task; an earlier version of this "
            "project tracked the run. Run the sweep again to compare it."
        )
    metric = metric_of([run])
    if f"test/{metric.key}" not in run.metrics:
        return f"its test {metric.name} is not a number, so that it cannot be compared."
    return ""


def _metrics(variants: Sequence[VariantRuns]) -> dict[str, float]:
    """Mean and standard deviation of each variant's test metrics, under the variant's name."""
    metrics = {}
    for variant in variants:
        for name in report_of(variant.runs[0])["metrics"]:
            values = variant.last(f"test/{name}")
            if not len(values):  # Not a number in any run.
                continue
            key = f"test/{name}/{variant.name}"
            metrics[f"{key}/mean"] = values.mean()
            if len(values) > 1 and np.isfinite(values).all():
                metrics[f"{key}/sd"] = values.std(ddof=1)
    return metrics
