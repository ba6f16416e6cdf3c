"""Scale-invariant parameters: found by measurement, and the equilibrium of their length."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.digits import digits
from sgdtheory.data.modular_addition import modular_addition
from sgdtheory.geometry.scale_invariance import scale_invariant, with_norms_of
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.gpt import GPT
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.models.vit import ViT
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import values
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.temperature.estimators.angular_update import AngularUpdate
from sgdtheory.temperature.estimators.effective_learning_rate import EffectiveLearningRate
from sgdtheory.temperature.estimators.equipartition import Equipartition
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.measurement import measure_trajectory
from sgdtheory.temperature.norm_dynamics import COLUMNS, NormDynamics
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.trajectory import Trajectory

RATE, DECAY, SIZE = 0.2, 0.02, 16


class Normed(nn.Module):
    """64 → 16 → 10 with batch norm before the ReLU: the first layer's length is never felt."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = (
            nn.Linear(64, 16, bias=False),
            nn.BatchNorm1d(16),
            nn.Linear(16, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.last(torch.relu(self.norm(self.first(images.flatten(1)))))
        return found


def normed(**words: float) -> Network:
    return Network(Normed, digits(), **{"weight_decay": DECAY, **words})  # type: ignore[arg-type]


def test_it_is_the_convolutions_before_a_batch_norm() -> None:
    landscape = Network(partial(ResNet, depth=8, width=4, shortcut="conv"), digits())
    groups = scale_invariant(landscape, stream(0))
    for parameter, part in zip(
        landscape.module.parameters(),
        groups.split([p.numel() for p in landscape.module.parameters()]),
        strict=True,
    ):
        assert bool((part > 0).all()) == (parameter.ndim == 4) and len(part.unique()) == 1


@pytest.mark.parametrize(
    "landscape",
    [Network(MLP, digits()), Network(partial(MLP, activation="tanh"), digits()), Quadratic()],
)
def test_other_landscapes_have_none(landscape: Network) -> None:
    assert not scale_invariant(landscape, stream(0)).any()


class HalfNormed(nn.Sequential):
    """64 → 128 with batch norm, → 128 → 10 without: of the weights the first alone are never
    felt."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(64, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )


# w·∇L of so many numbers is small by chance: of 16,384 about one in 128 of |w||∇L|
WIDE = {
    "mlp-256": Network(partial(MLP, hidden=(256,)), digits()),
    "mlp-512-512": Network(partial(MLP, hidden=(512, 512)), digits()),
    "gpt": Network(GPT, modular_addition()),
    "vit": Network(ViT, digits()),
    "half": Network(HalfNormed, digits()),
    "resnet": Network(partial(ResNet, depth=20), digits()),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WIDE)
def test_weights_that_are_felt_are_not_among_them(name: str, seed: int) -> None:
    landscape = WIDE[name]
    groups = scale_invariant(landscape, stream(seed, "invariance"))
    found = []
    sizes = [shape.numel() for shape in landscape.shapes.values()]
    for parameter, part in zip(landscape.shapes, groups.split(sizes), strict=True):
        if bool((part > 0).any()):
            found.append(parameter)
    expected = {"half": ["1.weight"]}.get(name, [])
    if name == "resnet":  # convolutions before a batch norm, and no scale of one
        expected = [key for key, shape in landscape.shapes.items() if len(shape) == 4]
    assert found == expected


def test_stretching_them_leaves_the_loss() -> None:
    landscape = normed(weight_decay=0.0)
    groups = scale_invariant(landscape, stream(0))
    cloud, like = landscape.init(3, stream(1)).double(), 2.5 * landscape.init(3, stream(2)).double()
    moved = with_norms_of(cloud, like, groups)
    at = groups > 0
    assert int(at.sum()) == 1024
    torch.testing.assert_close(moved[:, at].norm(dim=1), like[:, at].norm(dim=1))
    torch.testing.assert_close(
        values(landscape, moved), values(landscape, cloud), rtol=1e-3, atol=0
    )  # the ε of batch norm
    assert torch.equal(moved[:, ~at], cloud[:, ~at])


def test_an_objective_in_parts_is_the_mean_over_batches_of_exactly_that_size() -> None:
    landscape = normed()
    parts, theta = GhostBatchObjective(landscape, 100, stream(0)), landscape.init(2, stream(0))
    batches = [batch for batch, _ in parts.parts()]
    assert [batch.targets.shape for batch in batches] == [(1, 100)] * 14
    mean = torch.stack([landscape.losses(theta, batch) for batch in batches]).mean(0)
    torch.testing.assert_close(values(parts, theta), mean)  # type: ignore[arg-type]
    assert (
        values(parts, theta) > values(landscape, theta) + 1e-4
    ).all()  # statistics of 100 are noisier than those of 1437


def test_the_means_are_over_every_step_and_survive_a_break() -> None:
    landscape = normed()
    groups, start = scale_invariant(landscape, stream(0)), landscape.init(3, stream(0)).double()
    sgd = SGD(7, SIZE, RATE, Constant(), 0.5)
    whole, before = NormDynamics(groups, RATE, DECAY, 3), NormDynamics(groups, RATE, DECAY, 3)
    at, rows, theta = groups > 0, [], start.clone()
    for state in sgd.run(landscape, start, 0):
        whole.see(state)
        if state.step == 4:
            before = NormDynamics(groups, RATE, DECAY, 3, before.tensors()["pace"].clone())
        before.see(state)
        assert state.gradients is not None
        w, v, g = theta[:, at], state.velocity[:, at], state.gradients[:, at] - DECAY * theta[:, at]
        squares = w.square().sum(1)
        rows.append(
            torch.stack([squares, squares**2, v.square().sum(1), squares * g.square().sum(1)])
        )
        theta = state.cloud.clone()
    found, again = whole.means(), before.means()
    for name, expected in zip(COLUMNS, torch.stack(rows).mean(0), strict=True):
        torch.testing.assert_close(
            found[name], expected, rtol=1e-5, atol=0
        )  # ∇L·w is zero to batch norm's ε over a variance
        assert torch.equal(found[name], again[name])
    assert float(whole.sums.sum()) == 0


def recorded(path: Path, momentum: float, records: int = 16) -> Trajectory:
    landscape = normed(rows="vmap")  # type: ignore[arg-type]
    ground = reference_minimum_at(
        landscape, landscape.init(1, stream(0, "init"))[0].double(), 0, SIZE
    )
    assert (
        not ground.has_minimum and ground.weight_decay == DECAY and ground.loss_at_minimum is None
    )
    lives = (1 - momentum) / (RATE * DECAY)
    recipe = MeasurementSchedule(int(3 * lives), int(lives / 4), records, 1)
    sgd = SGD(1, SIZE, RATE, Constant(), momentum)
    return measure_trajectory(
        UnitFolder(path, Unit("cloud", {})),
        landscape,
        ground,
        sgd,
        recipe,
        32,
        1,
        torch.float32,
        lambda _: True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_length_of_the_parameters_is_where_noise_and_decay_balance(
    momentum: float, tmp_path: Path
) -> None:
    """|θ|⁴ = η⟨|g̃|²⟩/(2λ) and ⟨|Δθ|²⟩/⟨|θ|²⟩ = 2ηλ/(1+μ), within 5 %; with a wrong λ not.

    With momentum the angle alone: there the first law holds for gradients without memory, and these have some (9 %).
    """
    trajectory = recorded(tmp_path, momentum)
    angle, length = AngularUpdate()(None, trajectory), EffectiveLearningRate()(None, trajectory)
    turned, law = angle["angular_update"].value, angle["angular_update_predicted"].value
    rate, predicted = length["effective_rate"].value, length["effective_rate_predicted"].value
    balance = length["norm_equilibrium"].value
    assert turned and law and rate and predicted and balance
    assert law == pytest.approx(2 * RATE * DECAY / (1 + momentum))
    assert abs(turned / law - 1) < 0.05
    assert momentum or (abs(balance - 1) < 0.05 and abs(rate / predicted - 1) < 0.05)
    wrong = EffectiveLearningRate()(None, replace(trajectory, weight_decay=2 * DECAY))[
        "norm_equilibrium"
    ].value
    assert wrong is not None and abs(wrong - 1) > 0.5


def test_weight_decay_of_what_has_no_length_holds_no_heat() -> None:
    """A made-up record: the excess loss is 0.3 besides ½λ|θ_s|², |∇L|² is 0.5 besides λ²|θ_s|²."""
    lengths = np.array([[4.0, 8.0]])
    one = np.ones((1, 2))
    made = {name: np.zeros((1, 2)) for name in Trajectory.__dataclass_fields__}
    made |= {
        "losses": 1.3 + 0.5 * DECAY * lengths, "gradient_norms_squared": 0.5 + DECAY**2 * lengths, "noise_trace": 7 * one,
        "invariant_norms_squared": lengths,
    }  # fmt: skip
    plain = {
        "learning_rate": RATE, "batch_size": SIZE, "momentum": 0.0, "sampling": "iid", "count": 1437, "loss_at_minimum": 1.0,
        "noise_trace_at_minimum": 7.0, "weight_decay": DECAY, "invariants": 3,
    }  # fmt: skip
    trajectory = Trajectory(**{**made, **plain})  # type: ignore[arg-type]
    found = ExcessLoss()(None, trajectory)["excess_loss"].value
    assert found == pytest.approx((2 * 0.3 - RATE / 2 * 0.5) / 7, rel=1e-12)
    assert Equipartition()(None, trajectory)["equipartition"].value is None
    bare = EffectiveLearningRate()(None, replace(trajectory, weight_decay=0.0))
    assert (
        bare["norm_equilibrium"].value is None
        and "without weight decay" in bare["norm_equilibrium"].why
    )
