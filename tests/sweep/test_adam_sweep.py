"""The sweep of Adam: measured in the coordinates in which Adam is SGD, its temperature is η/2√b."""

import re
from functools import partial
from math import sqrt

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import example_gradients
from sgdtheory.geometry.noise_by_parameter import QUIET, deviations, noise_scale
from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.adam_of_noise import of_noise
from sgdtheory.optim.adamw import AdamW
from sgdtheory.optim.schedule import Constant
from sgdtheory.pipelines.optimiser import adam_of
from sgdtheory.pipelines.sweep_sites import Site, minima_rows
from sgdtheory.pipelines.swept_optimiser import second_moment_of
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.adam_claims import adam_claims
from sgdtheory.temperature.cell import Cell, SecondMoment
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.estimators.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.estimators.virial import Virial
from sgdtheory.temperature.measured_minimum import reference_minimum_at, reference_of_adam
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import Trajectory
from sgdtheory.temperature.visible_epsilon import refuse_epsilon

RATE = 4e-4
SIZE = 16
MOMENT = SecondMoment(0.999, 1e-8)
BOWL = Quadratic((1.0, 0.5, 0.25), noise_anisotropy=30.0)  # H and C do not commute


@pytest.mark.parametrize("landscape", [BOWL, LinearRegression(digits(limit=50))])
def test_coordinates_are_rescaled(landscape: Quadratic | LinearRegression) -> None:
    """Gradient S⁻¹∇L, products S⁻¹HS⁻¹v, and the noise of a sample has σ_i for variance."""
    source = stream(0, "point")
    theta = torch.randn(1, landscape.dim, generator=source, dtype=torch.float64)
    scale = torch.rand(landscape.dim, generator=source, dtype=torch.float64) + 0.5
    rescaled = Rescaled(landscape, scale)
    loss, gradient = value_and_grad(landscape, theta)
    loss_of_phi, gradient_of_phi = value_and_grad(rescaled, theta * scale)
    assert torch.allclose(loss, loss_of_phi, rtol=1e-14)
    assert torch.allclose(gradient / scale, gradient_of_phi, rtol=1e-12)
    vector = torch.randn(1, landscape.dim, generator=source, dtype=torch.float64)
    product = hvp(landscape, theta, vector / scale) / scale
    assert torch.allclose(product, hvp(rescaled, theta * scale, vector), rtol=1e-12)


def test_deviations_are_of_every_example() -> None:
    landscape = LinearRegression(digits(limit=50))
    theta = torch.randn(landscape.dim, generator=stream(0, "point"), dtype=torch.float64)
    sigma = deviations(landscape, theta, stream(0, "draws"))
    gradients = example_gradients(landscape, theta, torch.arange(50))
    # the mean over all is taken of images in float32
    assert torch.allclose(sigma, gradients.std(0, correction=0), rtol=1e-7, atol=1e-7)
    scale = noise_scale(sigma)
    is_quiet = sigma < QUIET * sigma.max()
    assert is_quiet.any()  # pixels that are always blank
    assert torch.equal(scale[is_quiet], sigma.max().sqrt().expand(int(is_quiet.sum())))
    assert torch.equal(scale[~is_quiet], sigma[~is_quiet].sqrt())


def test_it_is_adam() -> None:
    """θ = φ/s moves as Adam moves it."""
    scale = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    adam = Adam(50, 4, 1e-2, Constant(), 0.9)
    start = torch.ones(2, 3, dtype=torch.float64)
    *_, plain = adam.run(BOWL, start, 0)
    *_, last = of_noise(adam, scale).run(Rescaled(BOWL, scale), start * scale, 0)
    assert torch.allclose(last.cloud / scale, plain.cloud, rtol=1e-9)


def test_velocity_is_what_moved() -> None:
    scale = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    adam = of_noise(Adam(3, 4, 1e-2, Constant(), 0.9), scale)
    before = torch.ones(2, 3, dtype=torch.float64)
    for state in adam.run(Rescaled(BOWL, scale), before, 0):
        back = state.cloud + adam.equivalent.rate * adam.velocity_of(state)
        assert torch.allclose(back, before, rtol=1e-12)
        before = state.cloud.clone()


class Own(Adam):
    """Somebody's own, with a step of its own perhaps."""


def test_what_is_more_than_adam_is_not_made_into_it() -> None:
    """Adam's settings alone would drop what it does besides."""
    with pytest.raises(UserError, match="AdamW has no law of its noise"):
        of_noise(AdamW(3, 4, 1e-2, Constant(), decay=0.1), torch.ones(3))
    own = partial(Own, steps=60_000)
    same = {"momentum": 0.9, "sampling": "iid", "steps": 60_000}
    with pytest.raises(UserError, match="temperature of Own; use sgd or adam"):
        second_moment_of(own, same, BOWL)
    usual = partial(Adam, steps=60_000, beta2=0.99)
    assert second_moment_of(usual, same, BOWL) == SecondMoment(0.99, 1e-8)
    with pytest.raises(UserError, match="bands descend by sgd or adam, not by Own"):
        adam_of(partial(Own, steps=0))


@pytest.fixture(scope="module")
def ground() -> ReferenceMinimum:
    return reference_of_adam(BOWL, torch.zeros(3, dtype=torch.float64), 0, SIZE)


