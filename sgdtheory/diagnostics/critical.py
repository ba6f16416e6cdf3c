"""Whether a point is critical, or only flat along its gradient."""

from dataclasses import dataclass

from sgdtheory.annotations import PositiveInt
from sgdtheory.geometry.critical_points import kind_of
from sgdtheory.products import top_curvature
from sgdtheory.protocol import Cloud, Landscape, hvp, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured


@dataclass(frozen=True)
class Criticality:
    """`gradient_curvature` |H∇L|/|∇L|, and `gradient_flat`: 1 where it is at most .01·h_max and
    |∇L| ≥ 1e-8, else 0.

    Searches for critical points of a network's loss mostly end where |∇L| is small and has a
    minimum, but is not 0: there the gradient lies in the kernel of H (Frye et al. 2021,
    2003.10397). Both are of the objective with L2 over all training images, and exact but for
    h_max, which `steps` of power iteration bring within a few per cent from below.
    """

    steps: PositiveInt = 20

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        _, gradients = value_and_grad(landscape, cloud)  # [P, n]
        products = hvp(landscape, cloud, gradients)  # [P, n]
        rows = []
        for p, theta in enumerate(cloud):
            norm = float(gradients[p].norm())
            curvature = None
            if norm:
                curvature = float(products[p].norm()) / norm
            top = top_curvature(landscape, theta, stream(0, "critical", p), self.steps)
            flat = kind_of(norm, curvature, top) == "gradient-flat"
            along = Measured.nothing("there is no gradient")
            if curvature is not None:
                along = Measured(curvature)
            rows.append({"gradient_curvature": along, "gradient_flat": Measured(float(flat))})
        return rows
