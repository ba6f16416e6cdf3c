"""The landscape of some coordinates, where all others are held."""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from sgdtheory.landscapes.derived.placed import Placed
from sgdtheory.landscapes.names import coordinates_of
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.facts import shapes_of


class Block(Placed):
    """L as a function of the coordinates `indices` [k] of θ alone; the others stand at `held` [n].

    Its gradient is ∇L at these coordinates, its Hessian their rows and columns of H, and the
    covariance of an example's gradient those of C. `shapes`: of the parameters in it, by name.
    """

    def __init__(
        self,
        landscape: Landscape,
        held: Tensor,
        indices: Tensor,
        shapes: Mapping[str, torch.Size] | None = None,
    ) -> None:
        super().__init__(landscape)
        self._held = held
        self._indices = indices.to(held.device)
        self.shapes = dict(shapes or {})

    @classmethod
    def of_names(cls, landscape: Landscape, held: Tensor, names: list[str]) -> "Block":
        """The block of the parameters of these names; all others stand at `held` [n]."""
        shapes = shapes_of(landscape)
        indices = coordinates_of(shapes, names)
        return cls(landscape, held, indices, {name: shapes[name] for name in names})

    @property
    def dim(self) -> int:
        return len(self._indices)

    @property
    def theta(self) -> Tensor:
        """The block's own coordinates [k] of the point at which the others are held."""
        return self._held[self._indices]

    def init(self, points: int, stream: Generator) -> Cloud:
        return self._landscape.init(points, stream)[:, self._indices]

    def place(self, cloud: Cloud) -> Cloud:
        """Points of the block [P, k] as points of the landscape [P, n]."""
        held = self._held.to(cloud).expand(len(cloud), -1)
        return held.index_copy(1, self._indices, cloud)

    def _covariance_of(self, covariance: Tensor) -> Tensor:
        """Its rows and columns [P, k, k] of C [P, n, n]."""
        return covariance[:, self._indices[:, None], self._indices]
