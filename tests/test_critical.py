"""The finder of critical points: saddles of every index, and the flat places that it must not take
for them."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.diagnostics.critical import Criticality
from sgdtheory.errors import UserError
from sgdtheory.geometry import critical_points as critical
from sgdtheory.geometry.critical_points import Kind, LevenbergMarquardt, critical_point_at, kind_of
from sgdtheory.geometry.hessian import hessian
from sgdtheory.landscapes.formula import Formula
from sgdtheory.landscapes.muller_brown import MullerBrown
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.spherical import Spherical
from sgdtheory.models.mlp import MLP
from sgdtheory.rng import stream

GLASS = Spherical(directions=6)


@dataclass(frozen=True)
class OnRays(Formula):
    """½xᵀJx/|x|² of the couplings of a Spherical: the same on every ray, hence curvature 0 along
    it."""

    glass: Spherical = GLASS

    @property
    def native_dim(self) -> int:
        return self.glass.directions

    def energy(self, x: Tensor) -> Tensor:
        return 0.5 * (x @ self.constant("couplings", x) * x).sum(1) / x.square().sum(1)

    @property
    def couplings(self) -> Tensor:
        return self.glass.couplings

    def native_minima(self) -> Tensor:
        return torch.linalg.eigh(self.couplings)[1][:, :1].T


@dataclass(frozen=True)
class Inflection(Formula):
    """x³/3 + εx + y²/2: no critical point, but |∇L|² = (x² + ε)² + y² is lowest at 0, where ∇L =
    (ε, 0) and H∇L = 0."""

    slope: float = 0.01

    @property
    def native_dim(self) -> int:
        return 2

    def energy(self, x: Tensor) -> Tensor:
        return x[:, 0] ** 3 / 3 + self.slope * x[:, 0] + x[:, 1].square() / 2

    def native_minima(self) -> Tensor:
        raise NotImplementedError


def shaken(theta: Tensor, size: float, name: object) -> Tensor:
    return theta + size * torch.randn(
        theta.shape, generator=stream(0, "shaken", name), dtype=torch.float64
    )


@pytest.mark.parametrize("ambient", [None, 11])
def test_every_saddle_of_the_sphere_is_found_again(ambient: int | None) -> None:
    """From noise of .05 in each direction, |x| about 1, to |∇L| < 1e-8: a distance of 1e-8 over the
    lowest |h|."""
    landscape = Spherical(directions=6, ambient=ambient)
    for k, theta in enumerate(landscape.critical_points()):
        found = LevenbergMarquardt().find(landscape, shaken(theta, 0.05, k))
        assert (found.kind, found.index) == ("critical", k)
        assert found.iterations <= 12
        assert found.loss == pytest.approx(float(landscape.critical_values()[k]), abs=1e-12)
        torch.testing.assert_close(
            found.theta, theta, rtol=0, atol=1.1e-8 / (found.margin * found.top)
        )


def test_on_rays_the_index_is_that_on_the_sphere() -> None:
    landscape = OnRays()
    vectors = torch.linalg.eigh(landscape.couplings)[1].T
    for k, theta in enumerate(vectors):
        at = critical_point_at(landscape, 1.7 * theta)
        assert at.gradient_norm < 1e-15
        along_ray = float(at.spectrum.abs().min()) / at.top
        assert along_ray < 1e-14 < 1e-2 < at.margin  # which is that of the sphere
        assert at.index == k
        found = LevenbergMarquardt().find(landscape, shaken(theta, 0.03, k))
        assert (found.kind, found.index) == ("critical", k)
        assert abs(float(found.theta @ theta) / float(found.theta.norm())) == pytest.approx(
            1, abs=1e-12
        )


def test_stated_saddles_of_a_formula() -> None:
    landscape = MullerBrown()
    for name, points, index in (
        ("minimum", landscape.minima(), 0),
        ("saddle", landscape.saddles(), 1),
    ):
        for k, theta in enumerate(points):
            found = LevenbergMarquardt().find(landscape, shaken(theta, 0.02, (name, k)))
            assert (found.kind, found.index) == ("critical", index)
            torch.testing.assert_close(found.theta, theta, rtol=0, atol=1e-8)


@pytest.mark.parametrize("slope", [1e-2, 1e-4])
def test_a_gradient_flat_point_is_told_from_a_critical_one(slope: float) -> None:
    landscape = Inflection(slope=slope)
    found = LevenbergMarquardt().find(landscape, torch.tensor([0.4, 0.3], dtype=torch.float64))
    assert found.kind == "gradient-flat"
    assert found.gradient_norm == pytest.approx(slope, rel=1e-2)
    crossed = replace(landscape, slope=-slope)  # now there are two critical points, at ±√ε
    found = LevenbergMarquardt().find(crossed, torch.tensor([0.4, 0.3], dtype=torch.float64))
    assert found.kind == "critical" and found.index == 0
    assert abs(float(found.theta[0])) == pytest.approx(slope**0.5, abs=1.1e-8 / (2 * slope**0.5))


def test_a_search_that_ends_beside_the_floor_settles_on_it() -> None:
    """Three iterations leave the search on the way; L-BFGS on ½|∇L|² ends where H∇L = 0."""
    landscape, start = Inflection(slope=0.01), torch.tensor([0.4, 0.3], dtype=torch.float64)
    unsettled, settled = (
        LevenbergMarquardt(iterations=3, polish_iterations=steps).find(landscape, start)
        for steps in (0, 150)
    )
    assert (unsettled.kind, settled.kind) == ("neither", "gradient-flat")
    assert (
        settled.gradient_norm == pytest.approx(0.01, rel=1e-4)
        and settled.gradient_norm < unsettled.gradient_norm
    )


@pytest.mark.parametrize(
    ("norm", "along", "kind"),
    [
        (1e-9, 1.0, "critical"),
        (0.0, None, "critical"),
        (1e-3, 1e-3, "gradient-flat"),
        (1e-3, 0.5, "neither"),
    ],
)
def test_kinds(norm: float, along: float | None, kind: Kind) -> None:
    assert kind_of(norm, along, 1.0) == kind


def test_a_search_that_walks_the_wrong_way_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With H + 3 in the step, all of whose curvatures go up, it is no longer Newton's: this saddle
    is not found."""
    whole = hessian

    def broken(landscape: Any, theta: Tensor) -> Tensor:
        return whole(landscape, theta) + 3 * torch.eye(theta.numel(), dtype=theta.dtype)

    landscape = Spherical(directions=6)
    theta = landscape.critical_points()[3]
    monkeypatch.setattr(critical, "hessian", broken)
    found = LevenbergMarquardt(polish_iterations=0).find(landscape, shaken(theta, 0.05, 3))
    assert found.kind != "critical"


def network(hidden: int = 2) -> Network:
    return Network(
        partial(MLP, hidden=(hidden,), activation="tanh"), digits(), weight_decay=1e-3, part=500
    )


def test_a_large_network_is_refused() -> None:
    with pytest.raises(UserError, match="at most 2,000"):
        critical_point_at(network(hidden=40), torch.zeros(40 * 75 + 10))


def test_the_diagnostic_tells_flat_from_critical() -> None:
    landscape = Inflection(slope=0.01)
    cloud = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.4, 0.0]], dtype=torch.float64)
    flat, steep, sloping = Criticality()(landscape, cloud)
    assert flat["gradient_flat"].value == 1 and flat["gradient_curvature"].value == 0
    assert steep["gradient_flat"].value == 0 and steep["gradient_curvature"].value == pytest.approx(
        1, rel=1e-3
    )
    assert sloping["gradient_flat"].value == 0 and sloping[
        "gradient_curvature"
    ].value == pytest.approx(0.8)
    (at,) = Criticality()(Spherical(), torch.zeros(1, 8, dtype=torch.float64))
    assert at["gradient_flat"].value == 0 and at["gradient_curvature"].why == "there is no gradient"
