"""The runs of one sweep to one table and its figures, on the terminal and on the parent run.

python -m experiments --compare [RUN_ID] [baseline=[lstm,gru]]    (without an id, the latest sweep)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from unrolled import tracking
from unrolled.comparison import figures, flow_comparison
from unrolled.comparison.report_sections import (
    Findings,
    Searched,
    diverged,
    main_stage,
    with_baselines,
)
from unrolled.comparison.significance import metric_of
from unrolled.comparison.variants import parts
from unrolled.console.tables import as_markdown
from unrolled.console.terminal import QUICK, say, show_table
from unrolled.tasks.base.metric import Metric
from unrolled.tasks.language.context import LENGTHS, TOLERANCE

_NORM = "gradient_norm/all"
_CONTEXT = "context\nused"


@dataclass(frozen=True)
class Variant:
    """The runs of a sweep that differ by nothing but their seed."""

    name: str
    runs: list[tracking.RunRecord]

    def last(self, metric: str) -> np.ndarray:
        """The metric's last value in each run that has it."""
        return np.array([run.metrics[metric] for run in self.runs if metric in run.metrics])

    def all(self, metric: str) -> list[float]:
        """Every value of the metric, of all epochs of all runs."""
        return [value for run in self.runs for _, value in run.series[metric]]

    @property
    def cell(self) -> str:
        """The name of its unit."""
        return self.runs[0].tags["cell"]

    @property
    def metric(self) -> Metric:
        """By what the answers are judged."""
        return metric_of(self.runs)

    def price(self) -> str:
        """Examples seen until the task was learnt, the mean if every run got there."""
        prices, metric = [], self.metric
        for run in self.runs:
            values = run.series[f"validation/{metric.key}"]
            curve = zip(run.series["examples_seen"], values, strict=True)
            reached = [seen for (_, seen), (_, value) in curve if metric.is_learnt(value)]
            prices += reached[:1]
        if len(prices) < len(self.runs):  # A mean of the others would favour who rarely learns.
            return f"in {len(prices)} of {len(self.runs)}" if prices else "never"
        return _mean_and_spread(np.array(prices) / 1000, "{:.1f}".format) + " k"


def compare(run_id: str, baselines: list[str] | None = None) -> None:
    """Show the comparison of a sweep and keep it on its parent run.

    Runs that failed, never ended or kept no report that can be compared are named and left out of
    all numbers; those whose gradients exploded are counted beside them.

    Args:
        run_id: of the parent run.
        baselines: others than the sweep has; it keeps them.

    Raises:
        tracking.NoSuchRunError: if there is no such run.
        tracking.UnreadableRecordError: if the sweep's record cannot be read.
        RefusedError: for names that cannot be its baselines.
    """
    everything, repeated = _each_once(tracking.read_sweep(run_id))
    if baselines is not None:
        everything = with_baselines(everything, baselines)
        tracking.RunWriter(run_id).set_tags({"baseline": everything.tags["baseline"]})
    searched, sweep = Searched(everything), main_stage(everything)
    searched.report(tracking.RunWriter(run_id))
    variants, exploded = _variants(sweep), diverged(sweep)
    left_out = repeated + _left_out(sweep)
    if variants or exploded:
        heading = _heading(sweep)
        columns = _columns(variants, exploded)
        caption = _caption(columns)
        show_table(columns, heading, caption)
        findings = Findings(sweep, {v.name: v.runs for v in variants}, heading)
        findings.show()
        writer = tracking.RunWriter(run_id)
        writer.log_table(columns, "comparison.json")
        said = f"{findings.markdown()}\n\n{searched.markdown()}"
        writer.describe(_description(heading, columns, caption, said, left_out))
        findings.keep(writer)
        writer.log_metrics(_metrics(variants))
        for name, figure in _figures(sweep, variants).items():
            writer.log_figure(figure, name)
    say.print(f"Curves, pictures and models: {tracking.how_to_browse()}, then")
    say.print(tracking.page(sweep.experiment_id, run_id), soft_wrap=True)
    for run, why in left_out:
        say.print(f"{run.name}: {why}", style="red")


def _variants(sweep: tracking.SweepRecord) -> list[Variant]:
    grouped = {}
    for run in sweep.runs:
        if not _why_left_out(run):
            grouped.setdefault(run.tags["variant"], []).append(run)
    return [Variant(name, runs) for name, runs in grouped.items()]


def _left_out(sweep: tracking.SweepRecord) -> list[tuple[tracking.RunRecord, str]]:
    """The runs that cannot be compared, each with the reason.

    Not those that were killed so early that the sweep, once resumed, ran them again.
    """
    reasons = [(run, _why_left_out(run)) for run in sweep.runs]
    compared = {run.name for run, why in reasons if not why}
    return [(run, why) for run, why in reasons if why and run.name not in compared]


