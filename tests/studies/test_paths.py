"""What is measured along paths and of what is set free on them, against landscapes that know the answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import cos, exp, sin, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.geometry import traces
from sgdtheory.geometry.traces import hessian_trace, noise_trace
from sgdtheory.landscapes.formula import Formula
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.autoneb import AutoNEB, Cycle
from sgdtheory.paths.frame import Frame
from sgdtheory.products import Products
from sgdtheory.protocol import value_and_grad, values
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured
from sgdtheory.studies import noise_along_path
from sgdtheory.studies.release_from_path import ReleaseFromPath
from sgdtheory.studies.releases import claims as releases
from sgdtheory.studies.shared.equal_loss import Quench, Rest, let_down, lower
from sgdtheory.studies.shared.found_paths import FoundPaths
from sgdtheory.studies.shared.passages import LOSSES, descent, passages
from tests.conftest import Said

Command = Callable[..., Said]
RATE, NOISE, TIME, DIRECTIONS = (
    0.05,
    0.2,
    20.0,
    20,
)  # η, C = NOISE·1, ηt, and the directions that a valley is narrow in
D = RATE / 2 * NOISE  # b = 1


@dataclass(frozen=True)
class Valley(Formula):
    """V = slope·x + ½·e^(a·x + c·z)·|y|²: a valley whose floor runs along x and z, y = 0, and narrows along them.

    Integrating y out leaves the free energy slope·x + D·(m/2)·(a·x + c·z), m directions y: noise of C = noise·1 drives a cloud
    with the constant velocity −D·(m/2)·(a, c), which is −T·∂½log det H.
    """

    slope: float = 0.0
    a: float = 0.0
    c: float = 0.0

    @property
    def native_dim(self) -> int:
        return 2 + DIRECTIONS

    def energy(self, x: Tensor) -> Tensor:
        return self.slope * x[:, 0] + 0.5 * torch.exp(self.a * x[:, 0] + self.c * x[:, 1]) * x[
            :, 2:
        ].square().sum(1)

    def native_minima(self) -> Tensor:
        ends = torch.zeros(2, self.native_dim, dtype=torch.float64)
        ends[:, 0] = torch.tensor([-1.0, 1.0])
        return ends

    def frame_at(self, *at: float) -> Frame:
        """On the straight path along the floor."""
        ends = self.native_minima()
        return Frame.of(
            ends[:1] + torch.linspace(0, 1, 9, dtype=torch.float64)[:, None] * (ends[1] - ends[0]),
            at,
        )


def drifted(a: float, x: float) -> float:
    """The exact mean move along x from x at y = 0 in the time TIME, at finite η, to first order in the drift itself.

    h⟨y²⟩ = D/(1 − ηh/2)·(1 − (1−ηh)^2k) after k steps, and a step moves x by −½·a·η·h|y|².
    """
    h, steps = exp(a * x), round(TIME / RATE)
    warm = sum(1 - (1 - RATE * h) ** (2 * k) for k in range(steps))
    return -0.5 * a * RATE * DIRECTIONS * D / (1 - RATE * h / 2) * warm


def set_free(landscape: Formula, frame: Frame, replicas: int, size: int | None = 1) -> Tensor:
    """[A, R, n]"""
    cloud = frame.start.repeat_interleave(replicas, 0)
    for state in SGD(round(TIME / RATE), size, RATE, Constant()).run(landscape, cloud, 3):
        cloud = state.cloud
    return cloud.view(len(frame.start), replicas, -1)


# the drift


def drifts_of(valley: Valley, replicas: int = 512) -> list[dict[str, Any]]:
    frame = valley.frame_at(0.25, 0.75)
    hot, cold = set_free(valley, frame, replicas), set_free(valley, frame, 1, None)
    return [frame.drift(hot, cold, at) for at in (0, 1)]


def off(row: dict[str, Any], column: str, expected: float) -> float:
    """In standard errors; one per cent of what is expected is allowed besides, for what `drifted` leaves out."""
    return float((abs(row[column] - expected) - 0.01 * abs(expected)) / row[f"{column}_stderr"])


@pytest.mark.parametrize("a", [0.3, 0.0])
def test_the_entropic_drift_is_exact_along_chord_and_tangent(a: float) -> None:
    for x, outward, row in zip(
        (-0.5, 0.5), (-1, 1), drifts_of(Valley(slope=0.02, a=a, noise=NOISE)), strict=True
    ):
        for column in ("chord", "tangent"):  # a straight path: both are in units of 2
            assert off(row, column, outward * drifted(a, x) / 2) < 3
        assert row["chord_descent"] == pytest.approx(outward * -0.02 * TIME / 2, rel=1e-6)
        assert a == 0 or abs(row["chord"]) > 10 * row["chord_stderr"]


def test_a_wrong_temperature_and_a_forgotten_descent_are_found_out() -> None:
    hotter = drifts_of(Valley(slope=0.02, a=0.3, noise=2 * NOISE))
    assert (
        min(
            off(row, "chord", side * drifted(0.3, side / 2) / 2)
            for side, row in zip((-1, 1), hotter, strict=True)
        )
        > 5
    )
    right = drifts_of(Valley(slope=0.02, a=0.3, noise=NOISE))
    raw = [{**row, "chord": row["chord"] + row["chord_descent"]} for row in right]
    assert (
        min(
            off(row, "chord", side * drifted(0.3, side / 2) / 2)
            for side, row in zip((-1, 1), raw, strict=True)
        )
        > 5
    )


def test_without_noise_nothing_is_left_beyond_gradient_descent() -> None:
    for row in drifts_of(Valley(slope=0.02, a=0.3, noise=1e-16), replicas=4):
        assert abs(row["chord"]) < 1e-7 and abs(row["tangent"]) < 1e-7 and row["chord_descent"] != 0


def test_coordinates_on_a_bent_path() -> None:
    """A quarter circle from (1, 0) to (0, 1): chord √2, at its middle the tangent is along it and growth across."""
    angle = torch.linspace(0, torch.pi / 2, 201, dtype=torch.float64)
    frame = Frame.of(torch.stack([angle.cos(), angle.sin()], 1), [0.25, 0.5])
    moved = (
        0.1 / sqrt(2) * torch.tensor([[-1.0, 1.0], [1.0, 1.0]], dtype=torch.float64).expand(2, 2, 2)
    )  # along, across
    torch.testing.assert_close(
        frame.along_chord(moved)[1],
        torch.tensor([0.1 / sqrt(2), 0], dtype=torch.float64),
        atol=1e-9,
        rtol=0,
    )
    torch.testing.assert_close(
        frame.along_tangent(moved)[1],
        torch.tensor([0.2 / torch.pi, 0], dtype=torch.float64),
        atol=1e-5,
        rtol=0,
    )
    assert frame.along_chord(moved)[0, 0] < 0  # from s = .25 the nearer end is the other one
    grown = 0.1 * frame.start[:, None]  # the same direction, 10 % longer
    torch.testing.assert_close(frame.by_growth(grown), frame.along_chord(grown))
    assert float(frame.by_growth(grown)[0, 0]) == pytest.approx(
        0.05 * (cos(torch.pi / 8) - sin(torch.pi / 8)), rel=1e-6
    )
    ends = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    torch.testing.assert_close(
        frame.way(ends.expand(2, 2, 2))[:, 0], torch.tensor([1.0, -1.0]).double()
    )


# flatness at equal loss


QUENCH = Quench(replicas=128, relax=150, most=900, further=900, sketch=64)


def let_go(valley: Valley) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The hot cloud [R, n], gradient descent's end [n], and what is known of both at equal loss."""
    frame = valley.frame_at(0.75)
    hot, cold = set_free(valley, frame, QUENCH.replicas), set_free(valley, frame, 1, None)[:, 0]
    ((row,),) = QUENCH.rests(valley, [hot], cold, 0, lambda done: None)
    assert row["at_rest"] == row["at_data_loss"] == QUENCH.replicas
    return hot[0], cold[0], row


