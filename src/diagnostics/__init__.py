"""Measurements on recurrent layers: gradient flow through time, gates, weight gradients."""

from unrolled.diagnostics.decay import Curve, Decay, curve, decay
from unrolled.diagnostics.gates import GateMeter, Gates, GateSummary, NoGatesError
from unrolled.diagnostics.gradient_flow import FlowMeter, GradientFlow
from unrolled.diagnostics.gradient_watch import DivergedError, GradientWatch, WatchedSteps
from unrolled.diagnostics.schedule import logarithmic
from unrolled.diagnostics.weight_gradients import WeightGradients, WeightMeter, gradient_norms

__all__ = [
    "Curve",
    "Decay",
    "DivergedError",
    "FlowMeter",
    "GateMeter",
    "GateSummary",
    "Gates",
    "GradientFlow",
    "GradientWatch",
    "NoGatesError",
    "WatchedSteps",
    "WeightGradients",
    "WeightMeter",
    "curve",
    "decay",
    "gradient_norms",
    "logarithmic",
]
