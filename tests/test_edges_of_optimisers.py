"""The edges of stability that optimisers state, against where the one loop begins to grow; SAM against
a plain twin."""

from dataclasses import dataclass
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.sam import SAM
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import snapshot_name
from sgdtheory.pipelines.snapshots import along
from sgdtheory.protocol import Cloud, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder

RATE = 0.3
TINY = 1e-80  # far below ε, whatever the first steps, of a bias that is corrected, make of it
SLIGHTLY = 1e-10


def growth(sgd: SGD, h: float, start: float) -> float:
    """log |θ| after all steps less log |θ| after half of them, on ½hθ²."""
    bowl = Quadratic((h,))
    half = 0.0
    for state in sgd.run(bowl, torch.full((1, 1), start, dtype=torch.float64), 0):
        if state.step == sgd.steps // 2:
            half = log(abs(float(state.cloud)))
    return log(abs(float(state.cloud))) - half


@pytest.mark.parametrize(
    "sgd",
    [
        SGD(400, None, RATE, Constant()),
        SGD(800, None, RATE, Constant(), 0.9),
        SGD(800, None, RATE, Constant(), 0.9, nesterov=True),
        Adam(800, None, RATE, Constant(), 0.9, epsilon=1.0),
        AdamW(800, None, RATE, Constant(), 0.8, epsilon=1.0, decay=0.5),
    ],
    ids=["descent", "heavy ball", "Nesterov", "Adam", "AdamW"],
)
def test_it_grows_above_its_edge_and_shrinks_below(sgd: SGD) -> None:
    adaptive = isinstance(sgd, Adam)
    edge = sgd.preconditioned_edge(RATE) if isinstance(sgd, Adam) else sgd.edge(RATE, 1.0)
    assert edge.value is not None
    start = TINY if adaptive else 1.0
    assert growth(sgd, edge.value * (1 - SLIGHTLY), start) < 0
    assert growth(sgd, edge.value * (1 + SLIGHTLY), start) > 0


def test_the_edges_are_the_papers() -> None:
    assert SGD(1, None, 0.5, Constant()).edge(0.5, 1.0).value == 4
    assert SGD(1, None, 0.5, Constant(), 0.9).edge(0.5, 1.0).value == pytest.approx(2 * 1.9 / 0.5)
    assert Adam(1, None, 0.5, Constant()).preconditioned_edge(0.5).value == pytest.approx(38 / 0.5)
    assert Adam(1, None, 0.5, Constant()).edge(0.5, 1.0).value is None
    assert "learning rate is 0" in SGD(1, None, 0.5, Constant()).edge(0.0, 1.0).why


# SAM


def test_a_step_of_sam_is_the_papers() -> None:
    """v ← μv + ∇L(θ + ρ∇L/|∇L|), written out."""
    h = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    start = torch.randn(2, 3, generator=stream(0, "start"), dtype=torch.float64)
    twin, velocity = start.clone(), torch.zeros_like(start)
    for _ in range(7):
        gradient = h * twin
        uphill = twin + 0.3 * gradient / gradient.norm(dim=1, keepdim=True)
        velocity = 0.5 * velocity + h * uphill
        twin = twin - 0.1 * velocity
    sam = SAM(7, None, 0.1, Constant(), 0.5, rho=0.3)
    *_, state = sam.run(Quadratic((0.2, 1.0, 3.0)), start, 0)
    assert (state.cloud - twin).abs().max() < 1e-14
    assert (
        state.cloud
        - [*SGD(7, None, 0.1, Constant(), 0.5).run(Quadratic((0.2, 1.0, 3.0)), start, 0)][-1].cloud
    ).norm() > 0.1


def test_both_gradients_of_a_step_are_of_one_mini_batch() -> None:
    bowl, seen = Quadratic((1.0, 2.0)), []

    class Watched(Quadratic):
        def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
            seen.append(batch)
            return bowl.losses(cloud, batch)

    start = torch.ones(3, 2)
    [*_] = SAM(2, 4, 0.1, Constant()).run(Watched((1.0, 2.0)), start, 0)
    assert len(seen) == 4 and seen[0] is not None and seen[0].shape == (3, 2)
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[2], seen[3])
    assert not torch.equal(seen[0], seen[2])


def test_without_a_gradient_sam_stands_still() -> None:
    *_, state = SAM(3, None, 0.1, Constant()).run(Quadratic((1.0,)), torch.zeros(1, 1), 0)
    assert not state.cloud.any()


@pytest.mark.parametrize("norm", [0.01, 0.2, 5.0])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_at_its_edge_sams_gradient_is_that_of_sgds_edge(norm: float, momentum: float) -> None:
    """h(1 + ρh/|g|) = 2(1+μ)/η: without momentum a step turns θ into −θ, to rounding."""
    sam = SAM(1, None, RATE, Constant(), momentum, rho=0.2)
    edge = sam.edge(RATE, norm).value
    plain = SGD(1, None, RATE, Constant(), momentum).edge(RATE, norm).value
    assert edge is not None and plain is not None and edge < plain
    bowl, theta = Quadratic((edge,)), torch.full((1, 1), norm / edge, dtype=torch.float64)
    _, gradient = sam.look(bowl, theta, None)
    assert float(gradient / theta) == pytest.approx(plain, rel=1e-13)
    if not momentum:
        (state,) = sam.run(bowl, theta, 0)
        assert float(state.cloud) == pytest.approx(-float(theta), rel=1e-12)


def test_on_a_bowl_sams_gradient_settles_where_its_edge_is_the_curvature() -> None:
    """It does not diverge there: h* < 2/η is no threshold of growth, but what |g| is found by."""
    sam, h = SAM(400, None, RATE, Constant(), rho=0.2), 0.8 * 2 / RATE
    for start in (1e-3, 3.0):
        theta = torch.full((1, 1), start, dtype=torch.float64)
        *_, state = sam.run(Quadratic((h,)), theta, 0)
        assert sam.edge(RATE, h * abs(float(state.cloud))).value == pytest.approx(h, rel=1e-10)


# what a training says


@dataclass(frozen=True)
class Signs(SGD):
    """An optimiser of somebody's own."""

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        cloud.sub_(force.sign(), alpha=rate)


def test_an_optimiser_that_states_no_edge_has_none() -> None:
    assert "Signs states no edge" in Signs(1, None, 0.1, Constant()).edge(0.1, 1.0).why


@pytest.mark.parametrize("sgd", [Adam(1, None, 0.5, Constant()), Signs(1, None, 0.5, Constant())])
def test_no_snapshot_has_sgds_edge_beside_another_optimiser(sgd: SGD, tmp_path: Path) -> None:
    folder = UnitFolder(tmp_path, Unit("unit", {"name": "unit"}))
    bowl, theta = Quadratic((2.0,)), torch.ones(1, 1)
    folder.keep_snapshot(snapshot_name(sgd, 1), theta)
    _, rows = along(folder, bowl, sgd, 1, theta)
    (row,) = rows["snapshots"]
    assert row["edge_of_stability"] is None and row["edge_of_stability_why"]
    _, gradients = value_and_grad(bowl, theta)
    assert row["gradient_norm"] == float(gradients.norm())
    if isinstance(sgd, Adam):
        assert row["preconditioned_edge"] == pytest.approx(76)