def test_ground_that_is_flatter_because_it_is_lower_is_no_flatter_at_equal_loss() -> None:
    """On the floor Tr H is a function of V alone: 0 but for the bend of a step."""
    hot, cold, row = let_go(Valley(slope=0.002, a=0.3, noise=NOISE))
    raw = Measured.mean(DIRECTIONS * (torch.exp(0.3 * cold[0]) - torch.exp(0.3 * hot[:, 0])))
    # Tr H itself is lower
    assert raw.value is not None and raw.stderr is not None and raw.value > 5 * raw.stderr
    assert abs(row["lower"]) < 3 * row["lower_stderr"] + 1e-3  # of 20


def test_ground_that_is_flatter_at_equal_loss_is_found_to_be_just_that() -> None:
    """Gradient descent stays at z = 0, where Tr H = 20."""
    valley = Valley(slope=0.002, c=0.3, noise=NOISE)
    hot, cold, row = let_go(valley)
    level = values(valley, cold[None]).expand(len(hot))
    down, _ = let_down(valley, hot, QUENCH.relax, QUENCH.most, level, lambda done: None)
    exact = DIRECTIONS * (1 - torch.exp(0.3 * down[:, 1]).mean())
    assert row["lower"] == pytest.approx(float(exact), abs=1e-3)
    assert row["lower"] > 5 * row["lower_stderr"] > 0
    # a formula has no other loss
    assert row["lower_at_data_loss"] == pytest.approx(row["lower"])


