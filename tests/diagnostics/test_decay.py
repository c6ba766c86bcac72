"""Statistics of gradient norms and their decay, on curves with known results."""

import numpy as np
import pytest

from unrolled.diagnostics import GradientFlow, curve, decay

LAGS = np.arange(200)


def test_a_curve_is_the_geometric_mean_and_quantiles_of_the_norms_at_each_place():
    at = np.array([5, 0, 5, 5, 0, 5, 5])
    norms = np.array([-2.0, -1.0, -4.0, -3.0, -3.0, -1.0, 0.0])
    found = curve(at, norms, levels=(0.2, 0.5))
    np.testing.assert_array_equal(found.at, [0, 5])
    np.testing.assert_allclose(found.log10_mean, [-2, -2])
    np.testing.assert_allclose(10 ** found.log10_mean[0], np.sqrt(10**-1.0 * 10**-3.0))
    np.testing.assert_array_equal(found.log10_quantiles, [[-3, -4], [-3, -2]])
    np.testing.assert_array_equal(found.count, [2, 5])
    np.testing.assert_array_equal(found.zeros, [0, 0])


def test_zeros_count_in_the_quantiles_but_not_in_the_mean():
    found = curve(np.zeros(4), np.array([-np.inf, -1, -np.inf, -3]), levels=(0.5, 0.75, 1))
    np.testing.assert_array_equal(found.log10_quantiles[:, 0], [-np.inf, -3, -1])
    assert (found.log10_mean[0], found.zeros[0]) == (-2, 0.5)
    nothing = curve(np.zeros(2), np.full(2, -np.inf))
    assert (nothing.log10_mean[0], nothing.zeros[0]) == (-np.inf, 1)
    assert curve(np.zeros(2), np.array([1, np.inf])).log10_mean[0] == np.inf


def test_a_curve_without_norms():
    found = curve(np.zeros(0, int), np.zeros(0))
    assert found.at.shape == (0,)
    assert found.log10_quantiles.shape == (3, 0)


def test_a_flow_ignores_masked_steps_and_negative_lags():
    norms = np.array([[-1.0, np.nan, -3.0], [-5.0, -6.0, -7.0]])
    mask = ~np.isnan(norms)
    flow = GradientFlow(
        "gru", "forward", "c", "late", norms, mask, np.array([[1, 1, 0], [1, 0, -1]])
    )
    np.testing.assert_array_equal(flow.by_step().log10_mean, [-3, -6, -5])
    np.testing.assert_array_equal(flow.by_lag().at, [0, 1])
    np.testing.assert_array_equal(flow.by_lag().log10_mean, [-4.5, -3])


@pytest.mark.parametrize("rate", [-0.5, -0.1, -0.011])
def test_a_curve_that_decays_at_one_rate(rate):
    found = decay(LAGS, 3 + rate * LAGS)
    assert found.rate == pytest.approx(rate, rel=1e-12)
    assert found.fit == pytest.approx(1, abs=1e-12)
    assert 10 ** (rate * found.half_life) == pytest.approx(0.5)
    assert found.memory == np.floor(2 / -rate + 1e-9) + 1
    assert (found.memory_is_longer, found.explodes) == (False, False)


def test_the_fit_is_the_coefficient_of_determination():
    rng = np.random.default_rng(0)
    norms = -0.02 * LAGS + rng.normal(size=len(LAGS))
    found = decay(LAGS, norms)
    assert found.rate == pytest.approx(np.polyfit(LAGS, norms, 1)[0])
    assert found.fit == pytest.approx(np.corrcoef(LAGS, norms)[0, 1] ** 2)
    assert 0.3 < found.fit < 0.8


def test_a_memory_longer_than_the_measured_lags():
    found = decay(LAGS, -0.005 * LAGS)
    assert (found.memory, found.memory_is_longer) == (199, True)
    flat = decay(LAGS, np.zeros(200))
    assert (flat.rate, flat.fit, flat.half_life) == (0, 1, np.inf)
    assert (flat.memory, flat.memory_is_longer, flat.explodes) == (199, True, False)


def test_memory_counts_from_the_peak_and_ends_where_the_norm_falls_first():
    norms = np.concatenate([[-1.0, -0.5, 0.0], [-1.9, -2.1, -1.0, -3.0]])
    found = decay(np.arange(7), norms)
    assert (found.memory, found.explodes) == (4, False)


def test_unmeasured_lags_do_not_count_as_vanished():
    assert decay(np.array([0, 10, 40]), np.array([0.0, -1.0, -4.0])).memory == 40


@pytest.mark.parametrize("top", [2.5, np.inf])
def test_an_explosion(top):
    norms = np.linspace(0, 1, 200)
    assert not decay(LAGS, norms).explodes
    norms[150] = top
    assert decay(LAGS, norms).explodes
    growing = decay(LAGS, 0.1 * LAGS)
    assert growing.explodes
    assert growing.rate == pytest.approx(0.1)
    assert growing.half_life == np.inf


def test_zeros_end_the_memory_and_are_not_fitted():
    norms = np.where(LAGS < 10, -0.1 * LAGS, -np.inf)
    found = decay(LAGS, norms)
    assert found.rate == pytest.approx(-0.1)
    assert (found.memory, found.memory_is_longer) == (10, False)
    alone = decay(LAGS[:3], np.array([-1, -np.inf, -np.inf]))
    assert np.isnan([alone.rate, alone.fit, alone.half_life]).all()
    assert alone.memory == 1


@pytest.mark.parametrize("norms", [[-np.inf, -np.inf], [], [0, np.nan]])
def test_a_curve_without_a_gradient_has_no_decay(norms):
    with pytest.raises(ValueError, match="expected at least one nonzero norm"):
        decay(np.arange(len(norms)), norms)
