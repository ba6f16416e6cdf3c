"""The measured learning rate: exact on quadratics, covariant on networks, lowered where training
rises."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.digits import digits
from sgdtheory.errors import RunError
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.network_objective import MiniBatch
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.learning_rate import (
    LOWER,
    NoCurvature,
    has_risen,
    look_steps,
    measured_rate,
    steepness,
)
from sgdtheory.optim.schedule import Constant, Cosine
from sgdtheory.optim.sgd import SGD, Diverged, Uncoupled
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.paths.straight_line import ANY_RATE, rate_along
from sgdtheory.protocol import Batch, Cloud, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs.interrupt import Interrupted
from sgdtheory.runs.unit import UnitFolder
from tests.test_stage import a_folder, interrupt_at

H = torch.tensor([0.1, 0.5, 1.0, 2.0, 9.0], dtype=torch.float64)
BOWL = Quadratic(curvatures=tuple(H.tolist()))
TRAIN = SGD(400, 128, "auto", Cosine(), 0.9)


def a_network(**more: Any) -> Network:
    return Network(partial(MLP, hidden=(8,)), digits(), **more)


# The measure


def test_on_a_quadratic_it_is_power_iteration_to_rounding() -> None:
    """The two gradients of a product are |θ|/1000 apart, so rounding of 2e-16 becomes some 1e-13 in
    a product."""
    theta = torch.randn(3, 5, generator=stream(0, "start"), dtype=torch.float64)
    exact = (H**4 * theta).norm(dim=1) / (H**3 * theta).norm(dim=1)  # the gradient is Hθ
    assert ((steepness(BOWL, theta) - exact).abs() / exact).max() < 1e-10


def test_twice_its_step_along_a_mode_is_where_descent_begins_to_rise() -> None:
    """The critical step 2/h of a loss along its gradient, on each mode: L(θ − ηg) = L(θ)."""
    theta = 3 * torch.eye(5, dtype=torch.float64)
    losses, gradients = value_and_grad(BOWL, theta)
    h = steepness(BOWL, theta)
    assert ((h - H).abs() / H).max() < 1e-10
    at, below, above = (
        BOWL.losses(theta - f * 2 / h[:, None] * gradients) for f in (1.0, 0.99, 1.01)
    )
    assert (at / losses - 1).abs().max() < 1e-9
    assert (below < losses).all() and (above > losses).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_rate_is_half_the_limit_of_momentum(momentum: float) -> None:
    theta = torch.tensor([[0.0, 0.0, 0.0, 0.0, 2.0]], dtype=torch.float64)
    rate = measured_rate(BOWL, theta, None, momentum)
    assert rate == pytest.approx((1 + momentum) / 9.0, rel=1e-10)

    def end(eta: float) -> float:
        *_, state = SGD(400, None, eta, Constant(), momentum).run(BOWL, theta, 0)
        return float(state.cloud.norm())

    assert end(rate) < 1e-6 and end(1.98 * rate) < 2.0 and end(2.02 * rate) > 2.0


def test_the_steepest_of_several_points_decides() -> None:
    theta = torch.eye(5, dtype=torch.float64)
    assert measured_rate(BOWL, theta[:3], None, 0.0) == pytest.approx(1 / 1.0, rel=1e-9)
    assert measured_rate(BOWL, theta, None, 0.0) == pytest.approx(1 / 9.0, rel=1e-9)


@dataclass(frozen=True)
class Rescaled:
    """The same function of φ = θ/s."""

    inner: Any
    scale: float

    @property
    def dim(self) -> int:
        dim: int = self.inner.dim
        return dim

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        losses: Tensor = self.inner.losses(self.scale * cloud, batch)
        return losses


@pytest.mark.parametrize("scale", [0.125, 8.0])
def test_in_other_units_of_the_weights_it_is_the_same_step(scale: float) -> None:
    """θ = sφ: curvatures are s² times as large, and the rate 1/s² of what it was; s a power of 2,
    so exactly."""
    landscape = a_network()
    theta = landscape.init(2, stream(0, "init")).double()
    batch = landscape.batch(torch.arange(128)[None])
    other: Any = Rescaled(landscape, scale)
    assert measured_rate(other, theta / scale, batch, 0.9) == pytest.approx(
        measured_rate(landscape, theta, batch, 0.9) / scale**2, rel=1e-9
    )


def test_it_is_a_pure_function_of_seed_and_start() -> None:
    landscape = a_network()
    start = landscape.init(2, stream(0, "init"))
    torch.manual_seed(1)
    found = TRAIN.resolve_learning_rate(landscape, start, 3).learning_rate
    torch.manual_seed(2)
    assert TRAIN.resolve_learning_rate(landscape, start.clone(), 3).learning_rate == found
    assert TRAIN.resolve_learning_rate(landscape, start, 4).learning_rate != found
    assert TRAIN.resolve_learning_rate(landscape, 1.1 * start, 3).learning_rate != found
    assert (
        TRAIN.resolve_learning_rate(a_network(learning_rate=0.123), start, 3).learning_rate == 0.123
    )
    assert (
        replace(TRAIN, learning_rate=0.2).resolve_learning_rate(landscape, start, 3).learning_rate
        == 0.2
    )


def test_it_costs_a_hundredth_of_the_default_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 steps: four gradients. Counted in images, for a mini-batch might be split."""
    seen = [0]
    gradients, losses = Network.losses_and_gradients, Network.losses

    def counted(self: Network, cloud: Tensor, batch: MiniBatch, into: Tensor | None) -> Any:
        seen[0] += batch.inputs.shape[1]
        return gradients(self, cloud, batch, into)

    def without_gradient(self: Network, cloud: Tensor, batch: MiniBatch) -> Tensor:
        seen[0] += 10**9
        return losses(self, cloud, batch)

    landscape = a_network()
    start = landscape.init(1, stream(0, "init"))
    monkeypatch.setattr(Network, "losses", without_gradient)
    monkeypatch.setattr(Network, "losses_and_gradients", counted)
    TRAIN.resolve_learning_rate(landscape, start, 0)
    assert 0 < seen[0] <= 0.01 * 400 * 128