def test_gradient_descent_is_followed_to_the_very_losses_that_are_asked() -> None:
    """V = ½θ²: where it is V, |θ| is √2V; two of the levels are those that steps end or begin at."""
    bowl = Quadratic((1.0,))
    start = torch.tensor([[2.0], [1.0]]).double()
    step = next(iter(descent(bowl, 1, "auto").run(bowl, start, 0))).cloud[0, 0]
    level = torch.tensor([2.0, 0.5 * float(step) ** 2, 1.0, 0.3, 0.25, 0.6]).double()
    at = torch.tensor([0, 0, 0, 0, 1, 1])
    found = passages(bowl, start, at, {"objective": level}, 400, lambda done: None)["objective"]
    expected = (2 * level[:5]).sqrt()
    # a step bends V by ½·Δθ² < 2, of which 2⁻¹⁹ are left: 4e-6, and |θ| by that over |θ| > 0.7
    assert float((found[:5, 0].abs() - expected).abs().max()) < 6e-6
    assert bool(found[5].isnan().all())  # gradient descent begins below it, and never is above


def test_of_places_with_one_data_loss_the_one_nearest_in_objective_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A data loss sin 3y on the way from y = 2 to 0 under V = ½y²: 0.5 at y = (π/6, 5π/6)/3 only."""
    monkeypatch.setitem(LOSSES, "data_loss", lambda _, cloud: (3 * cloud[:, 0]).sin().double())
    high, low = 5 * torch.pi / 18, torch.pi / 18
    levels = {
        "objective": torch.tensor([0.5 * high**2, 0.5 * low**2, 0.9 * 0.5 * high**2]).double(),
        "data_loss": torch.full((3,), 0.5, dtype=torch.float64),
    }
    start, at = torch.tensor([[2.0]]).double(), torch.zeros(3, dtype=torch.long)
    found = passages(Quadratic((1.0,)), start, at, levels, 400, lambda done: None)
    expected = torch.tensor([high, low, high]).double()
    torch.testing.assert_close(found["data_loss"][:, 0].abs(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("moved", [0.0, 1e-8])
def test_a_cloud_that_has_not_moved_is_no_flatter(small: Network, moved: float) -> None:
    """The null control, in the dtype of studies, where gradient descent's Tr H rises and falls:
    by no more than its error, which is mostly rounding's."""
    start = small.init(1, stream(0, "init"))
    source = stream(0, "moved")
    hot = start[:, None] + moved * torch.randn(1, 16, start.shape[1], generator=source)
    quench = Quench(replicas=16, sketch=16, probes=16, learning_rate=0.3)
    ((row,),) = quench.rests(small, [hot], start, 0, lambda done: None)
    assert row["at_rest"] == 16 and abs(row["trace"]) > 1
    for kind in ("lower", "lower_at_data_loss"):
        assert abs(row[kind]) < 3 * row[f"{kind}_stderr"] < 1e-3 * row["trace"]
    assert row["gradient"] == pytest.approx(row["descent_gradient"], rel=1e-3)


