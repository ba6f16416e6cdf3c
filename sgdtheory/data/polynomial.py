"""A polynomial on a line, the first example of Freeman & Bruna 2017 (1611.01540, Section 4.1)."""

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.data.examples import Examples


def polynomial(degree: PositiveInt = 2, examples: PositiveInt = 128) -> Examples:
    """y = x^degree at `examples` evenly spaced x in [0, 1], both centred and scaled to variance 1,
    and for the test half-way between them.

    The mean squared error of a constant is 1, of the best straight line 1/16 (degree 2) or 4/25
    (degree 3).
    """
    x = torch.linspace(0, 1, examples, dtype=torch.float64)
    between = x
    if examples > 1:
        between = (x[1:] + x[:-1]) / 2
    train = _pair(x, x, degree)
    test = _pair(between, x, degree)
    return Examples(*train, *test, 1, f"x^{degree}")


def _pair(some: Tensor, x: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """Inputs [N, 1] and targets [N] at some places [N], scaled as those at x [M] are."""
    inputs = _scaled(some, x)
    targets = _scaled(some**degree, x**degree)
    return inputs[:, None], targets


def _scaled(x: Tensor, like: Tensor) -> Tensor:
    """Numbers [N] as those of `like` [M] get mean 0 and variance 1."""
    return (x - like.mean()) / like.std(correction=0)