class Steep(nn.Module):
    """A linear model whose inputs are multiplied."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.layer = factor, nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(self.factor * x.flatten(1))
        return logits


def test_a_steeper_network_gets_a_lower_rate() -> None:
    rates = []
    for factor in (1.0, 10.0):
        landscape = Network(
            lambda shape, classes, k=factor: Steep(k), digits(), loss="mse", weight_decay=0.0
        )
        start = landscape.init(1, stream(0, "init"))
        rates.append(float(TRAIN.resolve_learning_rate(landscape, start, 0).learning_rate))
    assert (
        80 < rates[0] / rates[1] < 120
    )  # the Hessian of the weights is 100 times as large, that of the biases is not


def test_where_nothing_is_steep_it_says_so() -> None:
    flat = torch.zeros(1, 5, dtype=torch.float64)
    with pytest.raises(RunError, match=r"landscape\.learning_rate"):
        measured_rate(BOWL, flat, None, 0.9)


@dataclass(frozen=True)
class Half:
    """Examples of loss 0 and two that have x²: a mini-batch of the former has no curvature."""

    scale: float = 1.0
    count: int = 4000
    dim: int = 1

    def learning_rate(self) -> None:
        return None

    def batch(self, indices: Tensor) -> Tensor:
        return indices

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        share = 1 / 2000 if batch is None else (batch < 2).double().mean(-1)
        return self.scale * share * cloud[:, 0].square()


def test_a_line_that_a_mini_batch_is_flat_on_has_the_rate_of_the_whole() -> None:
    """h = 2/2000 of the whole objective; on a line without any gradient every rate is as good."""
    sgd = SGD(10, 4, "auto", Constant(), 0.9)
    ends = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    with pytest.raises(NoCurvature):
        sgd.resolve_learning_rate(Half(), ends, 0)
    assert rate_along(Half(), sgd, ends, 0) == pytest.approx(1.9 * 1000)
    assert rate_along(Half(scale=0.0), sgd, ends, 0) == ANY_RATE


# Training that rises


@dataclass(frozen=True)
class Cliff:
    """½·0.01·x² where training begins, at x = −3, and ½x² beyond zero: a rate that suits the start
    is fifty times too high."""

    count: int = 16
    dim: int = 1

    def learning_rate(self) -> None:
        return None

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        return torch.full((points, 1), -3.0)

    def batch(self, indices: Tensor) -> Tensor:
        return indices

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        x = cloud[:, 0]
        return 0.5 * torch.where(x < 0, 0.01, 1.0) * x.square()


CLIFF = SGD(200, 4, "auto", Cosine(), 0.9)


def test_a_training_that_rises_begins_anew_at_lower_rates(tmp_path: Path) -> None:
    landscape = Cliff()
    folder = a_folder(tmp_path)
    cloud, sgd = run_measured(folder, "train", CLIFF, landscape, landscape.init(1, stream(0)), 0)
    first = CLIFF.resolve_learning_rate(landscape, landscape.init(1, stream(0)), 0).learning_rate
    assert first == pytest.approx(190, rel=1e-3)
    rows = folder.rows("metrics.jsonl")
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    assert (
        stages == ["train", *(f"train-lower-{k}" for k in range(1, len(stages)))]
        and len(stages) > 2
    )
    assert sgd.learning_rate == pytest.approx(190 * LOWER ** (len(stages) - 1), rel=1e-3)
    losses = {row["step"]: row["loss"][0] for row in rows if row["stage"] == "train"}
    assert losses[1] == pytest.approx(0.045) and max(losses) <= 20  # noticed at the first look
    assert abs(float(cloud)) < 1e-2


def test_what_rose_at_once_is_seen_through_rows_of_many_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is the mean of steps in which the loss was high already: a rise is measured from the
    first step's."""
    monkeypatch.setattr("sgdtheory.optim.training_loop.RECORDS", 20)
    landscape = Cliff()
    cloud, sgd = run_measured(
        a_folder(tmp_path), "train", CLIFF, landscape, landscape.init(1, stream(0)), 0
    )
    assert abs(float(cloud)) < 1e-2 and float(sgd.learning_rate) < 4


