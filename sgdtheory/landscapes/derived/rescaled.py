"""A landscape in coordinates that are stretched, each by a factor of its own."""

from collections.abc import Iterator

from torch import Generator, Tensor

from sgdtheory.protocol import Batch, Cloud, Landscape, hvp, parts_of


class Rescaled:
    """L as a function of φ = √P·θ, P [n] positive: its Hessian P^(−½)HP^(−½) has the eigenvalues of
    P⁻¹H, the curvature that a preconditioned step sees.
    """

    def __init__(self, landscape: Landscape, preconditioner: Tensor) -> None:
        self._landscape = landscape
        self._roots = preconditioner.sqrt()  # [n]

    @property
    def dim(self) -> int:
        return self._landscape.dim

    def init(self, points: int, stream: Generator) -> Cloud:
        return self.stretched(self._landscape.init(points, stream))

    def stretched(self, cloud: Cloud) -> Cloud:
        """φ [P, n] of points θ [P, n]."""
        return cloud * self._roots.to(cloud)

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        return self._landscape.losses(cloud / self._roots.to(cloud), batch)

    def parts(self) -> Iterator[tuple[Batch, float]]:
        return parts_of(self._landscape)

    def curvature_products(self, cloud: Cloud, vectors: Tensor, batch: Batch) -> Tensor:
        """P^(−½)HP^(−½)v [P, n] for each of vectors [P, n], by the landscape's own products."""
        roots = self._roots.to(cloud)
        products = hvp(self._landscape, cloud / roots, vectors / roots, batch)
        return products.div(roots)
