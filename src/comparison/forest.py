"""The forest plot: the difference of each variant from its baseline, with its interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unrolled.comparison.figures import COLORS
from unrolled.comparison.significance import LEVEL, Difference, Finding, p_text
from unrolled.comparison.variants import Variant
from unrolled.tasks.base.metric import Metric

_BETTER, _WORSE, _UNSURE = *COLORS[:2], "#595959"
_MARKERS = {
    Finding.BETTER: ("o", _BETTER, _BETTER, f"better, p < {LEVEL} after Holm's correction"),
    Finding.WORSE: ("s", _WORSE, _WORSE, f"worse, p < {LEVEL} after Holm's correction"),
    None: ("D", "white", _UNSURE, "not significant, or no conclusion: reason at its right"),
}


def forest(differences: Sequence[Difference], heading: str) -> Figure:
    """One row per variant, the best on top, and one panel per baseline.

    Args:
        differences: of one metric.
        heading: below the title.
    """
    panels: dict[Variant, list[Difference]] = {}
    for each in differences:
        if np.isfinite(each.interval.value):
            panels.setdefault(each.baseline, []).append(each)
    heights = [len(group) + 1.2 for group in panels.values()]  # Each with a line of words.
    figure = Figure(figsize=(9, 2.3 + 0.34 * (sum(heights) + len(panels))), layout="constrained")
    rows = figure.subplots(
        len(panels), 1, squeeze=False, sharex=True, height_ratios=heights or None
    )[:, 0]
    metric = differences[0].metric
    for axes, (baseline, group) in zip(rows, panels.items(), strict=True):
        _panel(axes, baseline, sorted(group, key=lambda d: -metric.merit(d.interval.value)))
    _limit(rows[-1], [d for group in panels.values() for d in group])
    only = next(iter(panels)) if len(panels) == 1 else "the baseline of its panel"
    figure.suptitle(f"How each variant's test {metric.name} differs from {only}\n{heading}")
    rows[-1].set_xlabel(_xlabel(metric))
    handles = [
        Line2D([], [], marker=marker, color=edge, markerfacecolor=face, label=label)
        for marker, face, edge, label in _MARKERS.values()
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        fontsize="small",
        title="mark: mean difference; line: its 95% interval (Welch's t over the seeds)",
        title_fontsize="small",
    )
    return figure


def _xlabel(metric: Metric) -> str:
    if not metric.by_ratio:
        unit = " (fraction of answers; 0.01 is one in a hundred)" if metric.is_fraction else ""
        return f"difference of the test {metric.label}{unit}"
    return f"difference of log10 of the test {metric.label}: −1 a tenth of the error, +1 ten times"


def _panel(axes: Axes, baseline: Variant, group: Sequence[Difference]) -> None:
    places = np.arange(len(group))
    for place, each in zip(places, group, strict=True):
        marker, face, edge, _ = _MARKERS.get(each.finding, _MARKERS[None])
        found = each.interval
        if np.isfinite(found.low):
            axes.plot([found.low, found.high], [place, place], color=edge, linewidth=2)
        axes.plot(found.value, place, marker, color=edge, markerfacecolor=face, markersize=7)
        said = each.why_not or f"{each.runs} runs, {p_text(each.p)}"
        axes.annotate(
            said, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize="small"
        )
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(places, [each.variant.name for each in group])
    axes.set_ylim(len(group) - 0.4, -1.4)  # The best on top, below the line of words.
    upwards = group[0].metric.higher_is_better
    for word, color, to_the_right in (
        ("better", _BETTER, upwards),
        ("worse", _WORSE, not upwards),
    ):
        said = f"   {word} →" if to_the_right else f"← {word}   "
        side = "left" if to_the_right else "right"
        axes.annotate(said, (0, -0.95), ha=side, va="center", fontsize="small", color=color)
    axes.set_title(f"against {baseline}", loc="left", fontsize="medium")
    axes.grid(axis="x", alpha=0.3)


def _limit(axes: Axes, differences: Sequence[Difference]) -> None:
    """The same limit on both sides of 0, so that there is room for the words on each.

    The interval of two runs can be a hundred times as wide as their difference; it is cut then.
    """
    values = np.array([abs(each.interval.value) for each in differences])
    ends = np.array([[abs(each.interval.low), abs(each.interval.high)] for each in differences])
    widest = np.nanmax([values.max(initial=0), *ends[np.isfinite(ends)]], initial=0)
    limit = min(widest, 10 * max(values.max(initial=0), 1e-12)) or 1.0
    axes.set_xlim(-1.08 * limit, 1.08 * limit)
