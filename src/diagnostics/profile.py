"""From the gradient's norms by example and step to a curve by lag, and numbers that describe it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diagnostics.gradient_flow import Flow

_SHARE_REMEMBERED = 0.01
_EXPLODED = 100.0


@dataclass(frozen=True)
class LagCurve:
    """A flow averaged over the examples, by lag.

    Attributes:
        lags: steps back from the loss, 0, 1, ...; int `(lags,)`.
        mean: mean over the examples of log10 |dL/da<t>|, which is log10 of the geometric mean;
            `(lags,)`. One example whose gradient is zero makes it -inf.
        quantiles: by share, that quantile of log10 |dL/da<t>| over the examples, `(lags,)`.
        examples: how many examples reach a lag, `(lags,)`.
    """

    lags: np.ndarray
    mean: np.ndarray
    quantiles: dict[float, np.ndarray]
    examples: np.ndarray


@dataclass(frozen=True)
class Decay:
    """How a curve falls with the lag.

    Attributes:
        per_step: slope of the least-squares line through log10 of the norm by lag; -0.1 is a
            factor of 10^-0.1, about 0.79, a step. NaN for fewer than two lags.
        fit: R² of that line, the share of the variance it explains; NaN for a curve that is flat.
        half_life: steps in which the line falls to a half; infinite where it does not fall.
        effective_memory: the first lag after the peak at which the norm is below 1% of its peak.
        memory_is_longer: True where it never is; `effective_memory` is then the longest lag.
        explodes: whether the norm at any lag is more than 100 times that at the shortest lag where
            it is not zero.
    """

    per_step: float
    fit: float
    half_life: float
    effective_memory: int
    memory_is_longer: bool
    explodes: bool


def by_lag(flow: Flow, shares: Sequence[float] = (0.1, 0.5, 0.9)) -> LagCurve:
    """A flow's curve. Lags that no example has, as between masked steps, are left out.

    Raises:
        ValueError: for a flow of masked steps alone.
    """
    lags = np.unique(flow.lag[flow.lag >= 0])
    if not len(lags):
        raise ValueError(f"{flow.layer}: expected steps that are not masked, got none.")
    values = [flow.log10_norm[flow.lag == lag] for lag in lags]
    return LagCurve(
        lags,
        np.array([part.mean() for part in values]),
        # Between -inf and a number there is nothing to interpolate.
        {q: np.array([np.quantile(v, q, method="lower") for v in values]) for q in shares},
        np.array([len(part) for part in values]),
    )


def decay(curve: LagCurve) -> Decay:
    """What a curve's mean says; lags where it is -inf count for the memory, not for the line."""
    lags, mean = curve.lags, curve.mean
    slope, fit = _line(lags[np.isfinite(mean)], mean[np.isfinite(mean)])
    peak = int(np.argmax(mean))
    first = mean[np.isfinite(mean).argmax()]
    gone = mean[peak] == -np.inf  # At every lag: there is no peak.
    below = gone | (mean[peak:] < mean[peak] + math.log10(_SHARE_REMEMBERED))
    memory = lags[peak:][below.argmax()] if below.any() else lags[-1]
    return Decay(
        per_step=slope,
        fit=fit,
        half_life=_half_life(slope),
        effective_memory=int(memory),
        memory_is_longer=not below.any(),
        explodes=bool(mean[peak] > first + math.log10(_EXPLODED)),
    )


def _half_life(slope):
    if math.isnan(slope):
        return math.nan
    return math.log10(0.5) / slope if slope < 0 else math.inf


def _line(x, y):
    """Slope of the least-squares line, and R²."""
    if len(x) < 2:
        return math.nan, math.nan
    slope, start = np.polyfit(x, y, 1)
    spread = np.square(y - y.mean()).sum()
    unexplained = np.square(y - start - slope * x).sum()
    # What rounding leaves of a flat curve has no line to explain it.
    flat = spread <= len(y) * (1e-12 * max(1.0, np.abs(y).max())) ** 2
    return float(slope), math.nan if flat else float(1 - unexplained / spread)
