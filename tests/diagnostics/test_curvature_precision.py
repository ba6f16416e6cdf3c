"""Losses that are nearly 0, whose curvature float32 does not have, against softmax regression
written out."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from sgdtheory.data.examples import Examples
from sgdtheory.diagnostics.critical import Criticality
from sgdtheory.diagnostics.edge import Edge
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry.curvature_precision import in_precision, saturation, why_rounding
from sgdtheory.geometry.hessian import DIAGONALISED
from sgdtheory.landscapes.network import Network
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.pipelines.train import describe_point
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import stream

COUNT = 40


def two_clouds(features: int = 2) -> Examples:
    """Two classes that a line tells apart."""
    source = stream(0, "clouds")
    targets = torch.arange(COUNT) % 2
    inputs = torch.randn(COUNT, features, generator=source)
    inputs[:, 0] = inputs[:, 0].abs() * (2 * targets - 1) + 0.5 * (2 * targets - 1)
    return Examples(inputs, targets, inputs, targets, 2, "clouds")


class Exact(NamedTuple):
    loss: float
    slope: Tensor  # [6]
    hessian: Tensor  # [6, 6]


def softmax_regression(data: Examples, theta: Tensor) -> Exact:
    """Of two logits z = Wx + b: with q = 1/(1 + e^m) and m the margin, L = ⟨log(1 + e^−m)⟩, ∇L =
    ⟨−q·∇m⟩ and H = ⟨q(1 − q)·∇m∇mᵀ⟩, none of which takes a small number from 1."""
    inputs = data.train_inputs.double()
    signs = 2 * data.train_targets.double() - 1  # [N]
    weight, bias = theta[:4].view(2, 2), theta[4:]
    logits = inputs @ weight.T + bias
    margins = signs * (logits[:, 1] - logits[:, 0])
    q = torch.sigmoid(-margins)
    ways = torch.cat([-inputs, inputs, -torch.ones(COUNT, 1), torch.ones(COUNT, 1)], 1)
    ways = ways * signs[:, None]
    loss = float(torch.log1p((-margins).exp()).mean())
    curvature = (q * (1 - q))[:, None, None] * ways[:, :, None] * ways[:, None, :]
    return Exact(loss, -(q[:, None] * ways).mean(0), curvature.mean(0))


def point_with(margin: float) -> Tensor:
    """θ [6], float32, of a line that the nearest example is about this far from."""
    direction = torch.tensor([-1.0, 0.1, 1.0, 0.05, -0.02, 0.03])
    return margin * direction


@pytest.mark.parametrize("margin", [2.0, 8.0, 16.0])
def test_a_loss_near_0_has_its_own_curvature(margin: float) -> None:
    """L from 3e-2 to 1e-8. In float64 L is known to ε/L = 2e-8 of itself; in float32 it was not at
    all."""
    data = two_clouds()
    landscape = Network(Linear, data, weight_decay=0.0)
    theta = point_with(margin)
    exact = softmax_regression(data, theta.double())
    norm = float(exact.slope.norm())
    top = torch.linalg.eigvalsh(exact.hessian).flip(0)
    close = 1e-10 + 8 * 2.2e-16 / exact.loss
    row = describe_point(landscape, theta)
    assert row["objective"] == pytest.approx(exact.loss, rel=close)
    assert row["gradient_norm"] == pytest.approx(norm, rel=close)
    found = Spectrum(top=3)(landscape, theta[None])[0]
    assert found["negative_eigenvalues"].value == 0  # it is convex
    assert found["trace"].value == pytest.approx(float(top.sum()), rel=close)
    error = max(close, saturation(landscape, theta)) * float(top[0])
    for i, name in enumerate(("top_eigenvalue", "eigenvalue_2", "eigenvalue_3")):
        assert found[name].value == pytest.approx(float(top[i]), abs=error)
    (critical,) = Criticality()(landscape, theta[None])
    along = float((exact.hessian @ exact.slope).norm()) / norm
    assert critical["gradient_curvature"].value == pytest.approx(along, rel=1e-6)


def test_a_loss_that_float64_has_not_either_is_told() -> None:
    landscape = Network(Linear, two_clouds(), weight_decay=0.0)
    theta = point_with(60.0)
    assert "rounding even in float64" in why_rounding(landscape, theta)
    for diagnostic in (Spectrum(top=2), Criticality(), Edge(batch_size=8, draws=2)):
        (row,) = diagnostic(landscape, theta[None])
        assert all(x.value is None and "rounding" in x.why for x in row.values())
    row = describe_point(landscape, theta)
    assert row["gradient_norm"] is None and "rounding" in row["gradient_norm_why"]
    assert 0 <= row["objective"] <= row["objective_stderr"] == pytest.approx(1.8e-15, rel=0.02)


def test_other_losses_are_0_without_harm() -> None:
    """Of squares H = 2⟨JJᵀ⟩ whatever the loss."""
    data = two_clouds()
    numbers = data.train_targets[:, None].float()
    landscape = Network(
        Linear, Examples(data.train_inputs, numbers, data.train_inputs, numbers, 1, "x"), loss="mse"
    )
    assert saturation(landscape, torch.zeros(3)) == 0 and not why_rounding(landscape, torch.ones(3))


@pytest.fixture(scope="module")
def large() -> Landscape:
    """More parameters than are taken in float64 whatever the point."""
    landscape = Network(partial(MLP, hidden=(300, 8)), two_clouds(), weight_decay=0.0)
    assert landscape.dim > DIAGONALISED
    return landscape


def test_large_landscapes_pay_only_where_float32_is_rounding(large: Landscape) -> None:
    theta = large.init(1, stream(0, "init"))[0]
    assert in_precision(large, theta).dtype == torch.float32
    far = theta.double()
    for _ in range(60):
        _, slopes = value_and_grad(large, far[None])
        far = far - 0.5 * slopes[0]
    while float(large.losses(far[None])[0]) > 1e-7:
        far = 1.05 * far  # the margins of three layers grow as the cube
    assert not why_rounding(large, far)
    single = far.float()
    assert in_precision(large, single).dtype == torch.float64
    few = Spectrum(top=2, probes=2, steps=10)
    (found,), (exact,) = few(large, single[None]), few(large, single.double()[None])
    assert found == exact
    brief = few.within(16)
    assert brief(large, single[None]) == brief(large, single.double()[None])