@pytest.fixture(scope="module")
def cloud(ground: ReferenceMinimum, tmp_path_factory: pytest.TempPathFactory) -> Trajectory:
    cell = Cell(RATE, SIZE, 0.9, "iid", 512, 0.01, 30_000, MOMENT)
    folder = UnitFolder(tmp_path_factory.mktemp("cell"), Unit("cell", {}))
    return cell.measure(folder, ground.coordinates(BOWL), ground, 0, torch.float64)


def sigmas(number: Measured, expected: float) -> float:
    assert number.value is not None and number.stderr is not None
    return abs(number.value - expected) / number.stderr


def test_an_epsilon_that_is_seen_is_refused(ground: ReferenceMinimum) -> None:
    """By what it takes off T: Σσᵢ·ε√b/(σᵢ + ε√b) of Σσᵢ; up to 2 % is let pass, and what is named
    instead is."""
    sigma = deviations(BOWL, torch.zeros(3, dtype=torch.float64), stream(0, "deviations"))
    refuse_epsilon(ground, MOMENT, SIZE)
    refuse_epsilon(ground, None, SIZE)  # SGD has none
    by_epsilon = 0.3 * sqrt(SIZE)
    taken = float((sigma * by_epsilon / (sigma + by_epsilon)).sum() / sigma.sum())
    told = f"takes {100 * taken:.0f} % off T at b = {SIZE}.*use sgd.epsilon=([^ ]*) or less"
    with pytest.raises(UserError, match=told) as refused:
        refuse_epsilon(ground, SecondMoment(0.999, 0.3), SIZE)
    found = re.search(told, str(refused.value))
    assert found is not None
    named = float(found[1])
    refuse_epsilon(ground, SecondMoment(0.999, named), SIZE)
    with pytest.raises(UserError, match="is not small beside"):  # it has one digit, rounded down
        refuse_epsilon(ground, SecondMoment(0.999, 2.1 * named), SIZE)


def test_quiet_parameters_do_not_hide_an_epsilon(ground: ReferenceMinimum) -> None:
    """They have the scale of the noisiest, and no weight."""
    assert ground.scale is not None
    quiet = ground.scale.max().expand(1000)
    beside = ground._replace(scale=torch.cat([ground.scale, quiet]))
    for epsilon in (1e-8, 0.3):
        moment = SecondMoment(0.999, epsilon)
        outcomes = []
        for each in (ground, beside):
            try:
                refuse_epsilon(each, moment, SIZE)
                outcomes.append("")
            except UserError as refused:
                outcomes.append(str(refused))
        assert outcomes[0] == outcomes[1] and bool(outcomes[0]) == (epsilon > 0.1)


def test_noise_is_the_sum_of_deviations(ground: ReferenceMinimum) -> None:
    covariance = BOWL.noise_covariance(torch.zeros(1, 3, dtype=torch.float64))[0]
    assert ground.noise_trace == pytest.approx(float(covariance.diagonal().sqrt().sum()), rel=1e-12)


def test_what_is_adams_has_names_of_its_own(ground: ReferenceMinimum) -> None:
    """Diagnostics of the point itself stand beside it: Tr C is not Σσ_i."""
    site = Site(Unit("minimum", {}), 0, 0)
    (row,) = minima_rows([site], {(0, 0): ground}, [{"noise_trace": 1.5}], None)
    assert row["adam_noise_trace"] == ground.noise_trace and row["noise_trace"] == 1.5
    assert row["adam_top_curvature"] == ground.top_curvature and "top_curvature" not in row
    plain = reference_minimum_at(BOWL, torch.zeros(3, dtype=torch.float64), 0, SIZE)
    (row,) = minima_rows([site], {(0, 0): plain}, [{}], None)
    assert row["noise_trace"] == plain.noise_trace and not any("adam" in name for name in row)


def test_temperature_is_adams(cloud: Trajectory) -> None:
    """By loss and virial, with the fluctuation–dissipation ratio one; SGD's law is far off."""
    law = RATE / (2 * sqrt(SIZE))
    sampled = cloud.part(len(cloud.steps) // 4)
    for number in (
        ExcessLoss()(None, sampled)["excess_loss"],
        Virial()(None, sampled)["virial"],
    ):
        assert sigmas(number, law) < 3 and number.stderr < 0.02 * law
        assert sigmas(number, RATE / (2 * SIZE)) > 30
        assert sigmas(number, RATE / 2) > 30
    ratio = FluctuationDissipation()(None, sampled)["fluctuation_dissipation"]
    assert sigmas(ratio, 1) < 3


def cells(exponent: float) -> list[dict[str, object]]:
    rows = []
    for rate in (0.1, 0.2):
        for size in (4, 16, 64):
            value = rate * size**exponent / 2
            number = {"value": value, "stderr": 0.01 * value}
            rows.append(
                {
                    "optimiser": "adam",
                    "learning_rate": rate,
                    "batch_size": size,
                    "harmonic": True,
                    "temperature": {"excess_loss": number},
                }
            )
    return rows


def test_exponent_of_b_is_found_and_judged() -> None:
    (right,) = adam_claims(cells(-0.5))
    assert right.measured.value == pytest.approx(-0.5) and right.holds
    (wrong,) = adam_claims(cells(-1.0))
    assert wrong.measured.value == pytest.approx(-1.0) and wrong.holds is False
    (few,) = adam_claims(cells(-0.5)[:3])
    assert few.holds is None and few.measured.value is None
    assert adam_claims([{**row, "optimiser": None} for row in cells(-0.5)]) == []
