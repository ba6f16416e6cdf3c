"""The one loop, against closed forms and against torch's own optimiser."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor, nn

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Constant, Cosine
from sgdtheory.optim.sgd import SGD, SGDState, Uncoupled
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream

BOWL = Quadratic(curvatures=(0.1, 0.5, 1.0, 2.0, 9.0))
H = torch.tensor([0.1, 0.5, 1.0, 2.0, 9.0], dtype=torch.float64)


def last(
    optimiser: SGD, landscape: object, start: Cloud | SGDState, seed: int = 0, **more: object
) -> SGDState:
    *_, state = optimiser.run(landscape, start, seed, **more)  # type: ignore[arg-type]
    return state


def test_descent_on_a_quadratic_is_a_power() -> None:
    start = torch.randn(4, 5, generator=stream(0, "start"), dtype=torch.float64)
    rate, steps = 0.1, 60
    state = last(SGD(steps, None, rate, Constant()), BOWL, start)
    exact = start * (1 - rate * H) ** steps
    assert (state.cloud - exact).abs().max() < 1e-12


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_a_step_is_torchs_step(momentum: float, nesterov: bool) -> None:
    start = torch.randn(1, 5, generator=stream(0, "start"), dtype=torch.float64)
    parameter = nn.Parameter(start[0].clone())
    twin = torch.optim.SGD([parameter], lr=0.05, momentum=momentum, nesterov=nesterov)
    schedule = Cosine()
    for step in range(30):
        twin.param_groups[0]["lr"] = 0.05 * schedule(step, 30)
        twin.zero_grad()
        BOWL.losses(parameter[None]).sum().backward()
        twin.step()
    state = last(SGD(30, None, 0.05, schedule, momentum, nesterov), BOWL, start)
    assert (state.cloud[0] - parameter.detach()).abs().max() < 1e-14


def lyapunov_variance(h: float, c: float, rate: float, momentum: float, batch: int) -> float:
    """Stationary variance of one mode from the augmented system of (θ, v): the twin of the closed
    form."""
    step = np.array([[1 - rate * h, -rate * momentum], [h, momentum]])
    noise = np.array([[-rate], [1.0]])
    return float(solve_discrete_lyapunov(step, noise @ noise.T * c / batch)[0, 0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_stationary_variance_is_lyapunovs(momentum: float) -> None:
    """Replicas are independent, so the error of the variance is √(2/P_eff), P_eff from replicas and
    decorrelated times."""
    landscape = Quadratic(curvatures=(0.5, 1.0, 2.0), noise=3.0)
    rate, batch, points = 0.2, 4, 2000
    optimiser = SGD(400, batch, rate, Constant(), momentum)
    start = torch.zeros(points, 3, dtype=torch.float64)
    sampled = [
        state.cloud.clone()
        for state in optimiser.run(landscape, start, 1)
        if state.step > 200 and state.step % 40 == 0
    ]
    variance = torch.stack(sampled).square().mean((0, 1))
    for k, h in enumerate((0.5, 1.0, 2.0)):
        exact = lyapunov_variance(h, 3.0, rate, momentum, batch)
        error = exact * (2 / points / len(sampled)) ** 0.5
        assert abs(float(variance[k]) - exact) < 4 * error
        assert (
            abs(float(variance[k]) - 2 * exact) > 4 * error
        )  # a factor of 2 in the noise would be seen


class Pushed(Uncoupled):
    """A constant force to the right on all points."""

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        return gradients - 1.0


def test_a_coupling_bends_the_gradients() -> None:
    rate, steps = 0.1, 50
    state = last(
        SGD(steps, None, rate, Constant()),
        BOWL,
        torch.zeros(2, 5, dtype=torch.float64),
        coupling=Pushed(),
    )
    exact = (1 - (1 - rate * H) ** steps) / H  # on its way to Hθ = 1, where the two forces cancel
    assert (state.cloud - exact).abs().max() < 1e-12


def test_shared_batches_give_equal_points_equal_paths() -> None:
    landscape = Network(MLP, digits())
    start = landscape.init(1, stream(0, "init")).expand(3, -1).clone()
    optimiser = SGD(5, 8, 0.1, Constant())
    shared = last(optimiser, landscape, start, coupling=Uncoupled(shared_batches=True)).cloud
    separate = last(optimiser, landscape, start).cloud
    assert torch.allclose(shared[0], shared[1], atol=1e-6)
    assert not torch.allclose(separate[0], separate[1], atol=1e-3)


@pytest.mark.parametrize("sampling", ["iid", "without_replacement", "epoch"])
def test_resuming_gives_the_same_bits(sampling: str) -> None:
    landscape = Network(MLP, digits(augment="crop_flip"))
    start = landscape.init(2, stream(0, "init"))
    optimiser = SGD(10, 300, 0.1, Cosine(), 0.9, True, sampling)  # type: ignore[arg-type]
    states = [
        SGDState(s.step, s.cloud.clone(), s.velocity.clone())
        for s in optimiser.run(landscape, start, 0)
    ]
    again = last(optimiser, landscape, states[4])
    assert torch.equal(again.cloud, states[-1].cloud) and torch.equal(
        again.velocity, states[-1].velocity
    )


def test_the_automatic_rate_of_a_formula_is_a_tenth_of_the_stable_limit() -> None:
    start = torch.zeros(1, 5, dtype=torch.float64)
    settled = SGD(1, None, "auto", Constant(), 0.9).resolve_learning_rate(BOWL, start, 0)
    assert settled.learning_rate == pytest.approx(0.1 * 2 * 1.9 / 9.0, rel=0.05)


def test_a_number_that_a_network_states_is_what_auto_means() -> None:
    landscape = Network(MLP, digits(), learning_rate=0.123)
    assert (
        SGD(1, 8, "auto", Constant())
        .resolve_learning_rate(landscape, landscape.init(1, stream(0)), 0)
        .learning_rate
        == 0.123
    )


@dataclass(frozen=True)
class Stranger:
    """A landscape from outside, with a finite set of examples and a batch that is a dictionary."""

    count: int = 12
    dim: int = 3

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        return torch.randn(points, 3, generator=stream)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {"target": indices.float()}

    def losses(self, cloud: Cloud, batch: dict[str, Tensor] | None = None) -> Tensor:
        target = torch.arange(12.0)[None] if batch is None else batch["target"]
        return 0.5 * (cloud[:, :1] - target).square().mean(1)


def test_all_samplings_work_on_a_stranger_with_examples() -> None:
    landscape = Stranger()
    for sampling in ("iid", "without_replacement", "epoch"):
        optimiser = replace(SGD(200, 4, 0.2, Cosine()), sampling=sampling)  # type: ignore[arg-type]
        cloud = last(optimiser, landscape, landscape.init(5, stream(0))).cloud
        assert torch.allclose(cloud[:, 0], torch.tensor(5.5), atol=0.6), sampling


def test_points_do_not_feel_one_another() -> None:
    landscape = Network(partial(MLP, hidden=(8,)), digits())
    start = landscape.init(4, stream(0, "init"))
    wild = start.clone()
    wild[1] = 1e30  # overflows at once
    optimiser = SGD(5, 16, 0.1, Constant(), 0.9)
    calm, hit = last(optimiser, landscape, start), last(optimiser, landscape, wild)
    assert not torch.isfinite(hit.cloud[1]).all()
    assert torch.equal(calm.cloud[[0, 2, 3]], hit.cloud[[0, 2, 3]])
