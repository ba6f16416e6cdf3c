"""A landscape whose every coordinate is measured in units of its own."""

from torch import Generator, Tensor

from sgdtheory.landscapes.derived.placed import Placed
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.facts import shapes_of, title_of


class Rescaled(Placed):
    """L(θ) as a function of φ = s·θ, s `scale` [n] > 0.

    With S = diag(s) its gradient is S⁻¹∇L, its Hessian S⁻¹HS⁻¹, and the covariance of an example's
    gradient S⁻¹CS⁻¹.
    """

    def __init__(self, landscape: Landscape, scale: Tensor) -> None:
        super().__init__(landscape)
        self._scale = scale
        self.shapes = shapes_of(landscape)
        self.title = title_of(landscape)

    @property
    def dim(self) -> int:
        return self._landscape.dim

    def init(self, points: int, stream: Generator) -> Cloud:
        """φ [P, n] of random points."""
        return self.stretched(self._landscape.init(points, stream))

    def stretched(self, cloud: Cloud) -> Cloud:
        """φ [P, n] of points θ [P, n]."""
        return cloud * self._scale.to(cloud)

    def place(self, cloud: Cloud) -> Cloud:
        """φ [P, n] as θ [P, n]."""
        return cloud / self._scale.to(cloud)

    def _covariance_of(self, covariance: Tensor) -> Tensor:
        """S⁻¹CS⁻¹ of C, both [P, n, n]."""
        scale = self._scale.to(covariance)
        return covariance / (scale[:, None] * scale)
