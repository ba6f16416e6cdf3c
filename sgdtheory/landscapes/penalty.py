"""½λ|θ|² of the parameters that decay."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import torch
from torch import Tensor

from sgdtheory.landscapes.autograd_context import Context
from sgdtheory.protocol import Cloud

Decay: TypeAlias = Literal["all", "weights"]
# so many squares torch's kernel sums in float32 to 3e-7; 10⁶ at once to 2e-5, 10⁷ to 7e-4
BLOCK = 1 << 14
COPIED = 1 << 18  # coordinates up to which a copy of squares takes less time than blocks


@dataclass(frozen=True, eq=False)
class Penalty:
    """½λ|θ|², λ the `weight_decay`, over all of θ or over what `mask` [n] is 1 for."""

    weight_decay: float
    mask: Tensor | None = None

    @classmethod
    def over(
        cls,
        weight_decay: float,
        decay: Decay,
        shapes: Iterable[torch.Size],
        device: torch.device,
    ) -> Self:
        """Over all parameters of these shapes, or over the weights alone."""
        if decay == "all":
            return cls(weight_decay)
        parts = [torch.full((shape.numel(),), float(_is_weight(shape))) for shape in shapes]
        return cls(weight_decay, torch.cat(parts).to(device))

    def __call__(self, cloud: Cloud) -> Tensor:
        """Of each point, [P]."""
        if self.mask is not None:
            cloud = cloud * self.mask.to(cloud)
        return 0.5 * self.weight_decay * squared_norm(cloud)

    def gradient(self, cloud: Cloud, into: Tensor | None = None) -> Tensor:
        """λθ [P, n] of each point, 0 where it does not act; `into` [P, n] where that is given."""
        pull = torch.mul(cloud, self.weight_decay, out=into)
        return pull if self.mask is None else pull.mul_(self.mask.to(cloud))

    def pull_of(self, shape: torch.Size) -> float:
        """λ as it acts on a parameter of this shape."""
        acts = self.mask is None or _is_weight(shape)
        return self.weight_decay if acts else 0.0

    def add_to(self, losses: Tensor, cloud: Cloud) -> None:
        """½λ|θ|² of the points of a cloud [P, n] onto losses [P], in place."""
        if not self.weight_decay:
            return
        if self.mask is not None:
            cloud = cloud * self.mask.to(cloud)
        half = 0.5 * self.weight_decay
        n = cloud.shape[1]
        if n < BLOCK:
            norms = torch.linalg.vector_norm(cloud, dim=1)
            losses.addcmul_(norms, norms, value=half)
        elif n < COPIED:
            losses.add_(torch.linalg.vecdot(cloud, cloud), alpha=half)
        else:
            losses.add_(_squares_by_block(cloud), alpha=half)


def _is_weight(shape: torch.Size) -> bool:
    """Biases and the scales of norms have one axis."""
    return len(shape) > 1


class _SquaredNorm(torch.autograd.Function):
    """|θ|² and its derivative 2θ."""

    @staticmethod
    def forward(ctx: Context, cloud: Tensor) -> Tensor:
        """Of a cloud [P, n], [P]."""
        ctx.save_for_backward(cloud)
        return _squares_by_block(cloud)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Tensor:
        """From the derivatives by the norms [P], [P, n]."""
        (cloud,) = ctx.saved_tensors
        twice = 2 * gradients[0]
        return cloud * twice[:, None]


def _squares_by_block(cloud: Cloud) -> Tensor:
    """|θ|² of each point of a cloud [P, n], [P]: a sum over blocks."""
    whole = cloud.shape[1] // BLOCK * BLOCK
    if not whole:
        return _norms(cloud).square()
    rest = _norms(cloud[:, whole:]).square()
    blocks = cloud[:, :whole].unflatten(1, (-1, BLOCK))
    return _norms(blocks).square().sum(1) + rest


def _norms(vectors: Tensor) -> Tensor:
    """|v| of vectors [..., n], [...]."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norms


def squared_norm(cloud: Cloud) -> Tensor:
    """|θ|² of each point [P]: one product forward and one backward, a third of what autograd makes
    of θ.square().sum()."""
    norms: Tensor = _SquaredNorm.apply(cloud)
    return norms