def _each_once(sweep: tracking.SweepRecord) -> tuple[tracking.SweepRecord, list]:
    """The sweep with one finished run of each name, the latest; and the others, with the reason.

    There are two if one was deleted, run again and restored. Both would count as a seed each.
    """
    finished = [run for run in sweep.runs if run.status == "FINISHED"]
    latest = {run.name: run for run in finished}  # In the order in which they started.
    others = [run for run in finished if run is not latest[run.name]]
    runs = [run for run in sweep.runs if all(run is not other for other in others)]
    why = "was run again later; only the later run is compared."
    return replace(sweep, runs=runs), [(run, why) for run in others]


def _why_left_out(run: tracking.RunRecord) -> str:
    """Why a run cannot be compared; empty if it can."""
    if run.status != "FINISHED":
        return f"{run.status}. {run.tags.get('error', '')}"
    if "metric" not in (run.report or {}):
        return (
            f"{tracking.REPORT} does not name the metric that its answers are judged by; it was "
            "tracked by an earlier version of this project. Run the sweep again to compare it."
        )
    metric = metric_of([run])
    if f"test/{metric.key}" not in run.metrics:
        return f"its test {metric.name} is not a number, so that it cannot be compared."
    return ""


def _heading(sweep: tracking.SweepRecord) -> str:
    return f"{sweep.name}\n{QUICK}" if sweep.tags.get("budget") == "quick" else sweep.name


def _columns(variants: list[Variant], exploded: Mapping[str, int]) -> dict[str, list[str]]:
    """The table of a comparison, column by column; variants of several tasks leave some empty."""
    rows = []
    for variant in variants:
        metric = variant.metric
        found = variant.last(f"test/{metric.key}")
        rows.append(
            {
                "variant": variant.name,
                "parameters": f"{variant.last('parameters').mean():,.0f}",
                "s/epoch": f"{np.median(variant.all('seconds_per_epoch')):.1f}",
                f"test {metric.name}": _mean_and_spread(found, metric.text),
                "worst run": f"{metric.text(metric.worst(found))} of {len(found)}",
                **({} if metric.learnt is None else {f"to {metric.learnt_text}": variant.price()}),
                **flow_comparison.columns(variant.runs),
                **_context(variant),
            }
        )
    if exploded:
        ended = {variant.name: len(variant.runs) for variant in variants}
        rows += [{"variant": name} for name in exploded if name not in ended]
        for row in rows:
            count = exploded.get(row["variant"], 0)
            row["diverged"] = f"{count} of {count + ended.get(row['variant'], 0)}"
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, "") for row in rows] for name in names}


def _caption(columns: Mapping[str, list[str]]) -> str:
    """What the columns that are there mean."""
    sentences = [
        "Mean ± standard deviation over the seeds, which decide initial weights and which training "
        "example comes when. s/epoch: median, validation included."
    ]
    learnt = [name for name in columns if name.startswith("to ")]
    if learnt:
        sentences.append(
            f"{' and '.join(learnt).capitalize()}: training examples, in thousands, seen until the "
            "validation split got there."
        )
    sentences.append(flow_comparison.caption(columns))
    if _CONTEXT in columns:
        sentences.append(
            f"Context used, a number a run: the fewest tokens, of {', '.join(map(str, LENGTHS))}, "
            "with which the loss at some places of the test, read from states of zero, is within "
            f"{TOLERANCE:.0%} of that with {LENGTHS[-1]}."
        )
    return " ".join(filter(None, sentences))


def _context(variant: Variant) -> dict[str, str]:
    """How many tokens of context a language model makes use of, where that was measured."""
    enough = variant.last("test/context")
    return {_CONTEXT: ", ".join(f"{tokens:.0f}" for tokens in enough)} if len(enough) else {}


def _mean_and_spread(values: np.ndarray, text: Callable[[float], str]) -> str:
    mean = text(values.mean())
    return (
        mean
        if len(values) < 2 or not np.isfinite(values).all()
        else f"{mean} ± {text(values.std(ddof=1))}"
    )


def _description(
    heading: str, columns: dict[str, list[str]], caption: str, findings: str, left_out: list
) -> str:
    parts = [heading, as_markdown(columns), f"{caption} Pictures: under Artifacts.", findings]
    failures = [f"- {run.name}: {why}" for run, why in left_out]
    return "\n\n".join([*parts, "\n".join(failures)])


def _metrics(variants: list[Variant]) -> dict[str, float]:
    """Mean and spread of what each variant's runs found, under the variant's name."""
    metrics = {}
    for variant in variants:
        for name in variant.runs[0].report["metrics"]:
            values = variant.last(f"test/{name}")
            if not len(values):  # Not a number in any run.
                continue
            key = f"test/{name}/{variant.name}"
            metrics[f"{key}/mean"] = values.mean()
            if len(values) > 1 and np.isfinite(values).all():
                metrics[f"{key}/sd"] = values.std(ddof=1)
    return metrics


