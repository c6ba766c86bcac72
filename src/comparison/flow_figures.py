"""Figures of how far gradients flow back in time, and of what gates do."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unrolled.comparison.figures import COLORS, STYLES, add_legend, mark_level, scale_of
from unrolled.diagnostics import Gates
from unrolled.diagnostics.decay import FALLEN
from unrolled.tasks.base.metric import Metric

_GATES = {"u": "update Γu", "f": "forget Γf", "o": "output Γo", "r": "relevance Γr"}
_MARKERS = "osD^vP*X<>hp"
_FAINTEST, _STRONGEST = -6.0, 2.0  # The range of a heat map, in powers of ten.
_FACES = {"before": "none", "after": "gray"}
_RELATIVE = "norm of the gradient, that at the answer = 1"


def lag_curves(curves: Mapping[str, Mapping[int, np.ndarray]], title: str) -> Figure:
    """The norm of the loss's gradient at each lag before the answer, one curve per variant.

    Args:
        curves: by variant and lag, log10 of the norm relative to lag 0, one value per run.
        title: of the figure.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for number, (label, by_lag) in enumerate(curves.items()):
        color, style = COLORS[number % len(COLORS)], STYLES[number % len(STYLES)]
        lags = np.array(sorted(by_lag))
        mean = np.array([np.mean(by_lag[lag]) for lag in lags])
        low = np.array([np.min(by_lag[lag]) for lag in lags])
        high = np.array([np.max(by_lag[lag]) for lag in lags])
        axes.plot(lags, mean, style, color=color, label=label)
        axes.fill_between(lags, low, high, color=color, alpha=0.15, linewidth=0)
    axes.axhline(FALLEN, color="gray", linewidth=0.8)
    axes.annotate("1%", (1, FALLEN), (-20, 3), ("axes fraction", "data"), "offset points")
    axes.set(title=title, xlabel="lag: steps before the answer", ylabel=_RELATIVE)
    axes.yaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    title = "|dL/dc⟨t⟩|, of a basic RNN |dL/da⟨t⟩|\nband: from the lowest run to the highest"
    add_legend(figure, axes, title)
    return figure


def flow_through_training(
    maps: Mapping[str, tuple[Sequence[int], Sequence[int], np.ndarray]], title: str
) -> Figure:
    """The same at every measurement: lag on the x axis, training step on the y axis.

    Args:
        maps: by variant, which have one panel each: training steps, lags, and log10 of the norm
            relative to lag 0, `(training steps, lags)`.
        title: of the figure.
    """
    figure, panels = _grid(len(maps), 3, (3.6, 2.6), (1.2, 0.9), sharex=True)
    for axes, (label, (steps, lags, values)) in zip(panels, maps.items(), strict=True):
        if not len(lags):  # There never was a gradient: the panel stays empty.
            lags, values = [0], np.full((len(steps), 1), np.nan)
        shown = axes.pcolormesh(
            -np.asarray(lags),
            np.arange(len(steps)),
            np.clip(values, _FAINTEST, _STRONGEST),
            cmap="cividis",
            vmin=_FAINTEST,
            vmax=_STRONGEST,
            shading="nearest",
        )
        if np.any(values < FALLEN) and np.any(values > FALLEN):
            line = -np.asarray(lags), np.arange(len(steps)), values
            axes.contour(*line, levels=[FALLEN], colors="white", linestyles="solid", linewidths=1)
        axes.set_title(label, fontsize="medium")
        axes.set_yticks(np.arange(len(steps)), [f"{step:,}" for step in steps], fontsize="x-small")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    label = f"{_RELATIVE}; white line: 1%"
    bar = figure.colorbar(shown, ax=figure.axes, extend="both", label=label)
    bar.ax.axhline(FALLEN, color="white", linewidth=1)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    figure.suptitle(title)
    figure.supxlabel("time step, from the answer (0) back")
    figure.supylabel("training step")
    return figure


