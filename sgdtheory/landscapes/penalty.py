"""½λ|θ|² of the parameters that decay."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sgdtheory.landscapes.autograd_context import Context
from sgdtheory.protocol import Cloud

Decay: TypeAlias = Literal["all", "weights"]
# so many squares torch's kernel sums in float32 to 3e-7; 10⁶ at once to 2e-5, 10⁷ to 7e-4
BLOCK = 1 << 14
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# LlamaRMSNorm, LayerNorm2d, Norm; LayerNormGRUCell is none, and has matrices
NORM = re.compile(r"(Layer|Group|Batch|Instance|RMS|Scale)_?Norm(\dd)?$|^Norm$", re.IGNORECASE)
COPIED = 1 << 18  # coordinates up to which a copy of squares takes less time than blocks


@dataclass(frozen=True, eq=False)
class Penalty:
    """½λ|θ|², λ the `weight_decay`, over all of θ or over what `mask` [n] is 1 for; `free`: the
    names of the parameters that it is 0 for."""

    weight_decay: float
    mask: Tensor | None = None
    free: frozenset[str] = frozenset()

    @classmethod
    def over(
        cls,
        weight_decay: float,
        decay: Decay,
        shapes: Mapping[str, torch.Size],
        module: nn.Module,
        device: torch.device,
    ) -> Self:
        """Over all parameters of these shapes, by their names in a module, or over the weights
        alone."""
        if decay == "all":
            return cls(weight_decay)
        free = frozenset(_no_weights(module, shapes))
        parts = []
        for name, shape in shapes.items():
            acts = float(name not in free)
            parts.append(torch.full((shape.numel(),), acts))
        return cls(weight_decay, torch.cat(parts).to(device), free)

    def __call__(self, cloud: Cloud) -> Tensor:
        """Of each point, [P]."""
        if self.mask is not None:
            cloud = cloud * self.mask.to(cloud)
        return 0.5 * self.weight_decay * squared_norm(cloud)

    def gradient(self, cloud: Cloud, into: Tensor | None = None) -> Tensor:
        """λθ [P, n] of each point, 0 where it does not act; `into` [P, n] where that is given."""
        pull = torch.mul(cloud, self.weight_decay, out=into)
        return pull if self.mask is None else pull.mul_(self.mask.to(cloud))

    def pull_of(self, name: str) -> float:
        """λ as it acts on the parameter of this name."""
        return 0.0 if name in self.free else self.weight_decay

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


def _no_weights(module: nn.Module, shapes: Mapping[str, torch.Size]) -> Iterable[str]:
    """The names of biases and of the scales of norms: most have one axis, those of LayerNorm([C, H,
    W]) and biases [1, C, 1, 1] more."""
    parts = dict(module.named_modules())
    for name, shape in shapes.items():
        where, _, leaf = name.rpartition(".")
        is_scale = _is_norm(parts[where], is_part=bool(where))
        if len(shape) < 2 or leaf.endswith("bias") or is_scale:
            yield name


def _is_norm(part: nn.Module, is_part: bool) -> bool:
    """Whether the parameters of a module are scales of a norm: torch's, or one by its name whose
    parameters are all of one shape. A whole network may be called BatchNorm."""
    if isinstance(part, NORMS):
        return True
    shapes = {weight.shape for weight in part.parameters(recurse=False)}
    return is_part and len(shapes) == 1 and NORM.search(type(part).__name__) is not None


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
