"""Curves by lag, on flows whose numbers are known."""

import numpy as np
import pytest

from diagnostics import Flow, LagCurve, by_lag, decay


def curve(mean):
    lags = np.arange(len(mean))
    return LagCurve(lags, np.asarray(mean, float), {}, np.ones(len(mean), int))


def test_a_curve_averages_what_examples_have_at_a_lag():
    norms = np.array([[1e-3, 1e-1], [np.nan, 1e-3]])
    flow = Flow("unit", "forward", "a", np.log10(norms), np.array([[1, 0], [-1, 0]]))
    found = by_lag(flow, shares=(0.0, 1.0))
    np.testing.assert_array_equal(found.lags, [0, 1])
    np.testing.assert_allclose(found.mean, [-2, -3])
    np.testing.assert_allclose(found.quantiles[0.0], [-3, -3])
    np.testing.assert_allclose(found.quantiles[1.0], [-1, -3])
    np.testing.assert_array_equal(found.examples, [2, 1])


def test_a_flow_without_a_step_is_refused():
    flow = Flow("unit", "forward", "a", np.full((1, 2), np.nan), np.full((1, 2), -1))
    with pytest.raises(ValueError, match="unit: expected steps that are not masked"):
        by_lag(flow)


def test_a_steady_fall():
    found = decay(curve(1 - 0.1 * np.arange(50)))
    assert found.per_step == pytest.approx(-0.1)
    assert found.fit == pytest.approx(1)
    assert found.half_life == pytest.approx(np.log(2) / np.log(10**0.1))
    assert (found.effective_memory, found.memory_is_longer) == (21, False)
    assert not found.explodes


def test_a_fall_with_noise_is_fitted_less_well():
    noise = np.random.default_rng(0).normal(size=200)
    found = decay(curve(-0.02 * np.arange(200) + noise))
    assert found.per_step == pytest.approx(-0.02, abs=0.004)
    assert 0.3 < found.fit < 0.9


def test_memory_counts_from_the_peak_and_ends_with_the_lags():
    assert decay(curve([0, 2, 1, -0.5, -1])).effective_memory == 3
    found = decay(curve([0, -1, -1.5]))
    assert (found.effective_memory, found.memory_is_longer) == (2, True)


def test_a_gradient_that_is_gone_ends_the_memory_and_not_the_line():
    found = decay(curve([0, -1, -np.inf]))
    assert found.per_step == pytest.approx(-1)
    assert (found.effective_memory, found.memory_is_longer) == (2, False)


def test_no_gradient_at_all_is_no_memory():
    found = decay(curve([-np.inf] * 3))
    assert (found.effective_memory, found.memory_is_longer, found.explodes) == (0, False, False)
    assert np.isnan(found.per_step)


def test_growth_and_flatness():
    grown = decay(curve(0.5 * np.arange(10)))
    assert grown.explodes
    assert grown.half_life == np.inf
    assert decay(curve(np.zeros(5))).half_life == np.inf
    assert np.isnan(decay(curve(np.zeros(5))).fit)
    assert np.isnan(decay(curve([0.0])).half_life)
    assert not decay(curve([-np.inf, 0, -1])).explodes
    assert decay(curve([-np.inf, 0, 2.1])).explodes
