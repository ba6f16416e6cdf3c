"""Copies: one point until they are spawned; on a quadratic exactly; claims that do not hold of flat
barriers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.langevin import Langevin
from sgdtheory.optim.sam import SAM
from sgdtheory.optim.schedule import Constant, Cosine
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.optim.spawned import Spawned, spawned, start_in_pairs
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.examples import has_examples
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.studies.instabilities.bowl import Bowl, spread_energy
from sgdtheory.studies.instabilities.claims import claims_of
from sgdtheory.studies.instabilities.copies import Copies, _rise
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


class Shaken(Langevin):
    """Somebody's own optimiser, whose constructor asks for less."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps, 4, 0.1, Constant(), 0.5, noise_seed=7)


OPTIMISERS: dict[str, SGD] = {
    "nesterov": SGD(8, 4, 0.1, Constant(), 0.9, nesterov=True),
    "adam": Adam(8, 4, 0.1, Constant(), beta2=0.9),
    "adamw": AdamW(8, 4, 0.1, Constant(), decay=0.5),
    "sam": SAM(8, 4, 0.1, Constant(), 0.5, rho=0.3),
    "own": Shaken(8),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_copies_are_spawned_with_the_optimiser_that_was_asked_for(name: str) -> None:
    optimiser = OPTIMISERS[name]
    plain = last(optimiser)
    for spawn in (0, 5):
        kept = spawned(optimiser, spawn)
        assert isinstance(kept, type(optimiser)) and kept.spawn == spawn
        pairs = kept.run(BOWL, twice(), 3)
        alike = [torch.equal(state.cloud[::2], state.cloud[1::2]) for state in pairs]
        assert alike == [step <= spawn for step in range(1, 9)]
        assert torch.equal(last(kept)[::2], plain[::2])
    # not those of plain SGD
    assert not torch.equal(last(SGD(8, 4, 0.1, Constant(), optimiser.momentum)), plain)


def twice() -> Cloud:
    return start_in_pairs(BOWL.init(3, stream(0, "init")))


def last(sgd: SGD) -> Cloud:
    *_, end = sgd.run(BOWL, twice(), 3)
    return end.cloud


def test_a_copy_has_all_that_its_optimiser_remembers() -> None:
    """m and s of Adam are the network's at the spawning."""
    for state in spawned(OPTIMISERS["adam"], 5).run(BOWL, twice(), 3):
        if state.step == 5:
            assert torch.equal(state.velocity[:, ::2], state.velocity[:, 1::2])
            assert bool(state.velocity.abs().min() > 0)


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


def test_how_far_noise_spreads_with_nesterovs_momentum() -> None:
    # h = 1, C/b = c, two steps: θ₁ = −η(1+μ)ξ₁, v₁ = ξ₁, θ₂ = θ₁ − η((1+μ)(θ₁ + ξ₂) + μ²v₁)
    bowl = Quadratic((1.0,), noise=0.5)
    eta, mu, c = 0.2, 0.6, 0.5 / 4
    sgd = spawned(SGD(2, 4, eta, Constant(), mu, nesterov=True), 0)
    step = eta * (1 + mu)
    first = -step * (1 - step) - eta * mu**2
    assert spread_energy(bowl, sgd) == pytest.approx(c * (first**2 + step**2), rel=1e-6)
    # at rest θ is an ARMA(2, 1): φ₁ = 1 + μ − η(1+μ), φ₂ = ημ − μ, of −η((1+μ)ξ − μξ′)
    one = (1 + mu) * (1 - eta)
    two = -mu * (1 - eta)
    now, then = -eta * (1 + mu), eta * mu
    white = now**2 + then * (then + one * now)
    beside = then * now  # of γ₁ = φ₁γ₀ + φ₂γ₁ + beside
    # γ₀ = φ₁γ₁ + φ₂γ₂ + white, γ₂ = φ₁γ₁ + φ₂γ₀
    along = one * (1 + two) / (1 - two)
    variance = (white + along * beside) / (1 - two**2 - along * one)
    long = spawned(SGD(2000, 4, eta, Constant(), mu, nesterov=True), 0)
    assert spread_energy(bowl, long) == pytest.approx(c * variance, rel=1e-6)


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


def test_nesterov_and_a_measured_rate_in_a_bowl(tmp_path: Any) -> None:
    """Heavy ball's matrices are 25 standard errors off."""
    part = Bowl(BOWL, SGD(40, 4, "auto", Constant(), 0.8, nesterov=True), [0], 2000)
    rows = watched(part, tmp_path, 0)["bowl"]
    assert [claim.holds for claim in part.judge("bowl", {"bowl": rows}).claims] == [True, True]


def test_pairs_in_single_precision(tmp_path: Any) -> None:
    part = Bowl(BOWL, SGD(40, 4, 0.1, Constant(), 0.5), [0], 500)
    folder = UnitFolder(tmp_path, Unit("unit", {}))
    tables, _ = part.watch(folder, {"spawn": 0}, 1, torch.float32)
    (row,) = tables["bowl"]
    assert 1e-9 < row["off"] < 1e-5
    rows = [{"spawn": 0, **row}]
    found = {claim.name: claim for claim in part.judge("bowl", {"bowl": rows}).claims}
    assert found["bowl_pairs"].holds is True and found["bowl_pairs"].expected == "≤ 7.6e-06"
    wrong = [{**rows[0], "off": 1e-3}]
    *_, pairs = part.judge("bowl", {"bowl": wrong}).claims
    assert pairs.holds is False


PLAIN = SGD(40, 4, 0.1, Constant(), 0.5)


class Forgetful(SGD):
    """Remembers one number a cloud."""

    def init_state(self, cloud: Cloud) -> Cloud:
        return cloud.new_zeros(1)


def test_networks_whose_copies_cannot_part() -> None:
    network = LANDSCAPES["network"]()
    assert has_examples(network)
    everything = SGD(40, network.count, 0.1, Constant(), sampling="epoch")
    refused = {
        "is all examples": (network, everything),
        "batch_size=null": (network, SGD(40, None, 0.1, Constant())),
        "what Forgetful remembers": (network, Forgetful(40, 4, 0.1, Constant())),
        "landscape=network": (BOWL, PLAIN),
    }
    for told, (landscape, sgd) in refused.items():
        with pytest.raises(UserError, match=told):
            Copies(landscape, sgd, [0, 10])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="spawn=40"):
        Copies(network, PLAIN, [0, 40])  # type: ignore[arg-type]


