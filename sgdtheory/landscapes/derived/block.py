"""The landscape of some coordinates, where all others are held."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from sgdtheory.landscapes.names import coordinates_of
from sgdtheory.protocol import Batch, Cloud, Landscape
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.facts import shapes_of

# what does not depend on θ is the landscape's own
HANDED_ON = {
    "augmentation",
    "batch",
    "count",
    "data",
    "decay",
    "device",
    "loss",
    "module",
    "parts",
    "rows_at_once",
    "sample",
    "weight_decay",
}
# what is a function of a cloud is asked at the points of the block
OF_CLOUDS = {"penalty", "twice_differentiable_losses", "twice_differentiable_outputs"}


class Block:
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
        self._landscape = landscape
        self._held = held
        self._indices = indices.to(held.device)
        self.shapes = dict(shapes or {})

    @classmethod
    def of_names(cls, landscape: Landscape, held: Tensor, names: list[str]) -> "Block":
        """The block of the parameters of these names; all others stand at `held` [n]."""
        shapes = shapes_of(landscape)
        indices = coordinates_of(shapes, names)
        return cls(landscape, held, indices, {name: shapes[name] for name in names})

    def __getattr__(self, name: str) -> Any:
        """What the landscape has besides, where it means the same of a block."""
        if name in HANDED_ON:
            return getattr(self._landscape, name)
        if name in OF_CLOUDS:
            return partial(self._at_place, getattr(self._landscape, name))
        if name == "noise_covariance" and states_noise(self._landscape):
            return self._noise_covariance
        raise AttributeError(f"a block has no {name}")

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

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        return self._landscape.losses(self.place(cloud), batch)

    def _at_place(self, function: Callable[..., Tensor], cloud: Cloud, *rest: Batch) -> Tensor:
        return function(self.place(cloud), *rest)

    def _noise_covariance(self, cloud: Cloud) -> Tensor:
        """[P, k, k]."""
        assert states_noise(self._landscape)
        covariance = self._landscape.noise_covariance(self.place(cloud))
        return covariance[:, self._indices[:, None], self._indices]
