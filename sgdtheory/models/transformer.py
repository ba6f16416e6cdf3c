"""Attention and the block that transformers are made of (Vaswani et al. 2017, 1706.03762)."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from sgdtheory.errors import UserError

Norm: TypeAlias = Literal["layer", "rms"]


class Attention(nn.Module):
    """softmax(QKᵀ/√d) V for each head, d numbers a head, then one product that mixes the heads.

    Written out in products, because these have second derivatives and rules for many sets of
    weights at once, which torch's fused kernels have not; for the short sequences here it is as
    fast. `causal`: a place sees itself and what is before it.
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"model.width={width} is no multiple of model.heads={heads}")
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, T, width] → the same."""
        examples, length, width = x.shape
        size = width // self.heads
        parts = self.qkv(x).view(examples, length, 3, self.heads, size)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # [b, heads, T, d] each
        scores = (q @ k.mT) / size**0.5  # [b, heads, T, T]
        if self.causal:
            later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        mixed = scores.softmax(-1) @ v
        joined = mixed.transpose(1, 2).reshape(examples, length, width)
        out: Tensor = self.out(joined)
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): norms first, as in GPT-2 and ViT."""

    def __init__(self, width: int, heads: int, causal: bool, norm: Norm, ratio: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm_of(norm, width), norm_of(norm, width)
        self.attention = Attention(width, heads, causal)
        self.rise = nn.Linear(width, ratio * width)
        self.fall = nn.Linear(ratio * width, width)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """[b, T, width] → the same."""
        x = x + self.attention(self.norm1(x))
        hidden = self.activation(self.rise(self.norm2(x)))
        fallen: Tensor = self.fall(hidden)
        return x + fallen


def norm_of(norm: Norm, width: int) -> nn.Module:
    """LayerNorm (Ba et al. 2016, 1607.06450) or RMSNorm (Zhang & Sennrich 2019, 1910.07467), over
    the numbers of a place."""
    if norm == "rms":
        return nn.RMSNorm(width, eps=1e-6)
    return nn.LayerNorm(width)
