"""The objective at a point and the length of its gradient."""

from torch import Tensor

from sgdtheory.geometry.curvature_precision import EPS, FINE, SATURATED, saturation
from sgdtheory.protocol import Landscape, length_of, value_and_grad
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row

LOST = "the loss is 0 to the rounding of float64, and so is its gradient"


def slope_at(landscape: Landscape, theta: Tensor) -> Row:
    """`objective` and `gradient_norm` at a point θ [n] in float64, whatever its dtype: in float32
    the objective of a net that fits its data is rounding, and so is a gradient near a minimum.

    A cross-entropy that is rounding in float64 too is known to 8ε, and its gradient is not.
    """
    double = theta.double()
    value, gradient = value_and_grad(landscape, double[None])
    objective = Measured(float(value[0]))
    norm = Measured(length_of(gradient[0]))
    if saturation(landscape, double) > FINE:
        objective = objective._replace(stderr=SATURATED * EPS)
        norm = Measured.nothing(LOST)
    return {**objective.columns("objective"), **norm.columns("gradient_norm")}
