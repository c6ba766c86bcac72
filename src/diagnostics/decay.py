"""Curves of gradient norms over the lag, and summaries of their decay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVELS = (0.25, 0.5, 0.75)
"""Default quantile levels."""

FALLEN = -2.0
"""A gradient counts as vanished below this log10 fraction of its peak: 1%."""


@dataclass(frozen=True)
class Curve:
    """Statistics of the gradient norms of many examples at each step or lag.

    Every array has shape `(points,)` unless stated otherwise.

    Attributes:
        at: the steps or lags that occur, in increasing order.
        log10_mean: log10 of the geometric mean of the nonzero norms, which is the mean of their
            log10; -inf if all norms are zero, +inf if one is infinite.
        levels: quantile levels, from 0 to 1.
        log10_quantiles: `(levels, points)`; the inverted empirical CDF at each level, so that every
            value is the log10 of an observed norm. Zeros count as -inf.
        zeros: fraction of the norms that are exactly zero.
        count: number of norms.
    """

    at: np.ndarray
    log10_mean: np.ndarray
    levels: tuple[float, ...]
    log10_quantiles: np.ndarray
    zeros: np.ndarray
    count: np.ndarray


def curve(at: np.ndarray, log10_norms: np.ndarray, levels: Sequence[float] = LEVELS) -> Curve:
    """Computes the `Curve` of norms that are grouped by step or lag.

    Args:
        at: the step or lag of each norm, integers `(norms,)`.
        log10_norms: `(norms,)`, -inf for zero; without masked steps.
        levels: quantile levels.
    """
    points = np.unique(at)
    groups = [log10_norms[at == point] for point in points]
    quantiles = [np.quantile(group, levels, method="inverted_cdf") for group in groups]
    return Curve(
        at=points,
        log10_mean=np.array([_mean(group[group > -np.inf]) for group in groups]),
        levels=tuple(levels),
        log10_quantiles=np.reshape(quantiles, (len(groups), len(levels))).T,
        zeros=np.array([np.mean(group == -np.inf) for group in groups]),
        count=np.array([len(group) for group in groups]),
    )


def _mean(log10_norms: np.ndarray) -> float:
    return log10_norms.mean() if len(log10_norms) else -np.inf


@dataclass(frozen=True)
class Decay:
    """Summary of a curve of log10 norms over the lag.

    Attributes:
        rate: slope of the least-squares line through the curve, in decades per step, with equal
            weight on every lag. A negative rate means that the gradient shrinks in the backward
            pass. Zero and infinite norms are ignored; NaN if fewer than two points remain.
        fit: R^2 of that line; 1 for a constant curve, NaN without a line.
        half_life: number of steps in which the line halves, log10(2) / -rate; infinite if it does
            not decrease, NaN without a line.
        memory: effective memory in steps: the first lag after the peak at which the norm is below
            1% of the peak; the longest lag if there is none.
        memory_is_longer: whether the norm never falls below 1% of the peak. The effective memory is
            then longer than `memory`, by an unknown number of steps.
        explodes: whether the peak is infinite, or more than 100 times the first nonzero norm.
    """

    rate: float
    fit: float
    half_life: float
    memory: int
    memory_is_longer: bool
    explodes: bool


def decay(lags: np.ndarray, log10_norms: np.ndarray) -> Decay:
    """Computes the `Decay` of a curve, for example of `at` and `log10_mean` of a `Curve`.

    Args:
        lags: integers `(points,)`, increasing.
        log10_norms: `(points,)`; -inf for zero.

    Raises:
        ValueError: if the curve is empty, contains NaN, or all its norms are zero.

    >>> lags = np.arange(100)
    >>> found = decay(lags, -0.1 * lags)
    >>> found.memory, round(found.half_life, 3), found.explodes
    (21, 3.01, False)
    """
    lags, log10_norms = np.asarray(lags), np.asarray(log10_norms, "float64")
    if not np.any(log10_norms > -np.inf) or np.isnan(log10_norms).any():
        raise ValueError(
            "`log10_norms`: expected at least one nonzero norm and no NaN, got "
            f"{log10_norms}. No gradient reaches this state, or it was not measured."
        )
    rate, fit = _line(lags, log10_norms)
    peak = log10_norms.argmax()
    vanished = lags[peak:][log10_norms[peak:] < log10_norms[peak] + FALLEN]
    first = log10_norms[log10_norms > -np.inf][0]
    return Decay(
        rate=rate,
        fit=fit,
        half_life=_half_life(rate),
        memory=int(vanished[0] if len(vanished) else lags[-1]),
        memory_is_longer=not len(vanished),
        explodes=bool(log10_norms[peak] == np.inf or log10_norms[peak] > first - FALLEN),
    )


def _line(lags: np.ndarray, log10_norms: np.ndarray) -> tuple[float, float]:
    """Returns the slope and R^2 of the least-squares line through all finite points."""
    finite = np.isfinite(log10_norms)
    if finite.sum() < 2:
        return np.nan, np.nan
    y = log10_norms[finite]
    line = stats.linregress(lags[finite], y)
    return float(line.slope), float(line.rvalue**2) if np.ptp(y) > 0 else 1.0


def _half_life(rate: float) -> float:
    if np.isnan(rate):
        return np.nan
    return float(np.log10(2) / -rate) if rate < 0 else np.inf
