"""What the pictures of gradients and gates show."""

import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex

from unrolled.comparison import flow_figures
from unrolled.comparison.figures import COLORS
from unrolled.diagnostics import Gates


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(figure):
    figure.canvas.draw()
    return figure


def test_a_unit_has_the_color_that_it_has_in_the_other_pictures_of_its_sweep():
    pair = np.array([2.0, np.inf]), np.array([8.0, np.inf])
    dots = {"simple_rnn": {}, "gru": {"before": pair, "after": pair}}
    figure = drawn(flow_figures.half_life_by_gates(dots, "title"))
    colors = {to_hex(dots.get_edgecolor()[0]) for dots in figure.axes[0].collections}
    assert colors == {COLORS[1].lower()}
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["gru", "before training", "after training"]


def test_a_trace_shows_the_gradient_beside_what_the_gates_leave():
    keep = np.full((2, 5, 3), 0.5)
    gates = Gates("gru", "forward", {}, keep, np.ones((2, 5), bool))
    norms = np.array([-3.0, -np.inf, -2.5, -2.0, -9.0])
    figure = drawn(
        flow_figures.gate_trace("run", gates, 1, ["the", "cat", "", "was", ""], 3, norms)
    )
    _, left, gradient, *_ = figure.axes
    np.testing.assert_allclose(left.images[0].get_array()[0], [1 / 8, 1 / 4, 1 / 2, 1])
    np.testing.assert_allclose(gradient.lines[0].get_ydata(), [-1, np.nan, -0.5, 0])
    assert [tick.get_text() for tick in gradient.get_xticklabels()] == ["the", "cat", "was"]


def test_a_heat_map_marks_where_a_hundredth_is_left():
    falling = [0, 1], [0, 1, 2], np.array([[0, -1, -3], [0, -1, -2.5]])
    flat = [0, 1], [0, 1, 2], np.zeros((2, 3))
    nothing = [0, 1], [], np.empty((2, 0))
    maps = {"falling": falling, "flat": flat, "nothing": nothing}
    figure = drawn(flow_figures.flow_through_training(maps, "title"))
    found = [len(axes.collections) for axes in figure.axes[:3]]
    assert found == [2, 1, 1]  # The map itself, and the line.
