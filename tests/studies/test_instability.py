"""Copies: one point until they are spawned; on a quadratic exactly; claims that do not hold of flat
barriers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Constant, Cosine
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.optim.spawned import Spawned, spawned, start_in_pairs
from sgdtheory.protocol import Landscape
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.studies.instabilities.bowl import Bowl, spread_energy
from sgdtheory.studies.instabilities.claims import claims_of
from sgdtheory.studies.instabilities.copies import Copies
from tests.conftest import Said

BOWL = Quadratic((1.0, 0.3), noise=0.5, noise_anisotropy=6.0)
LANDSCAPES: dict[str, Callable[[], Landscape]] = {
    "formula": lambda: BOWL,
    "network": lambda: Network(partial(MLP, hidden=(4,)), digits()),
}


def after(sgd: SGD, landscape: Landscape, seed: int = 3) -> list[SGDState]:
    start = start_in_pairs(landscape.init(3, stream(0, "init")))
    states = [SGDState(0, start, torch.zeros_like(start))]
    for state in sgd.run(landscape, start, seed):
        states.append(state._replace(cloud=state.cloud.clone(), velocity=state.velocity.clone()))
    return states


@pytest.mark.parametrize("name", LANDSCAPES)
def test_copies_are_one_point_until_they_are_spawned(name: str) -> None:
    landscape = LANDSCAPES[name]()
    sgd = SGD(8, 4, 0.1, Cosine(), 0.9)
    states = after(spawned(sgd, 5), landscape)
    for state in states:
        alike = torch.equal(state.cloud[0::2], state.cloud[1::2])
        assert alike == (state.step <= 5)
    # the network itself is not disturbed, and going on from a state changes no bit
    plain = after(sgd, landscape)
    assert torch.equal(plain[-1].cloud[0::2], states[-1].cloud[0::2])
    assert torch.equal(plain[-1].cloud, after(spawned(sgd, 0), landscape)[-1].cloud)
    for at in (3, 6):
        *_, end = spawned(sgd, 5).run(landscape, states[at], 3)
        assert torch.equal(end.cloud, states[-1].cloud)


def test_a_rate_that_is_measured_keeps_the_pairs() -> None:
    resolved = spawned(SGD(8, 4, "auto", Constant(), 0.9), 5).resolve_learning_rate(
        BOWL, start_in_pairs(BOWL.init(2, stream(0, "init"))), 0
    )
    assert isinstance(resolved, Spawned) and resolved.spawn == 5


def test_how_far_noise_spreads_on_a_quadratic() -> None:
    # without momentum hᵢΣᵢᵢ is a geometric series
    sgd = spawned(SGD(30, 4, 0.2, Constant()), 10)
    h = BOWL.spectrum
    c = BOWL.noise_covariance(torch.zeros(1, 2))[0].double().diagonal() / 4
    a = 1 - 0.2 * h
    series = 0.2**2 * c * (1 - a**40) / (1 - a**2)
    assert spread_energy(BOWL, sgd) == pytest.approx(float((h * series).sum()), rel=1e-6)
    # with it the stationary law, after long
    long = spawned(SGD(3000, 4, 0.2, Constant(), 0.6), 0)
    covariance = BOWL.stationary_covariance(0.2, 4, 0.6)
    at_rest = float((torch.diag(h) * covariance).sum())
    assert spread_energy(BOWL, long) == pytest.approx(at_rest, rel=1e-6)
    assert spread_energy(BOWL, spawned(SGD(5, 4, 0.2, Constant()), 5)) == 0


def watched(part: Bowl | Copies, path: Any, spawn: int) -> dict[str, list[dict[str, Any]]]:
    folder = UnitFolder(path / str(spawn), Unit("unit", {"spawn": spawn}))
    tables, _ = part.watch(folder, {"spawn": spawn}, 1, torch.float64)
    return {name: [{"spawn": spawn, **row} for row in rows] for name, rows in tables.items()}


def test_halfway_between_copies_in_a_bowl(tmp_path: Any) -> None:
    part = Bowl(BOWL, SGD(40, 4, 0.1, Cosine(), 0.5), [0, 30], 2000)
    rows = [watched(part, tmp_path, spawn)["bowl"][0] for spawn in part.spawn]
    holds = {claim.name: claim.holds for claim in part.judge("bowl", {"bowl": rows}).claims}
    assert holds == {"bowl_mean": True, "bowl_pairs": True}
    for row in rows:
        assert row["dip"] < 0 and row["ratio_stderr"] < 0.04
        # copies that shared their noise longer, or −⅛ of the sum of both spreads
        for wrong in (0.5, 2.0):
            other = {**row, "ratio": wrong * row["ratio"]}
            mean, _ = part.judge("bowl", {"bowl": [other]}).claims
            assert mean.holds is False


def test_a_network_forgets_its_noise_only_early(tmp_path: Any) -> None:
    landscape = Network(partial(MLP, hidden=(8, 8)), digits(), weight_decay=1e-3)
    part = Copies(landscape, SGD(300, 16, 0.2, Cosine(), 0.9), [0, 270], pairs=3, dense=7)
    rows = [row for spawn in part.spawn for row in watched(part, tmp_path, spawn)["copies"]]
    found = part.judge("mlp", {"copies": rows})
    fall, _ = found.claims
    assert fall.name == "mlp_barrier" and fall.holds is True
    early, late = found.tables["spawned"]
    assert early["distance"] > 3 * late["distance"] and early["aligned"] <= early["barrier"]
    assert early["share"] == 0 and late["share"] == 0.9


def spawn_rows(barriers: list[float], errors: list[float]) -> list[dict[str, Any]]:
    rows = []
    for k, (barrier, error) in enumerate(zip(barriers, errors, strict=True)):
        facts = {"spawn": 10 * k, "share": k / 10, "error": error, "aligned": barrier / 2}
        rows.append({**facts, "barrier": barrier, "barrier_stderr": 0.01, "aligned_stderr": 0.01})
    return rows


@pytest.mark.parametrize(
    ("barriers", "errors", "holds"),
    [
        ([1.0, 0.3, 0.05], [0.2, 0.1, 0.01], [True, True]),
        ([1.0, 0.3, 0.15], [0.2, 0.1, 0.01], [False, True]),  # not ten times
        ([1.0, 0.9, 0.0], [0.2, 0.01, 0.03], [True, False]),  # unstable at last
        ([1.0, 0.9, 0.0], [0.01, 0.01, 0.01], [True, False]),  # stable at first
    ],
)
def test_claims(barriers: list[float], errors: list[float], holds: list[bool]) -> None:
    claims = claims_of("mlp", spawn_rows(barriers, errors))
    assert [claim.holds for claim in claims] == holds


def test_the_study_end_to_end(sgdtheory: Callable[..., Said]) -> None:
    words = ["systems.bowl.pairs=1000", "systems.bowl.spawn=[0,50]", "systems.mlp.spawn=[0,75]"]
    small = ["systems.mlp.sgd.steps=80", "systems.mlp.pairs=2", "systems.mlp.dense=5"]
    said = sgdtheory("study", "instability", *words, *small, "executor.workers=1", "--quiet")
    assert said.code == 0, said
    assert "bowl" in said.out and "mlp" in said.out
