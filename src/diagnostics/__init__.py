"""What goes on in recurrent layers: gradients through time, gates, gradients of the weights."""

from diagnostics.curves import Curve, Decay, curve, decay
from diagnostics.gates import GateMeter, Gates, NoGatesError, Use
from diagnostics.gradient_flow import FlowMeter, GradientFlow
from diagnostics.gradient_watch import DivergedError, GradientWatch, WatchedSteps
from diagnostics.schedule import logarithmic
from diagnostics.weight_gradients import WeightGradients, WeightMeter, gradient_norms

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
