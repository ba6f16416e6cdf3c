"""Networks of others, as odd as they come: what a landscape must get right, or refuse.

Each is a factory for the digits' 1×8×8 pictures in ten classes unless its name says `colour`:
3×16×16 in three classes.
"""

import itertools
import random
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

Factory = Callable[..., nn.Module]


def head(*layers: nn.Module, width: int = 16) -> nn.Sequential:
    """Flat pictures → `width` → layers → ten logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), *layers, nn.Linear(width, 10))


def small_cnn(*layers: nn.Module, channels: int = 6) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 10),
    )


# buffers that matter


class Fourier(nn.Module):
    """Random Fourier features, drawn in the constructor."""

    def __init__(self, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("B", torch.randn(64, 24) / 8, persistent=persistent)
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) @ self.B  # type: ignore[operator]
        return self.head(torch.cat([z.sin(), z.cos()], 1))  # type: ignore[no-any-return]


class NumpyMask(nn.Module):
    """A mask drawn by numpy and a permutation by Python."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.from_numpy(np.random.rand(64) < 0.7))
        self.register_buffer("order", torch.tensor(random.sample(range(64), 64)))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1)[:, self.order] * self.mask)  # type: ignore[no-any-return,index]


class FreshNumpy(nn.Module):
    """A buffer that no seed reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "W", torch.from_numpy(np.random.default_rng().normal(size=(64, 16))).float()
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(x.flatten(1) @ self.W))  # type: ignore[no-any-return,operator]


_calls = itertools.count()


class Numbered(nn.Module):
    """A buffer that counts how often the factory was called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(1.0 + next(_calls)))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1) * self.scale)  # type: ignore[no-any-return]


class DoubleBuffer(nn.Module):
    """Positions as float64 beside float32 weights, and a mask of −inf."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positions", torch.linspace(0, 1, 64, dtype=torch.float32))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1) + self.positions)  # type: ignore[no-any-return]


# frozen parameters


def frozen_first() -> nn.Module:
    net = head(nn.Tanh())
    net[1].weight.requires_grad_(False)
    return net


def frozen_backbone() -> nn.Module:
    net = small_cnn(nn.BatchNorm2d(6), nn.ReLU())
    for parameter in net[:3].parameters():
        parameter.requires_grad_(False)
    return net


class Tied(nn.Module):
    """One matrix used as encoder and decoder, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
        self.dec.weight = self.enc.weight
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.dec(torch.tanh(self.enc(x.flatten(1))))))  # type: ignore[no-any-return]


# randomness in training, in evaluation


class FunctionalDropout(nn.Module):
    def __init__(self, respects_mode: bool) -> None:
        super().__init__()
        self.first, self.last, self.respects = nn.Linear(64, 16), nn.Linear(16, 10), respects_mode

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x.flatten(1)))
        x = F.dropout(x, 0.5, self.training) if self.respects else F.dropout(x, 0.5)
        return self.last(x)  # type: ignore[no-any-return]


class Noisy(nn.Module):
    """Noise added in every mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + 0.1 * torch.randn_like(x))  # type: ignore[no-any-return]


class NumpyNoise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * (1 + 0.01 * float(np.random.rand()))  # type: ignore[no-any-return]


class Stochastic(nn.Module):
    """Stochastic depth: a residual branch left out at random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.branch, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x.flatten(1)))
        if not self.training or torch.rand(()) < 0.5:
            x = x + torch.relu(self.branch(x))
        return self.last(x)  # type: ignore[no-any-return]


class Rows(nn.Module):
    """A recurrent network that reads pictures row by row."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.rnn = kind(8, 8, num_layers=2, dropout=0.3, batch_first=True)  # type: ignore[arg-type]
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x[:, 0])[0][:, -1])  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Rows as tokens; torch's own encoder layer with its dropout of 0.1."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=batch_first)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x[:, 0]).mean(1))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """scaled_dot_product_attention over rows, heads of four."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (y.unflatten(-1, (2, 4)).transpose(1, 2) for y in self.qkv(x[:, 0]).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(mixed.transpose(1, 2).flatten(2).mean(1))  # type: ignore[no-any-return]


# batch norm in odd places


