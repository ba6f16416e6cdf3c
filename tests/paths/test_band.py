"""The elastic band: the four cases of its tangent, its forces against a loop written out, and where
pivots are inserted."""

from math import inf

import pytest
import torch
from torch import Tensor

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, Coupling
from sgdtheory.paths.band import ElasticBand, insertion, tangents
from sgdtheory.paths.polyline import arc_positions, points_at, reparametrize_exactly
from sgdtheory.rng import stream

CORNER = torch.tensor(
    [[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]], dtype=torch.float64
)  # τ⁻ = (1, 0), τ⁺ = (0, 2)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed, "draws", shape), dtype=torch.float64)


def twin(
    path: Tensor, values: Tensor, gradients: Tensor, stiffness: float, climb: bool, broken: str = ""
) -> Tensor:
    """The force that SGD descends, pivot by pivot, from the papers; `broken`: extremum weights
    swapped, or unprojected."""
    interior = range(1, len(path) - 1)
    highest = max(interior, key=lambda i: float(values[i]))
    forces = []
    for i in interior:
        ahead, behind = path[i + 1] - path[i], path[i] - path[i - 1]
        before, here, after = (float(values[k]) for k in (i - 1, i, i + 1))
        if before < here < after:
            tau = ahead
        elif before > here > after:
            tau = behind
        else:
            larger, smaller = (
                max(abs(after - here), abs(before - here)),
                min(abs(after - here), abs(before - here)),
            )
            if (after > before) != (broken == "swapped"):
                tau = ahead * larger + behind * smaller
            else:
                tau = ahead * smaller + behind * larger
        tau = tau / tau.norm()
        g = gradients[i - 1]
        slope = g @ tau
        if climb and i == highest and here > max(float(values[0]), float(values[-1])):
            forces.append(g - 2 * slope * tau)
            continue
        force = g if broken == "unprojected" else g - slope * tau
        if stiffness != inf:
            force = force - stiffness * (ahead.norm() - behind.norm()) * tau
        forces.append(force)
    return torch.stack(forces)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 2.0], [0.0, 2.0]),  # rising: τ⁺
        ([2.0, 1.0, 0.0], [1.0, 0.0]),  # falling: τ⁻
        ([0.0, 3.0, 1.0], [2.0, 2 * 3.0]),  # maximum, next one higher: τ⁺·3 + τ⁻·2
        ([1.0, 3.0, 0.0], [3.0, 2 * 2.0]),  # maximum, last one higher: τ⁺·2 + τ⁻·3
        ([1.0, 0.0, 3.0], [1.0, 2 * 3.0]),  # minimum, next one higher: τ⁺·3 + τ⁻·1
        ([3.0, 0.0, 1.0], [3.0, 2 * 1.0]),  # minimum, last one higher: τ⁺·1 + τ⁻·3
        ([0.0, 1.0, 0.0], [1.0, 2.0]),  # equal neighbours
        ([1.0, 1.0, 1.0], [1.0, 2.0]),  # all equal
        ([1.0, 1.0, 3.0], [0.0, 2.0]),
        ([0.0, 1.0, 1.0], [0.0, 2.0]),  # a step: ΔVmin = 0
        ([0.0, 1e-200, 3e-200], [0.0, 2.0]),  # differences whose product is nothing in float64
    ],
)
def test_tangent_cases(values: list[float], expected: list[float]) -> None:
    wanted = torch.tensor([expected], dtype=torch.float64)
    found = tangents(CORNER, values)
    torch.testing.assert_close(found / found.norm(), wanted / wanted.norm(), rtol=0, atol=1e-15)


CASES = [(inf, False), (inf, True), (0.7, False), (3.0, True)]


def a_band(
    seed: int, stiffness: float, climb: bool, points: int = 9, dim: int = 30
) -> tuple[ElasticBand, Tensor, Tensor, Tensor]:
    path, values, gradients = (
        draws(points, dim, seed=seed),
        draws(points, seed=seed),
        draws(points - 2, dim, seed=seed + 50),
    )
    values[3] = 4.0  # a top above both ends
    band = ElasticBand(path[[0, -1]], values[[0, -1]], arc_positions(path), stiffness, climb)
    return band, path, values, gradients