def test_a_network_is_compared_where_gradient_descent_has_its_objective(small: Network) -> None:
    """Objective and Tr H of one point with those of every step of another descent written out by
    hand: the step that passes the objective holds Tr H between its ends."""
    start = small.init(1, stream(0, "init")).double()
    hot = start[:, None] + 0.05 * torch.randn(1, 2, start.shape[1], generator=stream(1, "x"))
    quench = Quench(replicas=2, relax=30, sketch=small.dim, learning_rate=0.3)
    ((row,),) = quench.rests(small, [hot], start, 0, lambda done: None)
    point, velocity, losses, heights = start.clone(), torch.zeros_like(start), [], []
    for _ in range(80):
        value, gradient = value_and_grad(small, point)
        losses.append(float(value))
        heights.append(hessian_trace(small, point[0], stream(0), small.dim).value or 0.0)
        velocity = 0.9 * velocity + gradient
        point = point - 0.3 * velocity
    first = next(k for k in range(80) if losses[k] <= row["objective"])
    assert losses[0] > 2 * row["objective"]  # far down already, where a straight line would miss
    low, high = sorted(heights[first - 1 : first + 1])
    wide = 0.5 * (high - low)  # the two replicas' objectives are not their mean
    assert low - wide <= row["descent_trace"] <= high + wide
    assert row["descent_objective"] == pytest.approx(row["objective"], rel=1e-3)


def test_letting_down_stops_at_the_level_and_says_where_it_did_not() -> None:
    bowl = Quadratic((1.0, 0.3))
    cloud = torch.tensor([[3.0, 2.0], [0.2, 0.1], [3.0, 2.0]]).double()
    level = torch.tensor([0.1, 0.1, -1.0]).double()
    rest, reached = let_down(bowl, cloud, 5, 200, level, lambda done: None)
    assert reached.tolist() == [True, True, False]
    assert (values(bowl, rest[:2]) <= 0.1).all() and not torch.equal(
        rest[1], cloud[1]
    )  # below the level, and relaxed all the same


def rest(*traces: float, rounding: float = 0.0) -> Rest:
    numbers = np.array(traces)
    ones = np.ones(len(traces))
    return Rest(ones, ones, numbers, ones, ones, rounding)


def test_nothing_is_said_where_gradient_descent_was_never_at_that_loss() -> None:
    nan = float("nan")
    found = lower(rest(6.0, 8.0), rest(7.0, 10.0), "objective")
    assert found.value == pytest.approx(1.5) and found.stderr == pytest.approx(0.5)
    found = lower(rest(6.0, 8.0, rounding=0.1), rest(7.0, 10.0), "objective")
    assert found.stderr == pytest.approx(sqrt(0.5**2 + 0.8**2))
    # one of four is left out; three of four, or all but one, are too many
    assert lower(rest(1, 2, 3, 4), rest(2, 4, 6, nan), "data_loss").value == pytest.approx(2)
    for cold in (rest(2, nan, nan, nan), rest(nan, nan, nan, nan)):
        found = lower(rest(1, 2, 3, 4), cold, "data_loss")
        assert found.value is None and "raise quench.further" in found.why
    assert "raise quench.most" in lower(rest(1.0), rest(1.0), "objective").why


# traces


@pytest.fixture(scope="module")
def small() -> Network:
    whole = digits()
    few = replace(
        whole, train_inputs=whole.train_inputs[:100], train_targets=whole.train_targets[:100]
    )
    return Network(partial(MLP, hidden=(4,), activation="tanh"), few, 1e-3)