def success_by_memory(
    dots: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], title: str, metric: Metric
) -> Figure:
    """How far each run's gradient reaches, and its result on the test split: one dot per run.

    Args:
        dots: by variant the effective memory in steps, the test metric, and whether the memory is
            longer than could be measured, each with one value per run.
        title: of the figure.
        metric: of the task.
    """
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for number, (label, (memory, found, longer)) in enumerate(dots.items()):
        color, marker = COLORS[number % len(COLORS)], _MARKERS[number % len(_MARKERS)]
        axes.scatter(memory, found, c=color, marker=marker, label=label, alpha=0.8, zorder=3)
        for x, y in zip(memory[longer], found[longer], strict=True):
            axes.annotate("→", (x, y), (4, -4), textcoords="offset points", color=color)
    mark_level(axes, metric.chance_level, "chance level")
    if metric.solved is not None:
        mark_level(axes, metric.solved, "solved", ":")
    axes.set(
        title=title,
        xlabel="effective memory of the trained model, in steps (→: longer than the examples)",
        ylabel=f"test {metric.label}",
        yscale=scale_of(metric),
    )
    axes.grid(alpha=0.3)
    add_legend(figure, axes)
    return figure


def half_life_by_gates(
    dots: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], title: str
) -> Figure:
    """The half-life of the gradient, and the half-life that the gates alone imply.

    Args:
        dots: by variant, and then "before" and "after" training, the half-life in steps that the
            gates imply and the one measured, each with one value per run; infinite where nothing
            decays. A variant without gates has no dots, and its color is not used.
        title: of the figure.
    """
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    axes = figure.subplots()
    low, high = _limits(dots)
    handles = []
    for number, (label, by_time) in enumerate(dots.items()):
        color, marker = COLORS[number % len(COLORS)], _MARKERS[number % len(_MARKERS)]
        for when, (implied, measured) in by_time.items():
            face = "none" if when == "before" else color
            shown = [np.minimum(values, high / 1.3) for values in (implied, measured)]
            axes.scatter(*shown, edgecolors=color, facecolors=face, marker=marker, zorder=3)
            for x, y in zip(*(s[np.isinf(measured)] for s in shown), strict=True):
                axes.annotate("↑", (x, y), (-4, 5), textcoords="offset points", color=color)
        if by_time:
            handles.append(_handle(marker, color, color, label))
    handles += [_handle("o", "gray", face, f"{when} training") for when, face in _FACES.items()]
    _explain_diagonal(axes, low, high)
    axes.set(
        title=title,
        xlabel="half-life that the gates imply, in steps: log 2 / -log γ, slowest tenth of units",
        ylabel="half-life of the gradient, in steps (↑: no decay)",
        xscale="log",
        yscale="log",
        xlim=(low, high),
        ylim=(low, high),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_plain))
    axes.grid(alpha=0.3)
    figure.legend(handles=handles, fontsize="small", loc="outside right upper")
    return figure


def _limits(
    dots: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
) -> tuple[float, float]:
    """Limits of both axes, with room for infinite values at the upper one."""
    pairs = [np.ravel(pair) for by_time in dots.values() for pair in by_time.values()]
    found = np.concatenate(pairs)
    finite = found[np.isfinite(found) & (found > 0)]
    return (finite.min() / 2, finite.max() * 4) if len(finite) else (1, 10)


def _explain_diagonal(axes: Axes, low: float, high: float) -> None:
    axes.plot([low, high], [low, high], color="gray", linewidth=0.8)
    above = "longer than the gates imply: through\nrecurrent weights or layers above"
    for place, side, text in (
        ((0.02, 0.98), "left", above),
        ((0.98, 0.78), "right", "as the gates imply"),
    ):
        axes.text(*place, text, transform=axes.transAxes, ha=side, va="top", color="#595959")


def _handle(marker: str, edge: str, face: str, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, color=edge, markerfacecolor=face, label=label
    )