class TwiceNormed(nn.Module):
    """One batch norm called twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = (
            nn.Linear(64, 12),
            nn.Linear(12, 12),
            nn.BatchNorm1d(12),
        )
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x.flatten(1))))
        return self.head(torch.relu(self.norm(self.second(x))))  # type: ignore[no-any-return]


class SharedBlock(nn.Module):
    """A block with a batch norm applied three times: recurrence in depth."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = x + self.block(x)
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Aliased(nn.Module):
    """One batch norm under two names, called once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 12)
        self.norm = self.same = nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.same(self.first(x.flatten(1)))))  # type: ignore[no-any-return]


class NormAct(nn.BatchNorm2d):
    """A batch norm with an activation of its own, as some libraries have it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x)) * 1.5


class UnusedNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.spare = head(nn.BatchNorm1d(16), nn.ReLU()), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


class HandWrittenNorm(nn.Module):
    """A batch norm written by hand: buffers that training moves, evaluation uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 12), nn.Linear(12, 10)
        self.register_buffer("mean", torch.zeros(12))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))  # type: ignore[operator,union-attr]
            x = x - x.mean(0)
        else:
            x = x - self.mean
        return self.last(torch.relu(x))  # type: ignore[no-any-return]


# rows that see each other


class Centred(nn.Module):
    """The mean over the batch is taken off, in every mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        return self.last(torch.relu(x - x.mean(0)))  # type: ignore[no-any-return]


class Contrast(nn.Module):
    """Softmax over the batch instead of over the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).softmax(0)  # type: ignore[no-any-return]


# memories


class Cached(nn.Module):
    """What was made of the weights is kept until the mode changes."""

    def __init__(self, inside: bool = False) -> None:
        super().__init__()
        self.weight, self.inside = nn.Parameter(torch.randn(64, 10) / 8), inside
        self.kept: Any = {} if inside else None

    def forward(self, x: Tensor) -> Tensor:
        if self.inside:
            if "w" not in self.kept:
                self.kept["w"] = self.weight.tanh()
            return x.flatten(1) @ self.kept["w"]
        if self.kept is None:
            self.kept = self.weight.tanh()
        return x.flatten(1) @ self.kept  # type: ignore[no-any-return]


class Counting(nn.Module):
    """The scale grows with every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes.add_(1)  # type: ignore[operator,union-attr]
        return self.net(x) * (1 + 0.01 * self.passes)  # type: ignore[no-any-return]


class ListCounting(nn.Module):
    """The same, hidden in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.passes = head(nn.ReLU()), [0]

    def forward(self, x: Tensor) -> Tensor:
        self.passes[0] += 1
        return self.net(x) * (1 + 0.01 * self.passes[0])  # type: ignore[no-any-return]


class ExponentialMean(nn.Module):
    """A running mean that evaluation moves too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())
        self.mean = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * float(x.detach().mean())
        return self.net(x - self.mean)  # type: ignore[no-any-return]


class Clamped(nn.Module):
    """Its weights are held in a range by the pass itself."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.head, self.how = nn.Linear(64, 10), how

    def forward(self, x: Tensor) -> Tensor:
        weight = self.head.weight
        if self.how == "in place":
            weight.data.clamp_(-0.05, 0.05)
        else:
            weight.data = torch.renorm(weight.data, 2, 0, 0.1)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


# forms of parameters and outputs


class Scalar(nn.Module):
    """Parameters without axes."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.gain, self.shift = (
            head(nn.Tanh()),
            nn.Parameter(torch.tensor(1.5)),
            nn.Parameter(torch.tensor(0.1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * self.gain + self.shift  # type: ignore[no-any-return]


Output = namedtuple("Output", "loss logits")


class Returns(nn.Module):
    """Logits inside something else."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = head(nn.ReLU()), how

    def forward(self, x: Tensor) -> Any:
        logits = self.net(x)
        return {
            "dict": {"logits": logits, "hidden": x},
            "named": Output(None, logits),
            "one": (logits,),
            "pair": (logits, x),
            "unnamed": {"out": logits, "aux": x},
            "text": "logits",
        }[self.how]


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(5, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )


class HalfWeights(nn.Module):
    """Stored in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU()).to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(self.net[1].weight.dtype))  # type: ignore[no-any-return]


class ComplexWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, 10, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1).to(self.w.dtype) @ self.w).real


class SinglePrecision(nn.Module):
    """Insists on float32 inside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x.flatten(1))).float())  # type: ignore[no-any-return]


class HiddenState(nn.Module):
    """Makes its own hidden state, in torch's default dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros(len(x), 12)
        for row in x[:, 0].unbind(1):
            hidden = self.cell(row, hidden)
        return self.head(hidden)  # type: ignore[no-any-return]


