"""Figures of one run and of a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")  # Figures go to files and need no display.

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from unrolled.tasks.base.metric import Metric
from unrolled.tasks.base.task import Confusion

# Okabe and Ito's palette, for any kind of color vision. Line styles differ in grayscale as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
_DARK = 0.5  # Fraction above which a cell is so dark that its text is white.

_LONG = 30  # Characters of a label; seven that are longer fill a third of the axes.


@dataclass(frozen=True)
class Curve:
    """The same measurement of several runs.

    Attributes:
        label: of the curve in a legend.
        x: `(points,)`.
        values: `(runs, points)`; NaN where a run has no value at a point.
        metric: of the values; None if they are of no metric of a task.
    """

    label: str
    x: np.ndarray
    values: np.ndarray
    metric: Metric | None = None


def learning_curves(
    name: str, history: dict[str, list[float]], best_epoch: int, metric: Metric
) -> Figure:
    """Loss and metric of one run after each epoch, on the training and the validation split."""
    shown = {metric.key: metric.label}
    if not metric.is_loss:
        shown = {"loss": "loss", **shown}
    figure = Figure(figsize=(4.5 * len(shown), 3.5), layout="constrained")
    figure.suptitle(name)
    epochs = np.arange(1, len(history["train/loss"]) + 1)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (key, label) in zip(panels, shown.items(), strict=True):
        for style, split in zip(STYLES, ("train", "validation"), strict=False):
            axes.plot(epochs, history[f"{split}/{key}"], style, label=split, marker=".")
        axes.axvline(best_epoch, color="gray", linewidth=0.8)
        axes.set(xlabel="epoch", ylabel=label, yscale=scale_of(metric))
        axes.annotate("best", (best_epoch, 1), (3, -10), ("data", "axes fraction"), "offset points")
        axes.legend()
    return figure


def with_bands(
    curves: Sequence[Curve], title: str, xlabel: str, ylabel: str, logarithmic: bool = False
) -> Figure:
    """Curves of several variants: a line at the mean over runs, a band of one standard deviation.

    The chance level is a gray line. Fractions are shown in percent. The axis of an error is
    logarithmic, and its band does not extend below the lowest run. The x axis is logarithmic as
    well if each point is at least twice the previous one, as in 1, 2, 5, 10.

    Args:
        curves: one per variant, all of the same metric or all of none.
        title: of the figure.
        xlabel, ylabel: with their units.
        logarithmic: whether the y axis is logarithmic whatever the metric.
    """
    metric = curves[0].metric
    scale = "log" if logarithmic else scale_of(metric)
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        color, style = COLORS[number % len(COLORS)], STYLES[number % len(STYLES)]
        mean = np.nanmean(curve.values, axis=0)
        spread = _standard_deviation(curve.values)
        lowest = np.nanmin(curve.values, axis=0) if scale == "log" else -np.inf
        below = np.maximum(mean - spread, lowest)
        axes.plot(curve.x, mean, style, color=color, label=curve.label, marker=".")
        axes.fill_between(curve.x, below, mean + spread, color=color, alpha=0.15, linewidth=0)
    for chance in {curve.metric.chance_level for curve in curves if curve.metric is not None}:
        mark_level(axes, chance, "chance level")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, yscale=scale)
    if metric is not None and metric.is_fraction:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    _scale_x(axes, np.unique(np.concatenate([curve.x for curve in curves])))
    axes.grid(alpha=0.3)
    add_legend(figure, axes)
    return figure


def _scale_x(axes: Axes, points: np.ndarray) -> None:
    positive = points[points > 0]
    if len(positive) > 3 and points[0] >= 0 and (positive[1:] >= 2 * positive[:-1]).all():
        first, last = positive[0], positive[-1]
        axes.set_xscale("symlog", linthresh=first, linscale=0.4)  # Unlike "log" it can show a 0.
        axes.set_xlim(-first / 4 if points[0] == 0 else first * 0.85, last * 1.2)
        axes.set_xticks(points, [f"{point:g}" for point in points], minor=False)
        axes.xaxis.set_minor_locator(NullLocator())
    elif (points == points.round()).all():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def confusion_matrix(name: str, confusion: Confusion) -> Figure:
    """How often each class was predicted for each true class; colors are fractions of a row."""
    counts = np.array(confusion.counts)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.6 + 0.75 * len(confusion.classes)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if fractions[row, column] > _DARK else "black"
        text = f"{count:,}\n{fractions[row, column]:.1%}" if count else "0"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    places = range(len(confusion.classes))
    axes.set_xticks(places, confusion.classes)
    axes.set_yticks(places, confusion.classes)
    axes.set(title=name.replace("_", " "), xlabel="predicted", ylabel="true")
    bar = figure.colorbar(image, ax=axes, label="fraction of the words in a row", shrink=0.8)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def add_legend(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """A legend inside the axes, or below them if long labels would cover the curves.

    Args:
        figure: grows by a legend below the axes.
        axes: the only ones of the figure.
        title: of the legend.
    """
    _, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels))
    if longest <= _LONG:
        axes.legend(title=title)
        return
    columns = 2 if longest <= 2 * _LONG else 1
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(labels) // columns))
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small", title=title)


def mark_level(axes: Axes, value: float, name: str, style: str = "-") -> None:
    """A horizontal line, with its name at the left."""
    axes.axhline(value, color="gray", linewidth=0.8, linestyle=style)
    axes.annotate(name, (0, value), (4, 3), ("axes fraction", "data"), "offset points")


def scale_of(metric: Metric | None) -> str:
    """The scale on which a metric can be read from the chance level to nearly perfect."""
    return "log" if metric is not None and metric.by_ratio else "linear"


def _standard_deviation(values: np.ndarray) -> np.ndarray:
    count = np.sum(~np.isnan(values), axis=0)
    with np.errstate(invalid="ignore"):  # An infinite value gives NaN, which is not drawn.
        spread = np.nanstd(values, axis=0) * np.sqrt(count / np.maximum(count - 1, 1))
    return np.where(count > 1, spread, 0)
