"""Whether a point is critical, or only flat along its gradient."""

from dataclasses import dataclass

from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.geometry.critical_points import kind_of
from sgdtheory.geometry.curvature_precision import in_precision, why_rounding
from sgdtheory.products import top_curvature
from sgdtheory.protocol import Cloud, Landscape, hvp, length_of, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured


@dataclass(frozen=True)
class Criticality:
    """`gradient_curvature` |H∇L|/|∇L|, and `gradient_flat`: 1 where it is at most .01·h_max and
    |∇L| ≥ 1e-8, else 0.

    Searches for critical points of a network's loss mostly end where |∇L| is small and has a
    minimum, but is not 0: there the gradient lies in the kernel of H (Frye et al. 2021,
    2003.10397). Both are of the objective with L2 over all training images, and exact but for
    h_max, which `steps` of power iteration bring within a few per cent from below. ∇L is taken in
    float64, products with H as `Spectrum` takes them, and there are no numbers where it has none.
    """

    steps: PositiveInt = 20

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        return [self._row(landscape, theta, p) for p, theta in enumerate(cloud)]

    def _row(self, landscape: Landscape, theta: Tensor, number: int) -> dict[str, Measured]:
        if why := why_rounding(landscape, theta):
            nothing = Measured.nothing(why)
            return {"gradient_curvature": nothing, "gradient_flat": nothing}
        _, (gradient,) = value_and_grad(landscape, theta.double()[None])  # [n]
        norm = length_of(gradient)
        along = Measured.nothing("there is no gradient")
        theta = in_precision(landscape, theta)
        if norm:
            # of length 1, for a gradient that is small may have a square that float32 has not
            product = hvp(landscape, theta[None], (gradient / norm).to(theta)[None])  # [1, n]
            along = Measured(length_of(product[0]))
        top = top_curvature(landscape, theta, stream(0, "critical", number), self.steps)
        flat = kind_of(norm, along.value, top) == "gradient-flat"
        return {"gradient_curvature": along, "gradient_flat": Measured(float(flat))}