def test_begun_anew_and_interrupted_it_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape = Cliff()
    start = landscape.init(1, stream(0))
    whole, sgd = run_measured(a_folder(tmp_path / "whole"), "train", CLIFF, landscape, start, 0)
    interrupt_at(monkeypatch, 7, 7 + 15, 7 + 15 + 30, 7 + 15 + 30 + 40)
    for _ in range(4):
        with pytest.raises(Interrupted):
            run_measured(a_folder(tmp_path / "parts"), "train", CLIFF, landscape, start, 0)
    parts, again = run_measured(a_folder(tmp_path / "parts"), "train", CLIFF, landscape, start, 0)
    assert torch.equal(parts, whole) and again == sgd
    rows = [
        UnitFolder(tmp_path / name, a_folder(tmp_path / name).unit).rows("metrics.jsonl")
        for name in ("whole", "parts")
    ]
    assert rows[0] == rows[1]


def test_a_number_that_was_given_is_kept_to(tmp_path: Path) -> None:
    landscape = Cliff()
    start = landscape.init(1, stream(0))
    sgd = replace(CLIFF, learning_rate=3.0)
    _, taken = run_measured(a_folder(tmp_path), "train", sgd, landscape, start, 0)
    assert taken.learning_rate == 3.0
    with pytest.raises(Diverged, match=r"lower sgd\.learning_rate"):
        run_measured(
            a_folder(tmp_path / "wild"),
            "train",
            replace(sgd, learning_rate=1e6),
            landscape,
            start,
            0,
        )


def test_when_it_looks_and_what_it_calls_risen() -> None:
    assert look_steps(400) == [(20, 1.0), (80, 0.95)]
    assert look_steps(4000) == [(200, 1.0), (800, 0.95)]
    assert look_steps(100) == [(20, 1.0)] and look_steps(30) == []  # too few to tell
    assert has_risen(2.31, [2.4, 2.35], 1.0) and not has_risen(2.31, [2.29, 2.31], 1.0)
    assert has_risen(2.36, [2.303], 0.95)  # ln 10: it never left
    assert has_risen(2.31, [float("nan")], 1.0) and has_risen(2.31, [float("inf")], 1.0)


def test_a_ceiling_ends_a_descent_at_the_step_that_broke_it() -> None:
    start = torch.ones(2, 5, dtype=torch.float64)

    @dataclass(frozen=True)
    class Below(Uncoupled):
        ceiling: float = 1e3

    seen = []
    with pytest.raises(Diverged) as given_up:
        for state in SGD(100, None, 1.0, Constant()).run(BOWL, start, 0, Below()):
            seen.append(state.step)
    assert given_up.value.steps == len(seen) == seen[-1] < 10