@pytest.mark.parametrize(("stiffness", "climb"), CASES)
@pytest.mark.parametrize("seed", range(20))
def test_forces_against_a_loop(seed: int, stiffness: float, climb: bool) -> None:
    band, path, values, gradients = a_band(seed, stiffness, climb)
    found = band.force(path[1:-1], values[1:-1], gradients)
    torch.testing.assert_close(
        found, twin(path, values, gradients, stiffness, climb), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("broken", ["swapped", "unprojected"])
def test_the_loop_tells_a_broken_band(broken: str) -> None:
    """What the reference implementation has (weights swapped), and a forgotten projection, are far
    outside the tolerance."""
    for seed in range(20):
        band, path, values, gradients = a_band(seed, inf, False)
        found = band.force(path[1:-1], values[1:-1], gradients)
        assert (found - twin(path, values, gradients, inf, False, broken)).abs().max() > 1e-3


@pytest.mark.parametrize(("stiffness", "climb"), CASES)
def test_reversed_band_reversed_forces(stiffness: float, climb: bool) -> None:
    for seed in range(10):
        band, path, values, gradients = a_band(seed, stiffness, climb)
        back = ElasticBand(
            band.ends.flip(0), band.end_losses.flip(0), 1 - band.targets.flip(0), stiffness, climb
        )
        forth = band.force(path[1:-1], values[1:-1], gradients)
        reverse = back.force(path[1:-1].flip(0), values[1:-1].flip(0), gradients.flip(0))
        torch.testing.assert_close(reverse.flip(0), forth, rtol=0, atol=1e-14)


def test_no_climber_where_no_pivot_is_above_the_ends() -> None:
    band, path, values, gradients = a_band(0, inf, True)
    high = ElasticBand(
        band.ends, torch.tensor([9.0, 0.0], dtype=torch.float64), band.targets, climb=True
    )
    values[0], values[-1] = 9.0, 0.0
    wanted = twin(path, values, gradients, inf, False)
    torch.testing.assert_close(
        high.force(path[1:-1], values[1:-1], gradients), wanted, rtol=0, atol=1e-12
    )


def test_place_puts_the_pivots_on_their_targets() -> None:
    band, path, _, _ = a_band(1, inf, False)
    moved = path[1:-1] + 0.05 * draws(7, 30, seed=3)
    placed = band.project(moved)
    torch.testing.assert_close(
        placed, points_at(band.path(moved), band.targets)[1:-1], rtol=0, atol=1e-14
    )
    for _ in range(200):  # a step never moves so far again: what one pass leaves, the next take
        placed = band.project(placed)
    torch.testing.assert_close(arc_positions(band.path(placed)), band.targets, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        reparametrize_exactly(band.path(placed), band.targets)[1:-1], placed, rtol=0, atol=1e-14
    )
    for free in (a_band(1, 0.7, False)[0], a_band(1, inf, True)[0]):
        assert free.project(moved) is moved


def test_a_placed_cloud_is_part_of_its_path_wherever_it_is_moved() -> None:
    """No copy is made of what `place` gave away, and its path follows it; the ends are those of the
    band throughout."""
    band, path, values, gradients = a_band(1, inf, False)
    cloud = path[1:-1]
    for step in range(3):
        cloud = band.project(cloud)
        cloud -= 0.1 * draws(7, 30, seed=step)
        whole = band.path(cloud)
        assert whole[1:-1].data_ptr() == cloud.data_ptr() and torch.equal(
            whole[[0, -1]], path[[0, -1]]
        )
        assert torch.equal(whole, band.path(cloud.clone()))
        assert torch.equal(
            band.force(cloud, values[1:-1], gradients),
            band.force(cloud.clone(), values[1:-1], gradients),
        )
        assert torch.equal(
            band.project(cloud.clone()), a_band(1, inf, False)[0].project(cloud.clone())
        )


def test_springs_even_out_a_band() -> None:
    """On a flat valley floor nothing but the springs moves the pivots, along the path: gaps become
    equal."""
    bowl = Quadratic((0.0, 1.0))
    ends = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    cloud = torch.tensor([[0.05, 0.1], [0.1, 0.0], [0.4, -0.1]], dtype=torch.float64)
    band: Coupling = ElasticBand(
        ends, torch.zeros(2, dtype=torch.float64), torch.linspace(0, 1, 5), stiffness=1.0
    )
    *_, last = SGD(400, None, 0.2, Constant()).run(bowl, cloud, 0, band)
    wanted = torch.tensor([[0.25, 0.0], [0.5, 0.0], [0.75, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(last.cloud, wanted, rtol=0, atol=1e-6)


# Inserting pivots. Paths on a line, so that arc positions can be read off.

LINE = torch.tensor(
    [[0.0], [1.0], [2.0], [4.0]], dtype=torch.float64
)  # parts = 4: dense values [13]


def profile(*bumps: tuple[int, float]) -> Tensor:
    values = torch.zeros(13, dtype=torch.float64)
    for place, height in bumps:
        values[place] = height
    return values


def test_a_pivot_is_inserted_at_the_largest_departure() -> None:
    path, arcs = insertion(LINE, profile((5, 0.4), (6, 1.0), (7, 0.5)), 2, 0.05)
    assert path[:, 0].tolist() == [0.0, 1.0, 1.5, 2.0, 4.0]
    assert arcs.tolist() == [0.0, 0.25, 0.375, 0.5, 1.0]


def test_at_most_so_many_pivots_the_largest_first() -> None:
    values = profile((1, 0.3), (6, 0.2), (11, 1.0))
    assert insertion(LINE, values, 1, 0.05)[0][:, 0].tolist() == [0.0, 1.0, 2.0, 3.5, 4.0]
    assert insertion(LINE, values, 2, 0.05)[0][:, 0].tolist() == [0.0, 0.25, 1.0, 2.0, 3.5, 4.0]
    assert len(insertion(LINE, values, 9, 0.05)[0]) == 7
    assert len(insertion(LINE, values, 0, 0.05)[0]) == 4


def test_the_threshold_is_a_share_of_the_range() -> None:
    values = profile((1, 0.3), (6, 0.2), (11, 1.0))
    for scale in (1e-6, 1.0, 1e6):
        assert len(insertion(LINE, 7 + scale * values, 9, 0.25)[0]) == 6
        assert len(insertion(LINE, 7 + scale * values, 9, 0.35)[0]) == 5


def test_nothing_is_inserted_where_the_path_is_straight_or_dips() -> None:
    ramp = torch.linspace(0, 3, 13, dtype=torch.float64)
    for values in (
        profile(),
        ramp,
        ramp - profile((6, 2.0)),
        torch.full((13,), torch.nan, dtype=torch.float64),
    ):
        path, arcs = insertion(LINE, values, 2, 0.05)
        assert torch.equal(path, LINE)
        assert arcs.tolist() == [0.0, 0.25, 0.5, 1.0]