def test_hutchpp_agrees_with_the_dense_trace_and_a_wrong_product_does_not(
    small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    theta = small.init(1, stream(0, "init"))[0].double()
    products = Products(small, theta)
    exact = float(products(torch.eye(small.dim).double()).diagonal().sum())
    assert hessian_trace(small, theta, stream(0), sketch=small.dim).value == pytest.approx(
        exact, rel=1e-10
    )
    found = [hessian_trace(small, theta, stream(0, k), 8, 16) for k in range(12)]
    scores = np.array(
        [(x.value - exact) / x.stderr for x in found if x.value is not None and x.stderr]
    )
    assert (
        abs(scores.mean()) < 3 / sqrt(12) and 0.5 < scores.std() < 1.7
    )  # 12 values of Student's t, 15 degrees of freedom
    monkeypatch.setattr(traces, "Products", lambda *given: lambda rows: 1.2 * products(rows))
    wrong = [hessian_trace(small, theta, stream(0, k), 8, 16) for k in range(12)]
    scores = np.array(
        [(x.value - exact) / x.stderr for x in wrong if x.value is not None and x.stderr]
    )
    assert scores.mean() > 3 / sqrt(12)


def test_tr_c_is_that_of_every_example(small: Network) -> None:
    theta = small.init(1, stream(0, "init"))[0].double()
    each = torch.cat(
        [
            value_and_grad(small, theta[None], small.batch(torch.tensor([[i]])))[1]
            for i in range(small.count)
        ]
    )
    twin = float((each - each.mean(0)).square().sum(1).mean())
    found = noise_trace(small, theta, 16, stream(0))
    assert found.value == pytest.approx(twin, rel=1e-9) and found.stderr is None
    assert noise_trace(
        Quadratic((1.0, 2.0), noise=0.7), torch.zeros(2), 16, stream(0)
    ).value == pytest.approx(1.4)


# verdicts


def along(noise: float, trace: float, loss: float) -> list[dict[str, Any]]:
    middle, end = (
        {"noise_trace": noise, "trace": trace, "data_loss": loss, "objective": 1.0},
        dict.fromkeys(("noise_trace", "trace", "data_loss", "objective"), 1.0),
    )
    return [{"t": t, **(middle if 0.3 < t < 0.7 else end)} for t in (0.0, 0.25, 0.5, 0.75, 1.0)]


@pytest.mark.parametrize(
    ("noise", "loss", "pairs", "holds"),
    [
        (2.0, 1.1, 3, [True, True, True, True]),
        (1.25, 1.0, 3, [False, True, True, True]),
        (2.0, 1.5, 3, [False, True, True, False]),  # no more than the square of the loss
        (2.0, 2.1, 3, [False, True, False, False]),
        (2.0, 1.1, 2, [None, True, True, True]),
        (2.0, 1.1, 1, [None, None, None, None]),  # one path has no error
        (0.9, 1.1, 1, [None, None, None, None]),
    ],
)
def test_the_claims_of_the_middle_can_fail(
    noise: float, loss: float, pairs: int, holds: list[bool | None]
) -> None:
    points = [along(noise + 0.01 * k, 1.2 + 0.01 * k, loss + 0.001 * k) for k in range(pairs)]
    rows = [noise_along_path.pair_row({"pair": k}, points[k]) for k in range(pairs)]
    claims = noise_along_path.claims_of(rows, pairs)
    assert [claim.holds for claim in claims] == holds
    assert all(claim.measured.why for claim in claims if claim.holds is None)
    assert not any(claim.measured.why for claim in claims if claim.holds is not None)


def test_a_rise_within_its_error_neither_holds_nor_fails() -> None:
    points = [along(1.4 + 0.01 * k, 1.0 + 0.1 * (k - 1), 1.05) for k in range(3)]
    for row in points[1]:
        row["noise_trace_stderr"] = 0.2
    rows = [noise_along_path.pair_row({"pair": k}, points[k]) for k in range(3)]
    noise, curvature, _, beyond = noise_along_path.claims_of(rows, 3)
    assert noise.holds is None and "two standard errors" in noise.measured.why
    assert curvature.holds is None and "raise pairs" in curvature.measured.why
    assert beyond.holds is True


def low(pair: int, excess: float = 0.001) -> dict[str, Any]:
    return {"pair": pair, "excess": excess, "excess_stderr": 1e-4, "straight": 0.5}


def test_paths_that_are_not_low_are_told_and_nothing_is_judged(small: Network) -> None:
    """By the test of `connect`: 0.5 % of the straight line's barrier, or two standard errors."""
    study = noise_along_path.NoiseAlongPath(
        small, SGD(1, 4, 0.1, Constant()), AutoNEB((Cycle(1),), batch_size=4), pairs=3
    )
    points = [
        {**row, "pair": pair, "data_loss": 0.01 * row["data_loss"]}
        for pair in range(3)
        for row in along(2.0, 1.2, 1.1)
    ]
    for excess, holds in ((0.001, True), (0.0026, None), (0.1, None), (float("inf"), None)):
        paths = [low(0), low(1), low(2, excess)]
        headline = study.judge({"points": points, "paths": paths}).claims[0]
        assert headline.holds is holds
        assert ("path 2 is not low" in headline.measured.why) is (holds is None)
    uncertain = [low(0), low(1), {**low(2, 0.1), "excess_stderr": 0.06}]
    assert study.judge({"points": points, "paths": uncertain}).claims[0].holds is True


def test_ends_that_are_no_minima_are_told_and_nothing_is_judged(small: Network) -> None:
    """By the one test of what is trained, ½ ln 10 nats on ten classes, on one path of three."""
    sgd = SGD(1, 4, 0.1, Constant())
    autoneb = AutoNEB((Cycle(1),), batch_size=4)
    study = noise_along_path.NoiseAlongPath(small, sgd, autoneb, pairs=3)
    good, poor = 0.01, 2.2
    verdicts = {}
    for end in (good, poor):
        points: list[dict[str, Any]] = []
        for pair in range(3):
            for row in along(2.0, 1.2, 1.1):
                points.append({**row, "pair": pair, "data_loss": row["data_loss"] * good})
        points[-1]["data_loss"] = end
        paths = [low(pair) for pair in range(3)]
        verdicts[end] = study.judge({"points": points, "paths": paths}).claims
    assert verdicts[good][0].holds and "minimum" not in verdicts[good][0].statement
    said = verdicts[poor]
    assert [claim.holds for claim in said] == [None] * 4
    assert said[0].statement.startswith(
        "cannot be said: an end of path 2 is no minimum, it is not trained: training loss 2.20, "
    )
    assert all("is no minimum" in claim.as_dict()["why"] for claim in said)


def released(
    lower: float, chord: float, tangent: float, growth: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rests, moves = [], []
    names = (
        "trace",
        "objective",
        "data_loss",
        "norm",
        "gradient",
        "descent_trace",
        "descent_objective",
        "descent_data_loss",
        "descent_norm",
        "descent_gradient",
    )
    others = ("way", "distance", "norm", "chord_descent", "tangent_descent", "distance_descent")
    for pair, wobble in enumerate((0.95, 1.0, 1.05)):
        for size in (16, 4):
            facts = {
                "pair": pair,
                "at": 0.3,
                "batch_size": size,
                "temperature": 0.1,
                "descent_trace_stderr": 0.0,
            }
            found = {
                "lower": lower * wobble,
                "lower_at_data_loss": None,
                "lower_at_data_loss_why": "elsewhere",
            }
            rests.append({**facts, **dict.fromkeys(names, 1.0), **found})
            moved = {
                "chord": chord * wobble,
                "tangent": tangent * wobble,
                "growth": growth * wobble,
                "beyond_growth": (chord - growth) * wobble,
            }
            moves.append({**facts, "time": 1.0, **dict.fromkeys(others, 0.1), **moved})
    return rests, moves


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ((1.0, 0.1, 0.01, 0.05), [True, None, True, True, True, False]),
        ((-1.0, 0.1, -0.01, 0.2), [False, None, True, False, False, False]),
        ((0.0, -0.1, 0.0, 0.0), [False, None, False, False, False, False]),
    ],
)
def test_the_claims_of_a_release_can_fail(
    given: tuple[float, float, float, float], holds: list[bool | None]
) -> None:
    assert [claim.holds for claim in releases.claims_of(*released(*given))] == holds
    assert releases.claims_of([], [])[0].holds is None


