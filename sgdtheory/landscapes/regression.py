"""A small network that learns a polynomial: the first example of Freeman & Bruna."""

from typing import Annotated, Literal, NamedTuple

import torch
from torch import Generator, Tensor

from sgdtheory.annotations import Place, PositiveFloat, PositiveInt
from sgdtheory.landscape import Cloud
from sgdtheory.models.mlp import MLP


class Points(NamedTuple):
    x: Tensor  # [P or 1, b]
    y: Tensor  # [P or 1, b]


class Regression:
    """L(θ) = ⟨(f_θ(x) − y)²⟩, y = x^degree on evenly spaced x in [0, 1], both centred and scaled to
    variance 1.

    So L is the share of the target's variance that is left unexplained: 1 for the best constant,
    1/16 (degree 2) or 4/25 (degree 3) for the best straight line. f_θ: `hidden` sigmoid units,
    1-4-4-1 in Freeman & Bruna 2017 (1611.01540, 4.1). `learning_rate`: what `auto` means here;
    auto: it is measured (see `SGD`).
    """

    def __init__(
        self,
        degree: PositiveInt = 2,
        hidden: tuple[PositiveInt, ...] = (4, 4),
        examples: PositiveInt = 128,
        learning_rate: PositiveFloat | Literal["auto"] = 0.1,
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.degree = degree
        self.hidden = hidden
        self._rate = learning_rate
        module = MLP((1, 1, 1), 1, hidden, "sigmoid")
        self._module = module.to(self.device)
        named = dict(self._module.named_parameters())
        self._shapes = {name: p.shape for name, p in named.items()}
        self._sizes = [p.numel() for p in named.values()]
        self.count = examples
        self.dim = sum(self._sizes)
        x = torch.linspace(0, 1, examples, dtype=torch.float64, device=self.device)
        inputs = standardised(x)
        targets = standardised(x**degree)
        self._data = Points(inputs[None], targets[None])

    @property
    def title(self) -> str:
        sizes = [1, *self.hidden, 1]
        layers = "-".join(map(str, sizes))
        return f"sigmoid network {layers} on x^{self.degree}"

    def learning_rate(self) -> float | None:
        if self._rate == "auto":
            return None
        return float(self._rate)

    def init(self, points: int, stream: Generator) -> Cloud:
        """Weights and biases [points, n], normal, of variance 1."""
        drawn: Cloud = torch.randn(points, self.dim, generator=stream, dtype=torch.float64)
        return drawn.to(self.device)

    def batch(self, indices: Tensor) -> Points:
        """Examples [P, b]."""
        x = self._data.x[0]
        y = self._data.y[0]
        return Points(x[indices], y[indices])

    def losses(self, cloud: Cloud, batch: Points | None = None) -> Tensor:
        """[P]."""
        if batch is None:
            batch = self._data
        x = batch.x.to(cloud.dtype)
        y = batch.y.to(cloud.dtype)
        pieces = cloud.split(self._sizes, 1)
        weights = {}
        for name, piece in zip(self._shapes, pieces, strict=True):
            shape = self._shapes[name]
            weights[name] = piece.view(-1, *shape)
        images = x[:, :, None, None, None]
        outputs: Tensor = self._module.forward_rows(weights, images)
        squares = (outputs[:, :, 0] - y).square()  # [P, b]
        return squares.mean(1)


def standardised(x: Tensor) -> Tensor:
    """Numbers [N], centred and scaled to variance 1."""
    return (x - x.mean()) / x.std(correction=0)
