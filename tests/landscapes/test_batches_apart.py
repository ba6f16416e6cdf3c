"""Mini-batches of landscapes of one's own: their mean is the whole objective, and those of
different points know nothing of each other."""

from typing import Literal

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.batches_apart import CALLS, NUMBERS, ROWS, SIGMAS, SIZE
from sgdtheory.landscapes.formula_check import formula_check
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.spherical import Spherical
from sgdtheory.landscapes.uneven import Uneven
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream

DIM = 3


class Squares:
    """½(xθ − y)² + λ|θ|² over examples, and what may be wrong with it."""

    dim = DIM
    decay = 0.003

    def __init__(self, fault: str = "", count: int = 20) -> None:
        self.fault = fault
        self.count = count
        source = stream(0, "examples")
        self.x = torch.randn(count, DIM, generator=source, dtype=torch.float64)
        self.y = torch.randn(count, generator=source, dtype=torch.float64)

    def init(self, points: int, source: torch.Generator) -> Cloud:
        return torch.randn(points, DIM, generator=source)

    def batch(self, indices: Tensor) -> Tensor:
        return indices

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        misfits = 0.5 * (cloud @ self.x.T.to(cloud) - self.y.to(cloud)).square()
        penalty = self.decay * cloud.square().sum(1)
        if batch is None:
            if self.fault == "whole without penalty":
                return misfits.mean(1)
            return misfits.sum(1) if self.fault == "whole sum" else misfits.mean(1) + penalty
        indices = batch[:1] if self.fault == "first row for all" else batch
        of_batch = misfits.gather(1, indices.expand(len(cloud), -1))
        if self.fault == "sum":
            return of_batch.sum(1) + penalty
        if self.fault == "root":  # of a batch of one the same
            return of_batch.square().mean(1).sqrt() + penalty
        return of_batch.mean(1) + penalty


@pytest.mark.parametrize("count", [1, 20, 1003])
def test_a_mean_over_examples_is_none_the_worse(count: int) -> None:
    formula_check(Squares(count=count))


@pytest.mark.parametrize("count", [20, 1003])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("whole without penalty", "is not the mean of its batches: apart by"),
        ("whole sum", "is not the mean of its batches: apart by"),
        ("sum", "is not the mean of them one by one: apart by"),
        ("root", "is not the mean of them one by one: apart by"),
        ("first row for all", "depends on the batches of the other points"),
    ],
)
def test_another_mean_is_refused(fault: str, says: str, count: int) -> None:
    with pytest.raises(UserError, match=says):
        formula_check(Squares(fault, count))


class Tilted:
    """½|θ|² and noise ξ·θ with the standard deviation σ/√b a component, on top of a bias."""

    dim = DIM
    sigma = 0.3

    def __init__(
        self, bias: float = 0.0, draws: Literal["apart", "shared", "half", "again"] = "apart"
    ) -> None:
        self.bias = bias
        self.draws = draws

    def init(self, points: int, source: torch.Generator) -> Cloud:
        return torch.randn(points, DIM, generator=source)

    def sample(self, points: int, size: int, source: torch.Generator) -> Tensor:
        if self.draws == "again":
            source = stream(0, "again")
        noise = torch.randn(points, DIM, generator=source, dtype=torch.float64)
        if self.draws == "shared":
            noise = noise[:1].expand(points, -1)
        if self.draws == "half":  # half of the variance is common to all
            noise = (noise + torch.randn(1, DIM, generator=source)) / 2**0.5
        return self.sigma / size**0.5 * noise + self.bias

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        whole = 0.5 * cloud.square().sum(1)
        return whole if batch is None else whole + (batch.to(cloud) * cloud).sum(1)


def test_a_bias_is_known_to_six_standard_errors() -> None:
    """Of a mean over rows × calls draws, σ/√(b · rows · calls) each."""
    rows = min(ROWS[1], NUMBERS // (CALLS * DIM))
    error = Tilted.sigma / (SIZE * rows * CALLS) ** 0.5
    formula_check(Tilted())
    formula_check(Tilted(bias=error))  # nobody could know
    with pytest.raises(UserError, match="is not its whole objective"):
        formula_check(Tilted(bias=2 * SIGMAS * error))


@pytest.mark.parametrize(
    ("draws", "says"),
    [
        ("shared", "depend on each other; draw one for each of `points`"),
        ("half", "depend on each other; draw one for each of `points`"),
        ("again", "draws the same batches when it is asked again"),
    ],
)
def test_noise_is_drawn_for_each(draws: Literal["shared", "half", "again"], says: str) -> None:
    with pytest.raises(UserError, match=says):
        formula_check(Tilted(draws=draws))


def test_a_batch_that_fails_is_told() -> None:
    landscape = Squares()
    landscape.count = 40  # there are 20
    with pytest.raises(UserError, match="a mini-batch of Squares fails in float64"):
        formula_check(landscape)


@pytest.mark.parametrize(
    "landscape",
    [
        Quadratic((4.0, 1.0, 0.0)),
        Quadratic((1.0, 0.1), noise_anisotropy=1e3, ambient=2000),
        Spherical(),
        Uneven((1.0, 0.5), tilt=0.5, growth=1.0, steer=0.3),
        LinearRegression(digits(limit=200)),  # whose batches are in float32
    ],
    ids=lambda landscape: type(landscape).__name__,
)
def test_ours_pass(landscape: Landscape) -> None:
    formula_check(landscape)