def gate_histograms(name: str, before: dict, after: dict) -> Figure:
    """How far open the gates of one run are, before training and in the stored model.

    Args:
        name: of the run.
        before, after: measurements, as `unrolled.sweeps.diagnostics_callback` makes them.
    """
    parts = [
        (part, gate)
        for part in range(len(after["gates"]))
        for gate in after["gates"][part]["gates"]
    ]
    figure, panels = _grid(len(parts), 4, (3.0, 2.4), (0, 0.8))
    for axes, (part, gate) in zip(panels, parts, strict=True):
        gates = after["gates"][part]
        for label, found, color, style in (
            ("before training", before, COLORS[5], "--"),
            ("after", after, COLORS[0], "-"),
        ):
            use = found["gates"][part]["gates"][gate]
            fractions = use["histogram"]
            edges = np.linspace(0, 1, len(fractions) + 1)
            text = f"{label}: mean {use['mean']:.2f}"
            axes.stairs(fractions, edges, color=color, label=text, linestyle=style, linewidth=1.5)
        title = f"{_GATES[gate]}, {gates['layer']} {gates['direction']}"
        axes.set_title(title, fontsize="small")
        axes.legend(fontsize="x-small")
    figure.suptitle(f"{name}: how far open the gates are")
    figure.supxlabel("value of the gate: 0 shut, 1 open")
    figure.supylabel("fraction of values")
    return figure


def gate_trace(
    name: str,
    gates: Gates,
    example: int,
    words: Sequence[str],
    answer: int,
    log10_norms: np.ndarray,
) -> Figure:
    """How long the units of one run retain their memory over one example, step by step.

    The top panel shows the fraction of c<t-1> that each step retains. The middle panel shows the
    fraction of c<t> that the gates leave at the answer. The bottom panel shows the gradient of the
    answer's loss with respect to c<t>, through gates and weights.

    Args:
        name: of the run.
        gates: of a layer.
        example: index of the example among those measured.
        words: labels of the steps.
        answer: the step of the answer.
        log10_norms: of the gradient with respect to the memory of that layer, `(steps,)`.
    """
    steps = answer + 1
    keep = np.clip(gates.keep[example, :steps], 0, 1).T
    left = np.ones_like(keep)
    left[:, :-1] = np.cumprod(keep[:, :0:-1], axis=1)[:, ::-1]
    order = np.argsort(-keep.mean(axis=1), kind="stable")
    width = max(7.0, 0.19 * steps + 2.5)
    figure = Figure(figsize=(width, 7.6), layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    _by_unit(upper, keep[order], "fraction of c⟨t-1⟩ that\nthe gates retain")
    _by_unit(middle, left[order], "fraction of c⟨t⟩ that the\ngates leave at the answer")
    _gradient_of_answer(lower, log10_norms[:steps] - log10_norms[answer])
    if any(words[:steps]):
        named = [step for step in range(steps) if words[step]]
        lower.set_xticks(named, [words[n] for n in named], rotation=90, fontsize="small")
    lower.set_xlabel("input at each step; the answer is given at the last")
    figure.suptitle(f"{name}: what the memory retains ({gates.layer}, {gates.direction})")
    return figure


def _by_unit(axes: Axes, values: np.ndarray, label: str) -> None:
    """A heat map of values from 0 to 1, `(units, steps)`."""
    shown = axes.imshow(
        values, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest"
    )
    axes.set_ylabel("units, the longest\nmemory on top")
    axes.figure.colorbar(shown, ax=axes, label=label)


def _gradient_of_answer(axes: Axes, relative: np.ndarray) -> None:
    """log10 of the gradient's norm at each step, relative to the step of the answer."""
    shown = np.where(np.isfinite(relative), relative, np.nan)
    axes.plot(range(len(relative)), shown, color=COLORS[0])
    mark_level(axes, FALLEN, "1%")
    axes.set_ylabel("|dL/dc⟨t⟩|,\nat the answer 1")
    axes.yaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def _grid(
    count: int,
    most: int,
    panel: tuple[float, float],
    margin: tuple[float, float],
    sharex: bool = False,
) -> tuple[Figure, Sequence[Axes]]:
    """A figure with `count` panels on one y axis; unused panels of the last row are empty.

    Args:
        count: of panels.
        most: panels in a row.
        panel, margin: width and height in inches.
        sharex: whether the panels share the x axis, too.
    """
    columns = min(most, count)
    rows = -(-count // columns)
    size = (panel[0] * columns + margin[0], panel[1] * rows + margin[1])
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=True).ravel()
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, list(panels[:count])


def _plain(value: float, _: int | None = None) -> str:
    return f"{value:g}"


def _power_of_ten(value: float, _: int | None = None) -> str:
    return f"$10^{{{value:g}}}$"
