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
        self._module = MLP((1, 1, 1), 1, hidden, "sigmoid").to(self.device)
        named = dict(self._module.named_parameters())
        self._names = list(named)
        self._shapes = [p.shape for p in named.values()]
        self._sizes = [p.numel() for p in named.values()]
        self.count = examples
        self.dim = sum(self._sizes)
        x = torch.linspace(0, 1, examples, dtype=torch.float64, device=self.device)
        self._data = Points(_standardised(x)[None], _standardised(x**degree)[None])

    @property
    def title(self) -> str:
        sizes = "-".join(map(str, [1, *self.hidden, 1]))
        return f"sigmoid network {sizes} on x^{self.degree}"

    def learning_rate(self) -> float | None:
        if self._rate == "auto":
            return None
        return float(self._rate)

    def init(self, points: int, stream: Generator) -> Cloud:
        """Weights and biases normal, of variance 1."""
        drawn: Cloud = torch.randn(points, self.dim, generator=stream, dtype=torch.float64)
        return drawn.to(self.device)

    def batch(self, indices: Tensor) -> Points:
        """Examples [P, b]."""
        return Points(self._data.x[0][indices], self._data.y[0][indices])

    def losses(self, cloud: Cloud, batch: Points | None = None) -> Tensor:
        """[P]."""
        x, y = (part.to(cloud.dtype) for part in (self._data if batch is None else batch))
        pieces = zip(self._names, cloud.split(self._sizes, 1), self._shapes, strict=True)
        weights = {name: piece.view(-1, *shape) for name, piece, shape in pieces}
        # [P, b]
        found: Tensor = self._module.forward_rows(weights, x[:, :, None, None, None])[:, :, 0]
        return (found - y).square().mean(1)


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean()) / x.std(correction=0)
