"""Tr C from micro-batches against the covariance written down."""

from functools import partial

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.geometry.gradient_noise import (
    is_additive,
    micro_batches,
    noise_vectors,
    per_sample_noise,
    whole_pass,
)
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from tests.test_outside import BOWL

REGRESSION = LinearRegression(digits())
THETA = REGRESSION.minima()[0] + 0.1
DIRECTIONS = torch.eye(REGRESSION.dim, dtype=torch.float64)[[3, 20, 64]]
COVARIANCE = REGRESSION.noise_covariance(THETA[None])[0]


def test_every_samples_gradient_gives_the_exact_covariance() -> None:
    trace, along = per_sample_noise(REGRESSION, THETA, DIRECTIONS)
    assert float(trace) == pytest.approx(float(COVARIANCE.trace()), rel=1e-6)  # batches are float32
    assert torch.allclose(along, COVARIANCE.diagonal()[[3, 20, 64]], rtol=1e-6, atol=1e-9)


def test_micro_batches_are_unbiased() -> None:
    """Every row has a partition of its own: 200 of them, each good to √(2/15) at best."""
    cloud = THETA.expand(200, -1)
    seen = whole_pass(REGRESSION, cloud, 16, stream(0, "pass"), DIRECTIONS)
    for found, exact in (
        (seen.noise_trace, COVARIANCE.trace()),
        (seen.noise_diagonal[:, 2], COVARIANCE[64, 64]),
    ):
        assert abs(float(found.mean() - exact)) < 4 * float(found.std()) / 200**0.5
    value, gradient = value_and_grad(REGRESSION, THETA[None])
    torch.testing.assert_close(seen.losses[0], value[0], rtol=1e-6, atol=0)  # batches are float32
    torch.testing.assert_close(seen.gradients[0], gradient[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        seen.gradient_norms_squared, gradient.square().sum().expand(200), rtol=1e-4, atol=1e-8
    )


def test_a_subset_of_the_examples_is_no_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgdtheory.geometry.gradient_noise.MOST_EXAMPLES", 320)
    seen = whole_pass(REGRESSION, THETA.expand(200, -1), 16, stream(0, "pass"), DIRECTIONS)
    exact = value_and_grad(REGRESSION, THETA[None])[1].square().sum()
    for found, target in (
        (seen.noise_trace, COVARIANCE.trace()),
        (seen.gradient_norms_squared, exact),
    ):
        assert abs(float(found.mean() - target)) < 4 * float(found.std()) / 200**0.5


def test_a_stated_covariance_is_taken() -> None:
    bowl = Quadratic((1.0, 0.5), noise_anisotropy=4.0)
    seen = whole_pass(
        bowl, torch.ones(3, 2, dtype=torch.float64), 8, stream(0), torch.eye(2, dtype=torch.float64)
    )
    covariance = bowl.noise_covariance(torch.ones(1, 2, dtype=torch.float64))[0]
    assert torch.allclose(seen.noise_diagonal, covariance.diagonal().expand(3, 2))
    vectors = noise_vectors(bowl, torch.zeros(2, dtype=torch.float64), 4, 8, stream(0))
    assert torch.allclose(vectors.T @ vectors, covariance)


def test_a_strangers_noise_is_measured() -> None:
    space: dict[str, object] = {}
    exec(BOWL, space)
    bowl = space["Bowl"]()  # type: ignore[operator]
    cloud = torch.zeros(500, 5, dtype=torch.float64)
    seen = whole_pass(bowl, cloud, 8, stream(0), torch.eye(5, dtype=torch.float64)[:1])
    assert abs(float(seen.noise_trace.mean()) - 5) < 4 * float(seen.noise_trace.std()) / 500**0.5
    assert (
        abs(float(seen.noise_diagonal.mean()) - 1) < 4 * float(seen.noise_diagonal.std()) / 500**0.5
    )


def test_batch_norm_gets_batches_of_exactly_b() -> None:
    def sizes(model: object) -> list[int]:
        landscape = Network(model, digits())  # type: ignore[arg-type]
        return [m for _, m in micro_batches(landscape, 2, 100, stream(0), torch.device("cpu"))]

    assert sizes(partial(ResNet, depth=8, width=4)) == [100] * 14
    assert sum(sizes(MLP)) == 1437 and not is_additive(
        Network(partial(ResNet, depth=8, width=4), digits())
    )


def test_rows_have_partitions_of_their_own() -> None:
    (first, _), *_ = micro_batches(REGRESSION, 3, 8, stream(0), torch.device("cpu"))
    inputs: Tensor = first.inputs
    assert inputs.shape[0] == 3 and not torch.equal(inputs[0], inputs[1])
