"""Transformers and norms as others write them, small."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv1D(nn.Module):
    """A linear layer as GPT-2's code has it: its weight is [inputs, outputs]."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        size = (*x.shape[:-1], self.outputs)
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(size)


class GPT2Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = Conv1D(3 * width, width), Conv1D(width, width)
        self.c_fc, self.c_out = Conv1D(4 * width, width), Conv1D(width, 4 * width)
        self.register_buffer("bias", torch.tril(torch.ones(16, 16)).bool().view(1, 1, 16, 16))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.c_attn(self.ln_1(x)).split(x.shape[-1], dim=2)
        shape = (*x.shape[:-1], self.heads, x.shape[-1] // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in parts)
        scores = torch.matmul(q, k.transpose(-1, -2)) / torch.full([], q.shape[-1] ** 0.5)
        mask = self.get_buffer("bias")[:, :, : x.shape[1], : x.shape[1]]
        least = torch.full([], torch.finfo(scores.dtype).min, dtype=scores.dtype)
        scores = torch.where(mask, scores, least)
        mixed = torch.matmul(F.softmax(scores, dim=-1), v).transpose(1, 2).contiguous()
        x = x + self.c_proj(mixed.view(*x.shape))
        hidden = self.c_fc(self.ln_2(x))
        hidden = 0.5 * hidden * (1 + torch.tanh(0.8 * (hidden + 0.045 * torch.pow(hidden, 3.0))))
        fallen: Tensor = self.c_out(hidden)
        return x + fallen


class GPT2(nn.Module):
    """Tied, with products of weights that stand the other way round, and a dictionary as outcome."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(13, width), nn.Embedding(16, width)
        self.h = nn.ModuleList(GPT2Block(width, heads) for _ in range(2))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 13, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, codes: Tensor) -> dict[str, Tensor]:
        x = self.wte(codes) + self.wpe(torch.arange(codes.shape[1])[None])
        for block in self.h:
            x = block(x)
        return {"logits": self.lm_head(self.ln_f(x)), "hidden": x}


class Fused(nn.Module):
    """A ViT with torch's fused attention, layer scale, a convolution for the patches; `norms` of
    queries and keys are one for all heads."""

    def __init__(self, width: int = 16, heads: int = 4, norms: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.scale = nn.Parameter(0.1 * torch.ones(width))
        self.head = nn.Linear(width, 10)
        size = width // heads
        self.of_query = nn.LayerNorm(size) if norms else nn.Identity()
        self.of_key = nn.LayerNorm(size) if norms else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.first.expand(len(x), -1, -1), x), 1) + self.places
        b, n, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(self.of_query(q), self.of_key(k), v)
        x = x + self.scale * self.proj(mixed.transpose(1, 2).reshape(b, n, width))
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        logits: Tensor = self.head(x[:, 0] + x[:, 1:].mean(1))
        return logits


class Encoder(nn.Module):
    """torch's own layers, causal; classes are the second axis of what it returns."""

    def __init__(self, norm_first: bool = False) -> None:
        super().__init__()
        self.token, self.places = nn.Embedding(13, 8), nn.Parameter(torch.randn(6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        for part in self.layers.parameters():  # its layers begin as copies
            nn.init.normal_(part, std=0.3)
        self.head = nn.Linear(8, 13)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.token(codes) + self.places
        mask = nn.Transformer.generate_square_subsequent_mask(codes.shape[1], dtype=x.dtype)
        logits: Tensor = self.head(self.layers(x, mask=mask))
        return logits.mT


class Crossed(nn.Module):
    """torch's multi-head attention, to itself and to something of another width."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.other, self.head = nn.Embedding(13, 8), nn.Linear(8, 12), nn.Linear(8, 13)
        self.own = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cross = nn.MultiheadAttention(8, 2, kdim=12, vdim=12)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.token(codes)
        x = x + self.own(x, x, x)[0]
        y = self.other(x).relu().transpose(0, 1)
        x = x + self.cross(x.transpose(0, 1), y, y, need_weights=False)[0].transpose(0, 1)
        logits: Tensor = self.head(x)
        return logits


class RMS(nn.Module):
    """x/√(mean of x²), with a scale or without."""

    def __init__(self, width: int, has_scale: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if has_scale else None

    def forward(self, x: Tensor) -> Tensor:
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return y if self.weight is None else self.weight * y


class Llama(nn.Module):
    """One block: rotary positions, two heads of keys for four of queries, a gated layer."""

    def __init__(self, has_scale: bool = True) -> None:
        super().__init__()
        self.token, self.head = nn.Embedding(31, 16), nn.Linear(16, 31, bias=False)
        self.norm1, self.norm2, self.norm3 = (RMS(16, has_scale) for _ in range(3))
        sizes = {"q": (16, 16), "k": (16, 8), "v": (16, 8), "o": (16, 16), "up": (16, 24)}
        sizes |= {"gate": (16, 24), "down": (24, 16)}
        parts = {name: nn.Linear(*size, bias=False) for name, size in sizes.items()}
        self.parts = nn.ModuleDict(parts)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.token(codes)
        y = self.norm1(x)
        q, k, v = (self._heads(self.parts[name](y)) for name in "qkv")
        mixed = F.scaled_dot_product_attention(
            self._placed(q), self._repeated(self._placed(k)), self._repeated(v), is_causal=True
        )
        x = x + self.parts["o"](mixed.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        x = x + self.parts["down"](F.silu(self.parts["gate"](y)) * self.parts["up"](y))
        logits: Tensor = self.head(self.norm3(x))
        return logits

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, 4)).transpose(1, 2)

    def _repeated(self, x: Tensor) -> Tensor:
        b, heads, length, size = x.shape
        return x[:, :, None].expand(b, heads, 2, length, size).reshape(b, 2 * heads, length, size)

    def _placed(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(x.shape[2], dtype=x.dtype), torch.tensor([1.0, 0.1]))
        angles = torch.cat([angles, angles], 1)
        return x * angles.cos() + torch.cat([-x[..., 2:], x[..., :2]], -1) * angles.sin()


class Gated(nn.Sequential):
    """Layer norms, a gate whose halves are one weight, an RMS norm."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Flatten(), nn.Linear(64, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 32)),
            *(nn.GLU(), nn.RMSNorm(16), nn.Linear(16, 12), nn.PReLU(12), nn.Linear(12, 10)),
        )


class Grouped(nn.Sequential):
    """Convolutions with group norms, the second in two groups itself."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU()),
            *(nn.Conv2d(8, 12, 3, groups=2), nn.GroupNorm(4, 12), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(48, 10)),
        )


class Einsums(nn.Module):
    """Attention whose weights have an axis for the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(13, 8)
        self.q, self.k, self.v = (nn.Parameter(torch.randn(2, 8, 4)) for _ in range(3))
        self.o, self.bias = nn.Parameter(torch.randn(2, 4, 8)), nn.Parameter(torch.zeros(2, 4))
        self.head = nn.Parameter(torch.randn(8, 13))

    def forward(self, codes: Tensor) -> Tensor:
        x = self.token(codes)
        q, k, v = (torch.einsum("btw,hwd->bthd", x, part) for part in (self.q, self.k, self.v))
        scores = torch.einsum("bthd,bshd->bhts", q + self.bias, k).softmax(-1)
        mixed = torch.einsum("bhts,bshd->bthd", scores, v)
        return (x + torch.einsum("bthd,hdw->btw", mixed, self.o)) @ self.head


class Shuffled(nn.Module):
    """Channels of two groups dealt out anew, and a mean over them subtracted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=2)
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.second(self.first(images).relu()).relu()
        x = x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        x = x - x.mean(1, keepdim=True)
        logits: Tensor = self.head(x.mean((2, 3))[:, [1, 0, 2, 3, 4, 5, 6, 7]])
        return logits


class Recurrent(nn.Module):
    """Two layers in both directions: each has hidden units of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.head = nn.Embedding(13, 6), nn.Linear(16, 13)
        self.layers = nn.GRU(6, 8, batch_first=True, bidirectional=True, num_layers=2)

    def forward(self, codes: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(self.token(codes))[0])
        return logits


class Queries(nn.Module):
    """Learned queries, which are units themselves, look at what is not masked."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.head = nn.Embedding(13, 8), nn.Linear(8, 10)
        self.queries = nn.Parameter(torch.randn(5, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.token(codes)
        queries = self.queries.expand(len(codes), -1, -1)
        seen = self.attention(queries, x, x, key_padding_mask=codes == 0)[0]
        logits: Tensor = self.head(seen).amax(1)
        return logits


class Mixer(nn.Module):
    """Layers over the places, then over the numbers of a place."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(1, 8, 2, 2), nn.Linear(8, 10)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.places = nn.Sequential(nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 16))
        self.numbers = nn.Sequential(nn.Linear(8, 24), nn.GELU(), nn.Linear(24, 8))

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).mT
        x = x + self.places(self.norm1(x).mT).mT
        x = x + self.numbers(self.norm2(x))
        logits: Tensor = self.head(x.mean(1))
        return logits
