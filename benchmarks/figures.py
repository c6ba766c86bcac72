"""The figure of a benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.peers import Shape
from unrolled.comparison.figures import COLORS

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
_WIDTH = 0.7  # Of the points of one shape; the distance between two shapes is 1.


@dataclass(frozen=True)
class Ratio:
    """One point: what the peer needs, divided by what the unit needs."""

    unit: str
    shape: Shape
    masked: bool
    value: float


def ratios(panels: Mapping[str, Sequence[Ratio]], title: str) -> Figure:
    """Ratios of every unit on every shape, one panel per heading, with a line at 1.

    Hollow points are those of masked batches, in which examples differ in length.
    """
    figure = Figure(figsize=(10, 1.3 + 2.6 * len(panels)), layout="constrained")
    figure.suptitle(title)
    every = [point for points in panels.values() for point in points]
    units = list(dict.fromkeys(point.unit for point in every))
    shapes = list(dict.fromkeys(point.shape for point in every))
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (heading, points) in zip(rows, panels.items(), strict=True):
        for point in points:
            number = units.index(point.unit)
            offset = _WIDTH * ((number + 0.5) / len(units) - 0.5)
            x = shapes.index(point.shape) + offset
            axes.plot(x, point.value, **_look(number, point.masked))
        axes.axhline(1, color="black", linewidth=1)
        for border in range(1, len(shapes)):
            axes.axvline(border - 0.5, color="lightgrey", linewidth=0.8)
        axes.set(title=heading, ylabel="peer / ours", xlim=(-0.5, len(shapes) - 0.5))
        _logarithmic(axes, [point.value for point in points])
    rows[-1].set_xticks(range(len(shapes)), [shape.heading for shape in shapes])
    handles = _handles(units, {point.masked for point in every})
    figure.legend(handles=handles, loc="outside lower center", ncols=6)
    return figure


def _look(number, masked):
    color = COLORS[number % len(COLORS)]
    return {
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": "none",
        "color": color,
        "markerfacecolor": "none" if masked else color,
    }


def _handles(units, masks):
    handles = [Line2D([], [], label=u, **_look(n, False)) for n, u in enumerate(units)]
    if True in masks:
        hollow = {"marker": "o", "linestyle": "none", "color": "black", "markerfacecolor": "none"}
        handles.append(Line2D([], [], label="hollow: with masks", **hollow))
    return handles


def _logarithmic(axes, values):
    """A logarithmic axis: a ratio of 2 is as far from 1 as a ratio of 1/2."""
    axes.set_yscale("log")
    axes.set_ylim(min(0.8, *values) / 1.1, max(2.0, *values) * 1.1)
    low, high = axes.get_ylim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", alpha=0.3)
