"""Curves of gradient norms over lag, and what they say: how far back does learning reach?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVELS = (0.25, 0.5, 0.75)
"""Of the quantiles, unless told otherwise."""

FALLEN = -2.0
"""log10 of the share of its peak below which a gradient counts as gone: 1%."""


@dataclass(frozen=True)
class Curve:
    """The norms of many examples at each step or lag; every array is `(points,)`.

    Attributes:
        at: the steps or lags that occur, in order.
        log10_mean: log10 of the geometric mean of the norms that are not zero, that is the mean of
            their log10; -inf where all are zero, +inf where one is infinite.
        levels: which quantiles, shares from 0 to 1.
        log10_quantiles: `(levels, points)`; each is the log10 of a norm that occurs, the smallest
            one that at least this share of all norms does not exceed. Zeros count as -inf.
        zeros: share of the norms that are exactly zero.
        count: number of norms.
    """

    at: np.ndarray
    log10_mean: np.ndarray
    levels: tuple[float, ...]
    log10_quantiles: np.ndarray
    zeros: np.ndarray
    count: np.ndarray


def curve(at, log10_norms, levels: Sequence[float] = LEVELS) -> Curve:
    """The `Curve` of norms, each at a step or lag.

    Args:
        at: whole numbers `(norms,)`.
        log10_norms: `(norms,)`, -inf for zero; without masked steps.
        levels: which quantiles.
    """
    places = np.unique(at)
    groups = [log10_norms[at == place] for place in places]
    quantiles = [np.quantile(group, levels, method="inverted_cdf") for group in groups]
    return Curve(
        at=places,
        log10_mean=np.array([_mean(group[group > -np.inf]) for group in groups]),
        levels=tuple(levels),
        log10_quantiles=np.reshape(quantiles, (len(groups), len(levels))).T,
        zeros=np.array([np.mean(group == -np.inf) for group in groups]),
        count=np.array([len(group) for group in groups]),
    )


def _mean(log10_norms):
    return log10_norms.mean() if len(log10_norms) else -np.inf


@dataclass(frozen=True)
class Decay:
    """What a curve of log10 norms over lag comes to.

    Attributes:
        rate: decades per step: the slope of the line fitted to the curve by least squares, every
            lag counting the same. Below 0 the gradient shrinks on its way back. Zero and infinite
            norms are left out; NaN if fewer than two others are left.
        fit: R^2 of that line, the share of the curve's variance that it explains; 1 for a curve
            without variance, NaN without a line.
        half_life: steps in which the line falls by half, log10(2) / -rate; infinite if it does not
            fall, NaN without a line.
        memory: effective memory in steps: the first lag after the peak at which the norm is below
            1% of its peak. If there is none, the longest lag.
        memory_is_longer: whether the norm never falls below 1% of its peak, so that the effective
            memory is longer than `memory`, by an unknown number of steps.
        explodes: whether the peak is over 100 times the norm at the shortest lag at which it is
            not zero, or infinite.
    """

    rate: float
    fit: float
    half_life: float
    memory: int
    memory_is_longer: bool
    explodes: bool


def decay(lags, log10_norms) -> Decay:
    """The `Decay` of a curve, such as `at` and `log10_mean` of a `Curve`.

    Args:
        lags: whole numbers `(points,)`, rising.
        log10_norms: `(points,)`; -inf is zero.

    Raises:
        ValueError: for a curve without points, with NaN, or whose norms are all zero: there is no
            gradient, and so no decay.

    >>> lags = np.arange(100)
    >>> found = decay(lags, -0.1 * lags)
    >>> found.memory, round(found.half_life, 3), found.explodes
    (21, 3.01, False)
    """
    lags, log10_norms = np.asarray(lags), np.asarray(log10_norms, "float64")
    if not np.any(log10_norms > -np.inf) or np.isnan(log10_norms).any():
        raise ValueError(
            "`log10_norms`: expected a curve with a norm above zero, and no NaN, got "
            f"{log10_norms}. No gradient reaches this state, or it was not measured."
        )
    rate, fit = _line(lags, log10_norms)
    peak = log10_norms.argmax()
    gone = lags[peak:][log10_norms[peak:] < log10_norms[peak] + FALLEN]
    first = log10_norms[log10_norms > -np.inf][0]
    return Decay(
        rate=rate,
        fit=fit,
        half_life=_half_life(rate),
        memory=int(gone[0] if len(gone) else lags[-1]),
        memory_is_longer=not len(gone),
        explodes=bool(log10_norms[peak] == np.inf or log10_norms[peak] > first - FALLEN),
    )


def _line(lags, log10_norms):
    """Slope and R^2 of the line through all finite points."""
    there = np.isfinite(log10_norms)
    if there.sum() < 2:
        return np.nan, np.nan
    y = log10_norms[there]
    line = stats.linregress(lags[there], y)
    return float(line.slope), float(line.rvalue**2) if np.ptp(y) > 0 else 1.0


def _half_life(rate):
    if np.isnan(rate):
        return np.nan
    return float(np.log10(2) / -rate) if rate < 0 else np.inf
