"""A landscape in which one coordinate is held: what the others can do about it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgdtheory.landscape import Batch, Cloud


@dataclass(frozen=True)
class Held:
    """L with θ_index = value, whatever the cloud says of it: its gradient has no such component, so nothing moves it."""

    landscape: Any
    index: int
    value: float

    @property
    def dim(self) -> int:
        return int(self.landscape.dim)

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        return self.place(self.landscape.init(points, stream))

    def place(self, cloud: Cloud) -> Cloud:
        """The same points with the coordinate where it is held."""
        placed = cloud.clone()
        placed[:, self.index] = self.value
        return placed

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        losses: Tensor = self.landscape.losses(self.place(cloud), batch)
        return losses
