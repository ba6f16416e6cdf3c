"""Geometry of paths, against loops and against what it must leave alone."""

from math import pi

import pytest
import torch
from torch import Tensor

from sgdtheory.paths.polyline import (
    arc_positions,
    gaps,
    length,
    points_at,
    reparametrize,
    reparametrize_exactly,
    straight_length,
    subdivide,
)
from sgdtheory.protocol import length_of
from sgdtheory.rng import stream

HALF_CIRCLE = torch.linspace(0, pi, 13, dtype=torch.float64)


def a_path(points: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(points, dim, generator=stream(seed, "path"), dtype=torch.float64)


def targets(points: int, seed: int = 0) -> Tensor:
    steps = 0.2 + torch.rand(points - 1, generator=stream(seed, "targets"), dtype=torch.float64)
    return torch.cat([steps.new_zeros(1), steps.cumsum(0) / steps.sum()])


def test_lengths_of_a_half_circle() -> None:
    circle = torch.stack([HALF_CIRCLE.cos(), HALF_CIRCLE.sin()], 1)
    chord = 2 * torch.sin(torch.tensor(pi / 24, dtype=torch.float64))
    torch.testing.assert_close(gaps(circle), chord.expand(12))
    assert length(circle) == pytest.approx(12 * float(chord))
    assert straight_length(circle) == pytest.approx(2)
    torch.testing.assert_close(arc_positions(circle), torch.linspace(0, 1, 13, dtype=torch.float64))


def test_lengths_are_summed_in_float64() -> None:
    path = torch.zeros(3, 1 << 18)
    path[1:] = 1e-3  # 2¹⁸ equal squares, whose float32 sum depends on the order
    assert length(path) == pytest.approx(512e-3, rel=1e-7)
    assert gaps(path).dtype == torch.float64


def test_points_at_against_a_loop() -> None:
    path, t = a_path(7, 5), torch.rand(40, generator=stream(0, "t"), dtype=torch.float64)
    arcs = arc_positions(path).tolist()
    for point, at in zip(points_at(path, t), t.tolist(), strict=True):
        i = max(k for k in range(6) if arcs[k] <= at)
        share = (at - arcs[i]) / (arcs[i + 1] - arcs[i])
        torch.testing.assert_close(
            point, path[i] + share * (path[i + 1] - path[i]), rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_path_contains_its_own_points_to_the_bit(dtype: torch.dtype) -> None:
    path = a_path(9, 50).to(dtype)
    path[4] = path[3]  # two pivots in one place
    assert torch.equal(points_at(path, arc_positions(path)), path)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_redistribution_is_idempotent(seed: int, dtype: torch.dtype) -> None:
    bent = a_path(3, 60, seed).to(dtype)  # a smooth path with a sharp corner
    path = points_at(bent, targets(13, seed + 9))
    wanted = targets(13, seed)
    once = reparametrize_exactly(path, wanted)
    assert (arc_positions(once) - wanted).abs().max() <= 1e-5
    assert torch.equal(reparametrize_exactly(once, wanted), once)
    assert torch.equal(once[[0, -1]], path[[0, -1]])


def test_one_pass_is_not_enough_where_there_are_corners() -> None:
    path = a_path(13, 60)
    once = points_at(path, targets(13))
    assert (arc_positions(once) - targets(13)).abs().max() > 1e-3
    assert (
        arc_positions(reparametrize_exactly(path, targets(13))) - targets(13)
    ).abs().max() <= 1e-5


@pytest.mark.parametrize("seed", range(20))
def test_slid_is_points_at_of_the_interior(seed: int) -> None:
    path, wanted = a_path(9, 30, seed), targets(9, seed)
    torch.testing.assert_close(
        reparametrize(path, wanted.tolist()), points_at(path, wanted)[1:-1], rtol=0, atol=1e-14
    )
    arcs = arc_positions(path)  # all stand where they are to stand already
    torch.testing.assert_close(reparametrize(path, arcs.tolist()), path[1:-1], rtol=0, atol=1e-14)
    path[4] = path[3]  # two pivots in one place
    torch.testing.assert_close(
        reparametrize(path, wanted.tolist()), points_at(path, wanted)[1:-1], rtol=0, atol=1e-14
    )


def test_lengths_of_float32_paths_are_as_good_where_points_slide() -> None:
    path = torch.zeros(3, 1 << 20)
    path[1:, : 1 << 19], path[2, 1 << 19 :] = 1e-3, 1e-3  # two equal gaps of many equal squares
    path[2, : 1 << 19] = 1e-3
    torch.testing.assert_close(reparametrize(path, [0.0, 0.5, 1.0]), path[1:2], rtol=0, atol=1e-9)


def test_redistribution_of_a_broken_path_ends() -> None:
    path = a_path(5, 3)
    path[2] = torch.nan
    assert reparametrize_exactly(path, targets(5)).shape == path.shape


def test_subdivide_keeps_the_points_and_the_arcs() -> None:
    path = a_path(4, 6)
    dense = subdivide(path, 5)
    assert dense.shape == (16, 6)
    assert torch.equal(dense[::5], path)
    torch.testing.assert_close(arc_positions(dense), subdivide(arc_positions(path), 5))
    torch.testing.assert_close(points_at(path, subdivide(arc_positions(path), 5)), dense)


def test_lengths_of_many_numbers_are_exact() -> None:
    """Where torch's own norm in float32 is not: 2¹² numbers of 0.1 in each of 2¹⁰ rows."""
    vector = torch.full((1 << 22,), 0.1)
    exact = float(vector[0]) * 2.0**11
    assert length_of(vector) == pytest.approx(exact, rel=1e-9)
    assert abs(float(vector.norm()) / exact - 1) > 1e-6
