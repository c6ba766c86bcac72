"""The pictures of a comparison, by the names of their files."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from unrolled.comparison import figures, flow_comparison
from unrolled.comparison.extremes import ROWS, extremes
from unrolled.comparison.runs import VariantRuns, report_of
from unrolled.comparison.variants import Variant, label
from unrolled.tasks.base.metric import Metric
from unrolled.tracking import RunRecord

_NORM = "gradient_norm/all"
Key = tuple[str, str]
"""What tells the breakdowns of a run apart: which values, and by what."""


def of_sweep(
    variants: Sequence[VariantRuns], heading: str, baselines: Collection[Variant]
) -> dict[str, Figure]:
    """All pictures; variants that do not fit into one have several, with what they share in names.

    Of a large sweep whose variants do not fit into a few, the best and the worst are drawn.

    Args:
        variants: with the runs that can be compared.
        heading: below each title.
        baselines: of the sweep.
    """
    drawn: dict[str, dict[str, Figure]] = {}
    for scene, scene_variants in _scenes(variants).items():
        together, which = _legible(scene_variants, baselines)
        below = f"{scene}, {heading}" if scene else heading
        below = f"{which}\n{below}" if which else below
        runs = {each.variant: each.runs for each in together}
        of_scene = _learning(together, below) | _breakdowns(together, below)
        of_scene |= flow_comparison.pictures(runs, together[0].metric, below)
        for name, picture in of_scene.items():
            drawn.setdefault(name, {})[scene] = picture
    return {
        f"{name}_{scene}.png".replace(" ", "_") if len(by_scene) > 1 else f"{name}.png": picture
        for name, by_scene in drawn.items()
        for scene, picture in by_scene.items()
    }


def _scenes(variants: Sequence[VariantRuns]) -> dict[str, list[VariantRuns]]:
    """The variants that share pictures, by a name for them: those of one metric.

    If they are more than there are colors, those that share one setting.
    """
    by_metric = _grouped(variants, lambda each: each.metric.key)
    scenes: dict[str, list[VariantRuns]] = {}
    for metric, together in by_metric.items():
        parts = {"": together} if len(together) <= len(figures.COLORS) else _apart(together)
        several = metric if len(by_metric) > 1 else ""
        scenes |= {f"{several} {part}".strip(): group for part, group in parts.items()}
    return scenes


def _legible(
    variants: list[VariantRuns], baselines: Collection[Variant]
) -> tuple[list[VariantRuns], str]:
    """The variants that a picture shows, and which these are if it cannot show all."""
    if len(variants) <= ROWS:
        return variants, ""
    by_variant = {each.variant: each for each in variants}
    runs = {each.variant: each.runs for each in variants}
    found = extremes(runs, baselines, len(figures.COLORS))
    shown = [by_variant[variant] for variant in found.ranks]
    return shown, f"{found.words}, {len(shown)} of {len(variants)} variants"


def _apart(variants: list[VariantRuns]) -> dict[str, list[VariantRuns]]:
    """Groups that share one setting, such as the unit or T: the fewest that fit.

    The groups of a large sweep are at most as many as the variants of a picture.
    """
    most = len(figures.COLORS) if len(variants) > ROWS else len(variants) - 1
    texts = [each.variant.texts for each in variants]
    keys = [key for key in texts[0] if all(key in each for each in texts)]
    options = [_grouped(variants, partial(_setting, key)) for key in keys]
    fit = [
        groups
        for groups in options
        if 1 < len(groups) <= most and max(map(len, groups.values())) <= len(figures.COLORS)
    ]
    return min(fit, key=len, default={"": variants})


def _setting(key: str, variant: VariantRuns) -> str:
    return label(key, variant.variant.texts[key])


def _grouped(
    variants: Sequence[VariantRuns], key: Callable[[VariantRuns], str]
) -> dict[str, list[VariantRuns]]:
    grouped: dict[str, list[VariantRuns]] = {}
    for variant in variants:
        grouped.setdefault(key(variant), []).append(variant)
    return grouped


def _learning(variants: Sequence[VariantRuns], heading: str) -> dict[str, Figure]:
    drawn = {}
    seen = f"training {variants[0].runs[0].tags.get('counted', 'examples')} seen"
    for cost, xlabel in (
        ("examples_seen", seen),
        ("seconds", "seconds of training, validation included"),
    ):
        curves = [
            _curve(each, cost, f"validation/{each.metric.key}", each.metric) for each in variants
        ]
        title = f"Learning by {xlabel}\n{heading}"
        drawn[f"learning_by_{cost}"] = figures.with_bands(
            curves, title, xlabel, f"validation {variants[0].metric.label}"
        )
    watched = [each for each in variants if all(_NORM in run.series for run in each.runs)]
    if watched:
        drawn["gradient_norm"] = figures.with_bands(
            [_curve(each, "examples_seen", _NORM) for each in watched],
            f"Norm of all weights' gradients before clipping, mean of each epoch\n{heading}",
            seen,
            "norm of the gradient",
            logarithmic=True,
        )
    return drawn


def _curve(
    variant: VariantRuns, over: str, what: str, metric: Metric | None = None
) -> figures.Curve:
    """A metric of all runs of a variant after each epoch, over the mean of another metric."""
    values = np.array([[value for _, value in run.series[what]] for run in variant.runs])
    x = np.mean([[value for _, value in run.series[over]] for run in variant.runs], axis=0)
    return figures.Curve(variant.name, x, values, metric)


def _breakdowns(variants: Sequence[VariantRuns], heading: str) -> dict[str, Figure]:
    drawn = {}
    by_variant = [(each, _breakdowns_of(each.runs[0])) for each in variants]
    for key in dict.fromkeys(key for _, found in by_variant for key in found):
        what, by = key
        name = f"{what} by {by}"
        drawn[name.replace(" ", "_")] = figures.with_bands(
            [_breakdown(each, key) for each, found in by_variant if key in found],
            f"{name[0].upper()}{name[1:]}\n{heading}",
            by,
            f"test {what}",
        )
    return drawn


def _breakdowns_of(run: RunRecord) -> dict[Key, Mapping]:
    return {(each["what"], each["by"]): each for each in report_of(run)["breakdowns"]}


def _breakdown(variant: VariantRuns, key: Key) -> figures.Curve:
    """A breakdown of the test of all runs of a variant."""
    found = [_breakdowns_of(run) for run in variant.runs]
    by_run = [
        {point["at"]: point["value"] for point in each[key]["points"]} if key in each else {}
        for each in found
    ]
    x = sorted(set().union(*by_run))
    values = np.array([[run.get(at, np.nan) for at in x] for run in by_run])
    metric = found[0][key]["metric"]
    return figures.Curve(variant.name, np.array(x), values, metric and Metric(**metric))
