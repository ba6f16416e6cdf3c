"""A landscape in which one coordinate is held, and what the others can make up for."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgdtheory.optim.descent import lbfgs
from sgdtheory.protocol import Batch, Cloud, value_and_grad, values
from sgdtheory.roles.facts import penalty_of


@dataclass(frozen=True)
class Clamped:
    """L with θ_index = value, whatever the cloud says of it: its gradient has no such component, so
    nothing moves it.
    """

    landscape: Any
    index: int
    value: float

    @property
    def dim(self) -> int:
        return int(self.landscape.dim)

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        return self.place(self.landscape.init(points, stream))

    def place(self, cloud: Cloud) -> Cloud:
        """The same points [P, n] with the coordinate where it is held."""
        placed = cloud.clone()
        placed[:, self.index] = self.value
        return placed

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        losses: Tensor = self.landscape.losses(self.place(cloud), batch)
        return losses


def push(landscape: Any, theta: Tensor, index: int, delta: float, steps: int) -> dict[str, Any]:
    """Losses when coordinate `index` of a minimum θ [n] is pushed by δ, before and after all others
    have adapted.

    `rise`, `left`: of the objective; `data_rise`, `data_left`: without ½λ|θ|². `gradient_norm` of
    the others at the end.
    """
    value = float(theta[index]) + delta
    held = Clamped(landscape, index, value)
    pushed = held.place(theta[None])
    adapted = held.place(lbfgs(held, pushed, steps))
    points = torch.cat([theta[None], pushed, adapted])
    objective = values(landscape, points)
    data = objective - penalty_of(landscape, points)
    rise, left = (objective[1:] - objective[0]).tolist()
    data_rise, data_left = (data[1:] - data[0]).tolist()
    _, gradient = value_and_grad(held, adapted)
    moved = adapted - pushed
    return {
        "parameter": index,
        "delta": delta,
        "rise": rise,
        "left": left,
        "data_rise": data_rise,
        "data_left": data_left,
        "gradient_norm": float(gradient.norm()),
        "moved": float(moved.norm()),
    }


def second_order(curvature: Tensor, indices: list[int]) -> list[float]:
    """1/(H_ii (H⁻¹)_ii) of H [n, n]: the share of a small push's rise that adapting leaves, all
    others eliminated (Schur).
    """
    identity = torch.eye(len(curvature), dtype=curvature.dtype, device=curvature.device)
    inverse = torch.linalg.solve(curvature, identity[:, indices])  # [n, I]
    shares = []
    for k, i in enumerate(indices):
        product = curvature[i, i] * inverse[i, k]
        shares.append(float(1 / product))
    return shares