class ViewAfterConvolution(nn.Module):
    """As the well-known tutorial does it."""

    def __init__(self, channels: int = 3, size: int = 16, classes: int = 3) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.pool, self.fc = nn.MaxPool2d(2, 2), nn.Linear(8 * (size // 4) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc(x.view(-1, self.fc.in_features))  # type: ignore[no-any-return]


class Squeeze(nn.Module):
    """Hard sigmoid and hard swish, as mobile networks have them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Hardswish())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1), nn.Hardsigmoid())
        self.head = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return self.head((x * self.gate(x)).mean((2, 3)))  # type: ignore[no-any-return]


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).mul_(2).relu_()
        return self.last(x)  # type: ignore[no-any-return]


class Branching(nn.Module):
    """Decides by the value of a tensor, which vmap cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        return out * 2 if bool(self.net[1].weight.detach().sum() > 0) else out  # type: ignore[no-any-return]


class Detached(nn.Module):
    """No gradient reaches anything."""

    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.net(x)  # type: ignore[no-any-return]


class Infinite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = head(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) / 0.0  # type: ignore[no-any-return]


def few_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))


def many_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))


def for_colour() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(10))


def torchvision(name: str) -> Factory:
    def build(classes: int) -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, num_classes=classes)

    build.__name__ = name
    return build


