"""What one can measure inside recurrent models: how gradients flow back through time."""

from diagnostics.gradient_flow import Flow, GradientFlow
from diagnostics.profile import Decay, LagCurve, by_lag, decay

__all__ = ["Decay", "Flow", "GradientFlow", "LagCurve", "by_lag", "decay"]