def test_what_few_pairs_do_not_say() -> None:
    first, last = spawn_rows([0.3, 0.03], [0.2, 0.01])
    fall, _ = claims_of("mlp", [{**first, "barrier_stderr": 0.1}, last], 8)
    assert fall.holds is None and "raise systems.mlp.pairs" in fall.measured.why
    part = Bowl(BOWL, PLAIN, [0], 10)
    row = {"spawn": 0, "off": 0.0, "ratio": 0.2, "ratio_stderr": 0.1}
    mean, _ = part.judge("bowl", {"bowl": [row]}).claims
    assert mean.holds is None and "raise systems.bowl.pairs" in mean.measured.why
    mean, _ = part.judge("bowl", {"bowl": [{**row, "ratio_stderr": 0.04}]}).claims
    assert mean.holds is False


def test_test_errors_that_are_not_known() -> None:
    rows = spawn_rows([1.0, 0.3, 0.05], [0.2, 0.1, 0.01])
    fall, stable = claims_of("mlp", [*rows[:-1], {**rows[-1], "error": None}], 8)
    assert fall.holds is True and stable.holds is None and "test set" in stable.measured.why
    assert _rise(None) is None and _rise(torch.zeros(3, 0)) is None
    assert _rise(torch.tensor([[0.0, 0.2], [0.5, 0.5], [0.1, 0.1]])) == pytest.approx(0.4)


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
        errors_of = dict.fromkeys(("barrier_stderr", "aligned_stderr", "error_stderr"), 0.0025)
        rows.append({**facts, "barrier": barrier, **errors_of})
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
    claims = claims_of("mlp", spawn_rows(barriers, errors), 8)
    assert [claim.holds for claim in claims] == holds


@pytest.mark.parametrize("errors", [[0.03, 0.01, 0.001], [0.2, 0.1, 0.011], [0.2, 0.1, 0.03]])
def test_errors_that_reach_over_the_bar_leave_it_open(errors: list[float]) -> None:
    """A rise of .011 ± .006 is within two standard errors of .02, and so are .03 and .026."""
    rows = [{**row, "error_stderr": 0.006} for row in spawn_rows([1.0, 0.3, 0.05], errors)]
    _, stable = claims_of("mlp", rows, 8)
    assert stable.holds is None and "raise systems.mlp.pairs" in stable.measured.why


@pytest.mark.parametrize(("pairs", "holds"), [(2, None), (8, True)])
def test_errors_of_two_pairs_are_known_from_one_difference(pairs: int, holds: bool | None) -> None:
    """1 ± .05 is above ten times .05 ± .0025 by 9 standard errors; two pairs need 14."""
    rows = spawn_rows([1.0, 0.05], [0.2, 0.001])
    rows = [{**row, "barrier_stderr": 0.05 * row["barrier"]} for row in rows]
    fall, _ = claims_of("mlp", rows, pairs)
    assert fall.holds is holds


def test_the_study_end_to_end(sgdtheory: Callable[..., Said]) -> None:
    words = ["systems.bowl.pairs=1000", "systems.bowl.spawn=[0,50]", "systems.mlp.spawn=[0,75]"]
    small = ["systems.mlp.sgd.steps=80", "systems.mlp.pairs=2", "systems.mlp.dense=5"]
    said = sgdtheory("study", "instability", *words, *small, "executor.workers=1", "--quiet")
    assert said.code == 0, said
    assert "bowl" in said.out and "mlp" in said.out
