"""Every landscape that states its answers, with those answers as data: what the generic tests run
over.

`twin` is the landscape's formula once more, of one point, written from the literature and not from
the package.
"""

from collections.abc import Callable
from dataclasses import replace
from math import pi
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.landscapes.bent_valley import BentValley
from sgdtheory.landscapes.deep_linear import DeepLinear
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.formula import Formula
from sgdtheory.landscapes.linear_net import LinearNet
from sgdtheory.landscapes.muller_brown import MullerBrown
from sgdtheory.landscapes.normal_crossing import NormalCrossing
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.ring import Ring
from sgdtheory.landscapes.spherical import Spherical
from sgdtheory.landscapes.spiky import Spiky

Twin = Callable[[Tensor], Tensor]  # one point [k] or [n] → its loss []


class Case(NamedTuple):
    """A landscape, its twin in native coordinates [k], and what must come out (None: there is no
    such answer)."""

    name: str
    landscape: Any  # a Formula, with the optional answers it has
    twin: Twin
    losses_at_minima: tuple[float, ...]
    barrier: float | None = None
    length_ratio: float | None = None

    def __repr__(self) -> str:
        return self.name


def quadratic(*curvatures: float) -> Twin:
    return lambda x: sum((0.5 * h * x[i] ** 2 for i, h in enumerate(curvatures)), x.new_zeros(()))


def double_well(x: Tensor) -> Tensor:
    return (x[0] ** 2 - 1) ** 2 / 4 + 0.5 * 3.0 * (x[1:] ** 2).sum()


def ring(x: Tensor) -> Tensor:
    radius, angle = torch.hypot(x[0], x[1]), torch.atan2(x[1], x[0])
    hill = 0.3 * torch.sin(angle) ** 2
    return hill + (1.5 - hill) * (1 - radius**2) ** 2


def level_ring(x: Tensor) -> Tensor:
    return (x[0] ** 2 + x[1] ** 2 - 1) ** 2 / 4


def bent_valley(x: Tensor) -> Tensor:
    return 2.0 * (x[1] - 0.8 * x[0] ** 2) ** 2 + 0.25 * (x[0] ** 2 - 1) ** 2


def linear_net(x: Tensor) -> Tensor:
    a, b = x.chunk(2)
    return 0.5 * (torch.dot(a, b) - 1) ** 2


def spiky(x: Tensor) -> Tensor:
    return (x**2 - 0.5 * torch.cos(6.0 * x)).sum()


# its values at the first maximum and minimum beside the centre in one direction, at the centre in
# the other (mpmath)
SPIKE = (0.30894896178280797, -0.016694836838774836)

GLASS = Spherical(directions=4, wall=6.0)
LEVELS = np.linalg.eigvalsh(GLASS.couplings.numpy())  # of the couplings themselves, ascending


def spherical(x: Tensor) -> Tensor:
    return 0.5 * torch.dot(x, GLASS.couplings.mv(x)) + 1.5 * (torch.dot(x, x) - 1) ** 2


def level(k: int) -> float:
    return float(LEVELS[k] / 2 - LEVELS[k] ** 2 / 24)


def muller_brown(x: Tensor) -> Tensor:
    first, second = x[0], x[1]
    return (
        -200 * torch.exp(-1 * (first - 1) ** 2 - 10 * second**2)
        - 100 * torch.exp(-1 * first**2 - 10 * (second - 0.5) ** 2)
        - 170
        * torch.exp(
            -6.5 * (first + 0.5) ** 2
            + 11 * (first + 0.5) * (second - 1.5)
            - 6.5 * (second - 1.5) ** 2
        )
        + 15
        * torch.exp(
            0.7 * (first + 1) ** 2 + 0.6 * (first + 1) * (second - 1) + 0.7 * (second - 1) ** 2
        )
    )


def normal_crossing(x: Tensor) -> Tensor:
    return x[0] ** 2 * x[1] ** 6


def deep_linear(x: Tensor) -> Tensor:
    """Widths 2, 3, 1, and rank 1."""
    product = x[6:9].reshape(1, 3) @ x[:6].reshape(3, 2)
    return 0.5 * ((product[0, 0] - 1) ** 2 + product[0, 1] ** 2)


CURVATURES = (1.0, 0.37, 0.02, 0.0009)

NATIVE = [
    Case("quadratic", Quadratic(CURVATURES, noise=0.7), quadratic(*CURVATURES), (0.0,)),
    Case(
        "quadratic_non_commuting",
        Quadratic(CURVATURES, noise_anisotropy=30.0),
        quadratic(*CURVATURES),
        (0.0,),
    ),
    Case(
        "quadratic_condition",
        Quadratic(directions=3, condition=100.0),
        quadratic(1.0, 0.1, 0.01),
        (0.0,),
    ),
    Case("normal_crossing", NormalCrossing((1, 3)), normal_crossing, (0.0,)),
    Case("deep_linear", DeepLinear((2, 3, 1)), deep_linear, (0.0,)),
    Case("double_well", DoubleWell(), double_well, (0.0, 0.0), 0.25, 1.0),
    Case(
        "double_well_2d",
        DoubleWell(directions=2, stiffness=3.0),
        double_well,
        (0.0, 0.0),
        0.25,
        1.0,
    ),
    Case("ring", Ring(wall=1.5, height=0.3), ring, (0.0, 0.0), 0.3, pi / 2),
    Case("level_ring", Ring(wall=0.25, height=0.0), level_ring, (0.0, 0.0)),
    Case("bent_valley", BentValley(bend=0.8), bent_valley, (0.0, 0.0), 0.25),
    Case("linear_net_1", LinearNet(width=1), linear_net, (0.0, 0.0), 0.5, 1.0),
    Case("linear_net_2", LinearNet(width=2), linear_net, (0.0, 0.0), 0.0, pi / 2),
    Case("linear_net_5", LinearNet(width=5), linear_net, (0.0, 0.0), 0.0, pi / 2),
    Case(
        "spiky",
        Spiky(frequency=6.0, directions=2),
        spiky,
        (-1.0, SPIKE[1], SPIKE[1]),
        SPIKE[0] + 1,
        1.0,
    ),
    Case("spherical", GLASS, spherical, (level(0), level(0)), level(1) - level(0)),
    Case(
        "muller_brown",
        MullerBrown(),
        muller_brown,
        (-146.69951721, -108.16672412, -80.76781813),
        106.03467370,
    ),
]


def rotated(case: Case, ambient: int) -> Case:
    """The same landscape at a random angle in R^ambient; the answers are the same, the twin is of θ
    [n]."""
    landscape: Formula = replace(case.landscape, ambient=ambient, rotation_seed=3)
    frame = landscape.frame

    def twin(theta: Tensor) -> Tensor:
        x = frame.mv(theta)
        rest: Tensor = theta - x @ frame
        return case.twin(x) + (0.5 * landscape.stiffness * rest**2).sum()

    return case._replace(name=f"{case.name}_in_{ambient}", landscape=landscape, twin=twin)


ROTATED = [rotated(case, 20) for case in NATIVE]
WIDE = [rotated(case, 200) for case in NATIVE]
WITH_BARRIER = [case for case in ROTATED if case.barrier is not None]
ON_A_GRID = [case for case in NATIVE if case.barrier is not None and case.landscape.native_dim <= 2]