def thin_resnet18(classes: int) -> nn.Module:
    """torchvision's ResNet-18, a quarter as wide: the same layers of the same kinds."""
    from torchvision.models.resnet import BasicBlock, ResNet

    class Thin(ResNet):
        def _make_layer(self, block: Any, planes: int, *rest: Any, **named: Any) -> nn.Sequential:
            return super()._make_layer(block, planes // 4, *rest, **named)

    net = Thin(BasicBlock, [2, 2, 2, 2])
    net.fc = nn.Linear(512 // 4, classes)
    return net


def thin_efficientnet(classes: int) -> nn.Module:
    """torchvision's EfficientNet-B0, a quarter as wide: the same layers of the same kinds."""
    from torchvision.models.efficientnet import EfficientNet, _efficientnet_conf

    stages, last = _efficientnet_conf("efficientnet_b0", width_mult=0.25, depth_mult=1.0)
    return EfficientNet(stages, dropout=0.2, last_channel=last, num_classes=classes)


RIGHT: dict[str, Factory] = {
    "fourier": Fourier,
    "fourier_not_persistent": lambda: Fourier(persistent=False),
    "numpy_mask": NumpyMask,
    "positions": DoubleBuffer,
    "frozen_first": frozen_first,
    "frozen_backbone": frozen_backbone,
    "tied": Tied,
    "dropout": lambda: head(nn.ReLU(), nn.Dropout(0.5)),
    "dropout_alpha": lambda: head(nn.SELU(), nn.AlphaDropout(0.3)),
    "dropout_functional": lambda: FunctionalDropout(True),
    "stochastic_depth": Stochastic,
    "lstm_dropout": Rows,
    "gru_dropout": lambda: Rows(nn.GRU),
    "transformer": Transformer,
    "attention": Attention,
    "batch_norm_vectors": lambda: head(nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)),
    "batch_norm_aliased": Aliased,
    "batch_norm_untracked": lambda: small_cnn(
        nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU()
    ),
    "batch_norm_cumulative": lambda: small_cnn(
        nn.BatchNorm2d(6, momentum=None, eps=0.1), nn.ReLU()
    ),
    "batch_norm_plain": lambda: small_cnn(nn.BatchNorm2d(6, affine=False), nn.ReLU()),
    "batch_norm_across": lambda: small_cnn(nn.SyncBatchNorm(6), nn.ReLU()),
    "batch_norm_subclass": lambda: small_cnn(NormAct(6)),
    "batch_norm_unused": UnusedNorm,
    "batch_norm_then_in_place": lambda: small_cnn(nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
    "batch_norm_then_in_place_vectors": lambda: head(nn.BatchNorm1d(16), nn.ReLU(inplace=True)),
    "instance_norm": lambda: small_cnn(nn.InstanceNorm2d(6, affine=True), nn.ReLU()),
    "group_norm": lambda: small_cnn(nn.GroupNorm(2, 6), nn.SiLU()),
    "layer_norm": lambda: head(nn.LayerNorm(16), nn.GELU()),
    "weight_norm_hooks": lambda: nn.Sequential(
        nn.Flatten(), weight_norm(nn.Linear(64, 16)), nn.Tanh(), nn.Linear(16, 10)
    ),
    "weight_norm_parametrized": lambda: nn.Sequential(
        nn.Flatten(), parametrizations.weight_norm(nn.Linear(64, 16)), nn.Tanh(), nn.Linear(16, 10)
    ),
    "orthogonal": lambda: nn.Sequential(
        nn.Flatten(), parametrizations.orthogonal(nn.Linear(64, 16)), nn.Tanh(), nn.Linear(16, 10)
    ),
    "cached": Cached,
    "scalars": Scalar,
    "returns_dict": lambda: Returns("dict"),
    "returns_named": lambda: Returns("named"),
    "returns_one": lambda: Returns("one"),
    "lazy": lazy,
    "bfloat16": HalfWeights,
    "hidden_state": HiddenState,
    "squeeze": Squeeze,
    "in_place": InPlace,
    "branching": Branching,
    "many_classes": many_classes,
    "view_colour": ViewAfterConvolution,
    "view_grey": lambda: ViewAfterConvolution(1, 8, 10),
    "prelu": lambda: small_cnn(nn.BatchNorm2d(6), nn.PReLU()),
    "colour_resnet18": thin_resnet18,
    "colour_mobilenet_v3_small": torchvision("mobilenet_v3_small"),
    "colour_shufflenet_v2_x0_5": torchvision("shufflenet_v2_x0_5"),
    "colour_efficientnet_b0": thin_efficientnet,
}
REFUSED: dict[str, tuple[Factory, str]] = {
    "fresh_numpy": (FreshNumpy, "W of FreshNumpy is different each time"),
    "numbered": (Numbered, "scale of Numbered is different each time"),
    "dropout_always": (lambda: FunctionalDropout(False), "FunctionalDropout draws random numbers"),
    "noise": (Noisy, "Noisy draws random numbers"),
    "numpy_noise": (NumpyNoise, "NumpyNoise draws random numbers"),
    "norm_twice": (TwiceNormed, "norm .*twice"),
    "block_shared": (SharedBlock, r"block\.1' is used twice"),
    "norm_by_hand": (
        HandWrittenNorm,
        r"mean of HandWrittenNorm .*changed by every pass in training",
    ),
    "instance_norm_tracking": (
        lambda: small_cnn(nn.InstanceNorm2d(6, track_running_stats=True), nn.ReLU()),
        r"running_mean of 1 \(InstanceNorm2d\)",
    ),
    "spectral_norm_parametrized": (
        lambda: nn.Sequential(
            nn.Flatten(), parametrizations.spectral_norm(nn.Linear(64, 16)), nn.Linear(16, 10)
        ),
        r"_u of 1\.parametrizations\.weight\.0 \(_SpectralNorm\)",
    ),
    "spectral_norm_hooks": (
        lambda: nn.Sequential(nn.Flatten(), spectral_norm(nn.Linear(64, 16)), nn.Linear(16, 10)),
        r"weight_u of 1 \(Linear\)",
    ),
    "centred": (Centred, "Centred lets the examples of a batch see each other"),
    "contrast": (Contrast, "Contrast lets the examples of a batch see each other"),
    "tokens_across": (lambda: Transformer(batch_first=False), r"see each other"),
    "cached_inside": (lambda: Cached(inside=True), "Cached"),
    "counting": (Counting, "passes of Counting .*is changed by every pass"),
    "list_counting": (ListCounting, "ListCounting gives other numbers"),
    "clamped_in_place": (
        lambda: Clamped("in place"),
        "head.weight of Clamped is changed by a pass in evaluation",
    ),
    "clamped_anew": (
        lambda: Clamped("anew"),
        "head.weight of Clamped is changed by a pass in evaluation",
    ),
    "returns_pair": (lambda: Returns("pair"), "forward returns a tuple of Tensor, Tensor"),
    "returns_unnamed": (lambda: Returns("unnamed"), "forward returns a dict of out, aux"),
    "returns_text": (lambda: Returns("text"), "forward returns a str"),
    "complex": (ComplexWeights, "parameter w of ComplexWeights is complex64"),
    "single_precision": (SinglePrecision, "float64"),
    "detached": (Detached, "no gradient of the loss reaches a parameter of Detached"),
    "infinite": (Infinite, "not finite"),
    "few_classes": (few_classes, r"outputs \[2, 7\]"),
    "three_channels": (for_colour, "does not take examples 1×8×8 of digits"),
    "no_parameters": (nn.Flatten, "has no parameters"),
}
