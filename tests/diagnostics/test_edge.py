"""Batch and critical sharpness against what is known exactly; the edges that optimisers state against
where they begin to grow."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from sgdtheory.data.digits import digits
from sgdtheory.diagnostics.edge import Edge
from sgdtheory.errors import UserError
from sgdtheory.geometry.step_curvature import batch_sharpness, critical_sharpness
from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream
from tests.conftest import Command

BOWL = Quadratic((9.0, 2.0, 1.0, 0.5), ambient=6, stiffness=0.3)
COUNT = 12


@pytest.fixture(scope="module")
def regression() -> LinearRegression:
    return LinearRegression(digits(limit=COUNT), weight_decay=0.02)


def exact_batch_sharpness(regression: LinearRegression, theta: np.ndarray, size: int) -> np.ndarray:
    """g·Hg/|g|² of every one of N^b mini-batches, from X and y alone."""
    x, y = regression.inputs.numpy(), regression.targets.numpy()
    decay = regression.weight_decay
    ratios = []
    for chosen in product(range(regression.count), repeat=size):
        rows, rest = x[list(chosen)], y[list(chosen)]
        hessian = rows.T @ rows / size + decay * np.eye(len(theta))
        gradient = rows.T @ (rows @ theta - rest) / size + decay * theta
        ratios.append(gradient @ hessian @ gradient / (gradient @ gradient))
    return np.array(ratios)


@pytest.mark.parametrize("size", [1, 2])
def test_batch_sharpness_is_the_mean_over_all_batches(
    regression: LinearRegression, size: int
) -> None:
    theta = torch.randn(regression.dim, generator=stream(0, "at"), dtype=torch.float64)
    exact = exact_batch_sharpness(regression, theta.numpy(), size)
    found = batch_sharpness(regression, theta, size, 2000, stream(0, "draws"))
    assert found.value is not None and found.stderr is not None
    assert abs(found.value - exact.mean()) < 3 * found.stderr
    assert found.stderr == pytest.approx(exact.std() / 2000**0.5, rel=0.1)
    # neither the whole set's curvature along its own gradient, nor along the batches' gradients
    _, gradients = value_and_grad(regression, theta[None])
    along = (gradients * hvp(regression, theta[None], gradients)).sum()
    assert abs(float(along / gradients.square().sum()) - exact.mean()) > 10 * found.stderr


def test_batches_of_a_formula_are_tilts_and_the_curvature_is_its_own() -> None:
    theta = torch.randn(6, generator=stream(1, "at"), dtype=torch.float64)
    found = batch_sharpness(BOWL, theta, 4, 500, stream(0, "draws"))
    tilts = BOWL.sample(4000, 4, stream(5, "twin")).double()
    _, gradients = value_and_grad(BOWL, theta.expand(4000, -1), tilts)
    products = hvp(BOWL, theta.expand(4000, -1), gradients)
    twin = (gradients * products).sum(1) / gradients.square().sum(1)
    assert found.value is not None and found.stderr is not None
    error = (found.stderr**2 + float(twin.var()) / 4000) ** 0.5
    assert abs(found.value - float(twin.mean())) < 3 * error


def test_a_batch_without_a_gradient_has_no_number() -> None:
    flat = Quadratic((1.0,), noise=0.0)
    found = batch_sharpness(flat, torch.zeros(1).double(), 4, 8, stream(0))
    assert found.value is None and "no gradient" in found.why


@pytest.mark.parametrize("seed", range(3))
def test_critical_sharpness_of_a_bowl_is_exact(seed: int) -> None:
    """ΔᵀHΔ/(gᵀΔ), for an update that is no gradient too."""
    theta, update = torch.randn(2, 6, generator=stream(seed, "at"), dtype=torch.float64)
    _, gradients = value_and_grad(BOWL, theta[None])
    update = gradients[0] + 0.3 * update
    products = hvp(BOWL, theta[None], update[None])
    exact = float(update @ products[0] / (gradients[0] @ update))
    found = critical_sharpness(BOWL, theta, update)
    assert found.value == pytest.approx(exact, rel=1e-8)
    along_gradient = critical_sharpness(BOWL, theta, gradients[0]).value
    assert along_gradient != pytest.approx(exact, rel=1e-3)


class Quartic(Quadratic):
    """¼Σx⁴: steeper far away than a quadratic says."""

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        return 0.25 * x.pow(4).sum(1)


def test_critical_sharpness_beyond_a_quadratic() -> None:
    """From x = 1 along the gradient 1: x − η = −1, so η_c = 2 and λ_c = 1, while H = 3."""
    theta = torch.ones(1, dtype=torch.float64)
    found = critical_sharpness(Quartic((1.0,)), theta, theta)
    assert found.value == pytest.approx(1.0, rel=1e-8)
    uphill = critical_sharpness(Quartic((1.0,)), theta, -theta)
    assert uphill.value is None and "does not lead down" in uphill.why


class Slope(Quadratic):
    """x: it falls for ever."""

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(1) + 0 * x.square().sum(1)


def test_a_loss_that_never_comes_back_has_no_critical_step() -> None:
    ones = torch.ones(1, dtype=torch.float64)
    found = critical_sharpness(Slope((1.0,)), ones, ones)
    assert found.value is None and "no step along it" in found.why


def test_a_rescaled_landscape_has_the_preconditioned_spectrum() -> None:
    scales = torch.rand(6, generator=stream(0, "scales"), dtype=torch.float64) + 0.1
    eye = torch.eye(6, dtype=torch.float64)
    theta = torch.randn(6, generator=stream(1, "at"), dtype=torch.float64)
    hessian = hvp(BOWL, theta.expand(6, -1), eye)
    plain = np.linalg.eigvals((torch.diag(1 / scales) @ hessian).numpy()).real
    rescaled = Rescaled(BOWL, scales.sqrt())
    point = rescaled.stretched(theta[None])
    found = hvp(rescaled, point.expand(6, -1), eye)
    np.testing.assert_allclose(np.linalg.eigvalsh(found.numpy()), np.sort(plain), rtol=1e-12)
    torch.testing.assert_close(rescaled.losses(point), BOWL.losses(theta[None]))
    regression = LinearRegression(digits(limit=COUNT))
    ones = Rescaled(regression, torch.full((regression.dim,), 2.0, dtype=torch.float64))
    point = torch.randn(1, regression.dim, generator=stream(2), dtype=torch.float64)
    quarter = hvp(regression, point / 2, point) / 4
    torch.testing.assert_close(hvp(ones, point, point), quarter)


def test_more_than_there_is_is_refused(regression: LinearRegression) -> None:
    with pytest.raises(UserError, match=r"edge.batch_size=128 is more than the 12 training"):
        Edge().refuse(regression, "edge")


def test_a_user_asks_for_it_along_a_training(sgdtheory: Command) -> None:
    words = (
        "landscape=quadratic",
        "sgd.steps=6",
        "minima=1",
        "polish=none",
        "snapshots=3",
        "diagnostic=[spectrum,edge]",
        "sgd=sam",
        "sgd.learning_rate=0.1",
        "device=cpu",
    )
    said = sgdtheory("train", *words, "run.dir=here", "--quiet")
    assert said.code == 0, said.err
    found = json.loads(Path("here/results.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = found["snapshots"]
    for row in rows:
        # between the lowest and the highest curvature, and SAM's edge below SGD's
        assert 0.1 < row["batch_sharpness"] < 1 and 0.1 < row["critical_sharpness"] < 1
        assert row["batch_sharpness_stderr"] > 0
        assert 0 < row["edge_of_stability"] < 2 * 1.9 / row["learning_rate"]
    picture = Path("here/figures/edge_of_stability.csv").read_text(encoding="utf-8")
    assert "critical_sharpness" in picture


def test_a_root_is_where_the_critical_step_says() -> None:
    """A plain twin on a network-like curve: cosh along a line."""

    class Cosh(Quadratic):
        def energy(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cosh(x - 1).sum(1)

    theta = torch.tensor([3.0], dtype=torch.float64)
    update = torch.tensor([0.7], dtype=torch.float64)
    crossing = brentq(lambda step: np.cosh(2 - 0.7 * step) - np.cosh(2), 1.0, 100.0)
    found = critical_sharpness(Cosh((1.0,)), theta, update)
    assert found.value == pytest.approx(2 / crossing, rel=1e-8)
