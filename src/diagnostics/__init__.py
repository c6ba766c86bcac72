"""What goes on in recurrent layers: gradients through time, gates, gradients of the weights."""

from unrolled.diagnostics.decay import Curve, Decay, curve, decay
from unrolled.diagnostics.gates import GateMeter, Gates, NoGatesError, Use
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
    "Gates",
    "GradientFlow",
    "GradientWatch",
    "NoGatesError",
    "Use",
    "WatchedSteps",
    "WeightGradients",
    "WeightMeter",
    "curve",
    "decay",
    "gradient_norms",
    "logarithmic",
]