def test_a_release_refutes_nothing_by_the_noise_of_few_replicas() -> None:
    """Of one path the errors are those of its replicas: the same numbers beside small errors and
    beside ones that hide them."""
    columns = ("lower", "chord", "tangent", "beyond_growth", "way")
    for sign, error, holds in ((1, 0.01, True), (1, 0.5, None), (-1, 0.01, False), (-1, 0.5, None)):
        rests, moves = released(sign * 1.0, sign * 1.0, sign * 1.0, 0.0)
        alone = [[row for row in rows if row["pair"] == 0] for rows in (rests, moves)]
        for row in (*alone[0], *alone[1]):
            row |= {f"{name}_stderr": error for name in columns}
            row["way"] = 1.0 + 0.2 * sign
        claims = releases.claims_of(*alone)
        del claims[1]  # has no number
        assert [claim.holds for claim in claims] == [holds] * 5
        assert all(bool(claim.measured.why) is (holds is None) for claim in claims)


@pytest.mark.parametrize(("wobble", "holds"), [(0.1, None), (0.02, True)])
def test_a_release_of_two_pairs_is_judged_by_their_one_difference(
    wobble: float, holds: bool | None
) -> None:
    """Of ν = 1 two errors are 14: 1 ± .1 is beyond five standard errors of 0, and may be chance."""
    tables = []
    for rows in released(1.0, 1.0, 1.0, 0.0):
        two = [row for row in rows if row["pair"] < 2]
        names = ("lower", "chord", "tangent", "beyond_growth")
        for row in two:
            row |= dict.fromkeys(names, 1.0 + (wobble if row["pair"] else -wobble))
        tables.append(two)
    claims = releases.claims_of(*tables)
    del claims[1]  # has no number
    assert [claim.holds for claim in claims[:4]] == [holds] * 4