def _figures(sweep: tracking.SweepRecord, variants: list[Variant]) -> dict[str, Figure]:
    drawn = {}
    for scene, together in _scenes(variants).items():
        heading = _heading(sweep) if not scene else f"{scene}, {_heading(sweep)}"
        runs = {variant.name: variant.runs for variant in together}
        pictures = _learning(together, heading) | _breakdowns(together, heading)
        pictures |= flow_comparison.pictures(runs, together[0].metric, heading)
        for name, picture in pictures.items():
            drawn.setdefault(name, {})[scene] = picture
    return {
        f"{name}_{scene}.png".replace(" ", "_") if len(by_scene) > 1 else f"{name}.png": picture
        for name, by_scene in drawn.items()
        for scene, picture in by_scene.items()
    }


def _scenes(variants: list[Variant]) -> dict[str, list[Variant]]:
    """Which variants share pictures, by what to call these: those of one metric.

    Where they are more than there are colours, those that have one of the things varied in common.
    """
    by_metric = _grouped(variants, lambda variant: variant.metric.key)
    scenes = {}
    for metric, together in by_metric.items():
        parts = {"": together} if len(together) <= len(figures.COLOURS) else _apart(together)
        several = metric if len(by_metric) > 1 else ""
        scenes |= {f"{several} {part}".strip(): group for part, group in parts.items()}
    return scenes


def _apart(variants: list[Variant]) -> dict[str, list[Variant]]:
    """Groups with one part of their names in common, "lstm" or "T=50": the fewest that fit."""
    named = {variant.name: parts(variant.name) for variant in variants}
    keys = [key for key in parts(variants[0].name) if all(key in each for each in named.values())]
    options = [_grouped(variants, lambda v, k=key: _part(k, named[v.name][k])) for key in keys]
    fit = [
        groups
        for groups in options
        if 1 < len(groups) < len(variants)
        and max(map(len, groups.values())) <= len(figures.COLOURS)
    ]
    return min(fit, key=len, default={"": variants})


def _part(key: str, value: str) -> str:
    return value if key == "cell" else f"{key}={value}"


def _grouped(variants: list[Variant], key: Callable[[Variant], str]) -> dict[str, list[Variant]]:
    grouped = {}
    for variant in variants:
        grouped.setdefault(key(variant), []).append(variant)
    return grouped


def _learning(variants: list[Variant], heading: str) -> dict[str, Figure]:
    drawn = {}
    seen = f"training {variants[0].runs[0].tags.get('counted', 'examples')} seen"
    for cost, xlabel in (
        ("examples_seen", seen),
        ("seconds", "seconds of training, validation included"),
    ):
        curves = [_curve(variant, cost) for variant in variants]
        title = f"Learning by {xlabel}\n{heading}"
        drawn[f"learning_by_{cost}"] = figures.with_bands(
            curves, title, xlabel, f"validation {variants[0].metric.label}"
        )
    watched = [v for v in variants if all(_NORM in run.series for run in v.runs)]
    if watched:
        drawn["gradient_norm"] = figures.with_bands(
            [_curve(variant, "examples_seen", _NORM) for variant in watched],
            f"Norm of all weights' gradients before clipping, mean of each epoch\n{heading}",
            seen,
            "norm of the gradient",
            logarithmic=True,
        )
    return drawn


def _breakdowns(variants: list[Variant], heading: str) -> dict[str, Figure]:
    drawn = {}
    names = dict.fromkeys(name for v in variants for name in v.runs[0].report["breakdowns"])
    for name in names:
        there = [v for v in variants if name in v.runs[0].report["breakdowns"]]
        what, _, by = name.partition(" by ")
        title = f"{name[0].upper()}{name[1:]}\n{heading}"
        drawn[name.replace(" ", "_")] = figures.with_bands(
            [_breakdown(variant, name) for variant in there], title, by, f"test {what}"
        )
    return drawn


def _curve(variant: Variant, over: str, what: str | None = None) -> figures.Curve:
    """Something of all runs of a variant after each epoch, over the mean of another metric.

    Unless told otherwise it is the metric by which answers are judged.
    """
    key = what or f"validation/{variant.metric.key}"
    values = np.array([[value for _, value in run.series[key]] for run in variant.runs])
    x = np.mean([[value for _, value in run.series[over]] for run in variant.runs], axis=0)
    return figures.Curve(variant.name, x, values, None if what else variant.metric)


def _breakdown(variant: Variant, name: str) -> figures.Curve:
    """A breakdown of the test of all runs of a variant."""
    by_run = [
        {point["at"]: point["value"] for point in run.report["breakdowns"].get(name, [])}
        for run in variant.runs
    ]
    x = sorted(set().union(*by_run))
    values = np.array([[run.get(at, np.nan) for at in x] for run in by_run])
    return figures.Curve(variant.name, np.array(x), values, _judged(variant, name))


def _judged(variant: Variant, name: str) -> Metric | None:
    """The metric that a breakdown is of."""
    if name.startswith(f"{variant.metric.name} by "):
        return variant.metric
    judged = variant.runs[0].report.get("judged", {})  # Older runs have none.
    return Metric(**judged[name]) if name in judged else None
