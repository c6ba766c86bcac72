"""What goes on in recurrent layers: gradients through time, gates, gradients of the weights."""

from diagnostics.curves import Curve, Decay, curve, decay
from diagnostics.gates import GateMeter, Gates, Use
from diagnostics.gradient_flow import FlowMeter, GradientFlow
from diagnostics.weight_gradients import WeightGradients, WeightMeter, gradient_norms

__all__ = [
    "Curve",
    "Decay",
    "FlowMeter",
    "GateMeter",
    "Gates",
    "GradientFlow",
    "Use",
    "WeightGradients",
    "WeightMeter",
    "curve",
    "decay",
    "gradient_norms",
]