def test_a_release_between_points_that_are_no_minima_says_nothing(small: Network) -> None:
    sgd, autoneb = SGD(1, 4, 0.1, Constant()), AutoNEB((Cycle(1),), batch_size=4)
    study = ReleaseFromPath(small, sgd, autoneb, pairs=3)
    rests, moves = released(1.0, 0.1, 0.01, 0.05)
    for loss, excess, why in (
        (0.01, 0.001, ""),
        (2.31, 0.001, "an end of path 2 is no minimum"),
        (0.01, 0.1, "path 2 is not low"),
    ):
        losses = [0.01] * 5 + [loss]
        ends = [{"pair": k // 2, "end": k % 2, "data_loss": x} for k, x in enumerate(losses)]
        paths = [low(0), low(1), low(2, excess)]
        tables = {"rests": rests, "drifts": moves, "ends": ends, "paths": paths}
        claims = study.judge(tables).claims
        assert claims[0].holds is (None if why else True)
        assert claims[0].measured.why.startswith(why) and bool(claims[0].measured.why) is bool(why)
        assert not why or {claim.holds for claim in claims} == {None}


def test_one_cloud_without_a_number_leaves_the_claim_open() -> None:
    rests, moves = released(1.0, 0.1, 0.01, 0.05)
    for row in rests:
        if row["batch_size"] == 4:
            row |= {"lower": None, "lower_why": "gone"}
    claim = releases.claims_of(rests, moves)[0]
    assert claim.holds is None and claim.measured.why == "gone"


def test_clouds_that_still_fall_are_not_at_rest() -> None:
    rests, moves = released(1.0, 0.1, 0.01, 0.05)
    rests = [{**row, "gradient": 1.6} for row in rests]
    claim = releases.claims_of(rests, moves)[0]
    assert claim.holds is None and "is not at rest: |∇L| is 1.6, 1 of" in claim.measured.why


# from end to end

NETWORK = [
    "landscape.weight_decay=0.001",
    "pairs=1",
    "trained=2",
    "model.hidden=[4]",
    "sgd.steps=40",
    "autoneb.steps=5",
    "autoneb.last_steps=5",
]
FORMULA = ["pairs=1", "landscape=double_well", "landscape.ambient=5", "autoneb.steps=5"]
RELEASE = [
    "time=2", "looks=2", "replicas=3", "quench.replicas=2", "quench.relax=3", "quench.most=20", "quench.further=30",
    "quench.sketch=8", "quench.probes=4",
]  # fmt: skip


def results(command: Command, *words: str) -> dict[str, Any]:
    said = command("study", *words, "executor.workers=1", "threads=1", "--quiet")
    assert said.code == 0, said.err
    path = Path(said.out.splitlines()[-1].removeprefix("report: ")).parent
    found: dict[str, Any] = json.loads((path / "results.json").read_text(encoding="utf-8"))
    assert all((path / "figures" / f"{plot['name']}.svg").exists() for plot in found["plots"])
    return found


def both(
    command: Command, monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two studies one after the other; the second finds the paths of the first."""
    noise = results(command, "noise_along_path", *words, "points=5")
    monkeypatch.setattr(FoundPaths, "find", lambda *_: pytest.fail("a path was found twice"))
    release = results(command, "release_from_path", *words, *RELEASE)
    assert [row["t"] for row in noise["tables"]["points"]] == [0, 0.25, 0.5, 0.75, 1]
    assert [claim["name"] for claim in noise["claims"]] == [
        "noise",
        "curvature",
        "loss",
        "beyond_loss",
    ]
    assert len(release["tables"]["rests"]) == 4 and len(release["tables"]["drift"]) == 4
    assert [claim["name"] for claim in release["claims"]][:3] == [
        "curvature",
        "at_equal_data_loss",
        "chord",
    ]
    return noise, release


def test_two_studies_share_their_paths(sgdtheory: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, release = both(sgdtheory, monkeypatch, *FORMULA)
    assert all(
        row["noise_trace"] == pytest.approx(5, rel=1e-5) for row in noise["tables"]["points"]
    )
    assert noise["tables"]["points"][2]["data_loss"] == pytest.approx(
        0.25, abs=1e-3
    )  # the barrier, at the middle
    assert all(
        row["chord_descent"] > 0 for row in release["tables"]["drifts"]
    )  # downhill is outwards


@pytest.mark.slow
def test_the_two_studies_of_a_network(sgdtheory: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, _ = both(sgdtheory, monkeypatch, *NETWORK)
    assert all(
        row["noise_trace"] > 0 and row["trace_stderr"] > 0 for row in noise["tables"]["points"]
    )


def test_the_time_that_is_told_is_the_time_that_was_run(sgdtheory: Command) -> None:
    """0.7 is seven steps of 0.1, of which three looks have two each."""
    words = [word for word in RELEASE if not word.startswith(("time", "looks"))]
    found = results(sgdtheory, "release_from_path", *FORMULA, *words, "time=0.7", "looks=3")
    times = sorted({row["time"] for row in found["tables"]["drift"]})
    assert (
        times == pytest.approx([0.2, 0.4, 0.6])
        and "in ηt = 0.6 " in found["claims"][-1]["statement"]
    )
    said = sgdtheory("study", "release_from_path", *FORMULA, *words, "time=1", "looks=20")
    assert said.code == 2 and "no step of learning_rate=0.1 fits between two looks" in said.err


def test_a_release_that_was_killed_goes_on_to_the_same_bits(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = results(sgdtheory, "release_from_path", *FORMULA, *RELEASE, "run.root=whole")
    down, calls = let_down, []

    def broken(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return down(*given)

    monkeypatch.setattr("sgdtheory.studies.shared.equal_loss.let_down", broken)
    words = [
        "study",
        "release_from_path",
        *FORMULA,
        *RELEASE,
        "run.root=cut",
        "executor.workers=1",
        "threads=1",
    ]
    assert sgdtheory(*words).code == 130
    found = results(sgdtheory, "release_from_path", *FORMULA, *RELEASE, "run.root=cut")
    assert found["tables"] == whole["tables"] and len(calls) == 4
