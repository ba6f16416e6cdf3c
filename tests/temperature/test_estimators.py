"""Every estimator on every landscape of known temperature; and that broken physics is seen.

A new estimator is covered by its yaml: `expects` says what its number must be.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from sgdtheory.commandline.schema import Checker, build
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.estimators.equipartition import Equipartition, by_direction
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.estimators.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.estimators.hill import Hill
from sgdtheory.temperature.estimators.noise_scale import NoiseScale
from sgdtheory.temperature.trajectory import Trajectory
from tests.temperature.clouds import GRID, Setting, cloud_of, ground_of, landscape_of


def estimator_of(name: str) -> Any:
    checker = Checker()
    node, _ = checker.value(
        Any, yaml.safe_load((CONFIGS / f"estimator/{name}.yaml").read_text(encoding="utf-8")), name
    )
    assert checker.faults == []
    return build(node)


NAMES = sorted(file.stem for file in CONFIGS.glob("estimator/*.yaml"))
SIZED = {name: estimator_of(name).expects for name in NAMES}
KEYS = {
    "noise_scale": "noise_agreement"
}  # the number that is one, where it is not the estimator's own


def sigmas(found: Measured, expected: float) -> float:
    """How many standard errors a number is from what it should be."""
    assert found.value is not None and found.stderr is not None and found.stderr > 0, found.why
    return abs(found.value - expected) / found.stderr


@pytest.mark.parametrize("setting", GRID, ids=str)
@pytest.mark.parametrize("name", [name for name in NAMES if SIZED[name]])
def test_it_gives_what_it_should(name: str, setting: Setting) -> None:
    trajectory = cloud_of(setting)
    found = estimator_of(name)(landscape_of(setting.name), trajectory)[KEYS.get(name, name)]
    expected = (
        setting.law * trajectory.finite_population_correction
        if SIZED[name] == "temperature"
        else 1.0
    )
    assert sigmas(found, expected) < (4 if name == "equipartition" else 3.3), (
        f"{found} instead of {expected}"
    )  # ~100 trials
    assert found.stderr is not None and found.stderr < 0.1 * expected


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_pure_function_and_says_why_not(name: str) -> None:
    trajectory = cloud_of(GRID[0])
    estimator = estimator_of(name)
    assert estimator(None, trajectory) == estimator(None, trajectory)
    nothing = estimator(None, trajectory.part(0, 0))
    assert all(number.value is None and number.why for number in nothing.values())


# physics broken on purpose


def test_twice_the_noise_is_seen() -> None:
    setting = Setting("loud", 0.1, 0.0)
    trajectory = cloud_of(setting)
    assert sigmas(ExcessLoss()(None, trajectory)["excess_loss"], setting.law) > 10
    assert sigmas(NoiseScale()(None, trajectory)["noise_agreement"], 1.0) > 10
    assert (
        sigmas(FluctuationDissipation()(None, trajectory)["fluctuation_dissipation"], 1.0) < 3
    )  # it is blind to that


def test_a_missing_correction_is_seen() -> None:
    setting = Setting("non_commuting", 1.0, 0.0)
    raw = replace(
        cloud_of(setting), gradient_norms_squared=0 * cloud_of(setting).gradient_norms_squared
    )
    assert sigmas(ExcessLoss()(None, raw)["excess_loss"], setting.law) > 10


def test_the_noise_at_the_minimum_instead_of_the_clouds_is_seen() -> None:
    setting = Setting("linear_regression", 0.12, 0.0)
    trajectory = cloud_of(setting)
    frozen = replace(
        trajectory,
        noise_trace=np.full_like(trajectory.noise_trace, trajectory.noise_trace_at_minimum),
    )
    assert sigmas(ExcessLoss()(None, frozen)["excess_loss"], setting.law) > 5


def test_a_forgotten_population_is_seen() -> None:
    """(N−b)/(N−1) of batches without replacement left out."""
    setting = GRID[-1]
    assert (
        setting.sampling == "without_replacement"
        and cloud_of(setting).finite_population_correction < 0.87
    )
    assert sigmas(ExcessLoss()(None, cloud_of(setting))["excess_loss"], setting.law) > 5


def test_the_wrong_side_of_momentum_is_seen() -> None:
    """(1+μ)/(1−μ) on |g_B|² in the place of (1+μ) on |v|²."""
    setting = Setting("non_commuting", 1.0, 0.9)
    trajectory = cloud_of(setting)
    eta, mu = setting.learning_rate, setting.momentum
    wrong = ratio_of_means(
        trajectory.virials, eta * (1 + mu) / (2 * (1 - mu)) * trajectory.batch_norms_squared
    )
    assert sigmas(wrong, 1.0) > 10


# exact


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.01, 0.5, 1.0, 1.9])
def test_the_trace_identity_of_the_quadratic(rate: float, momentum: float) -> None:
    """(Tr HΣ − η/(2(1+μ))Tr H²Σ)/Tr C = η/2b(1−μ), H and C not commuting, to 1e-10."""
    bowl = Quadratic((1.0, 0.37, 0.02, 0.0009), noise_anisotropy=30.0)
    covariance = bowl.stationary_covariance(rate, 4, momentum)
    hessian = torch.diag(bowl.spectrum)
    trace = bowl.noise_covariance(bowl.minima())[0].trace()
    height = (hessian @ covariance).trace() - rate / (2 * (1 + momentum)) * (
        hessian @ hessian @ covariance
    ).trace()
    assert abs(float(height / trace) / (rate / (8 * (1 - momentum))) - 1) < 1e-10


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.01, 0.5, 1.0, 1.9])
def test_a_mode_at_a_finite_learning_rate(rate: float, momentum: float) -> None:
    """Var = [ηc/(2bh(1−μ))]/(1 − ηh/(2(1+μ))) by Lyapunov; equipartition undoes the bracket, and is high without it."""
    bowl = Quadratic((1.0, 0.37, 0.02), noise=0.7)
    noise = bowl.noise_covariance(bowl.minima())[0].diagonal().numpy()
    variances = bowl.stationary_covariance(rate, 4, momentum).diagonal().numpy()
    made = replace(
        cloud_of(GRID[0]).part(0, 1),
        positions=np.sqrt(variances) * np.array([1.0, -1.0])[None, :, None], noise_diagonal=np.tile(noise, (1, 2, 1)),
        curvatures=bowl.spectrum.numpy(), learning_rate=rate, momentum=momentum, losses=np.zeros((1, 2)),
    )  # fmt: skip
    law = rate / (8 * (1 - momentum))
    np.testing.assert_allclose(by_direction(made), law, rtol=1e-9)
    found = Equipartition()(None, made)["equipartition"]
    assert found.value == pytest.approx(law, rel=1e-9) and found.stderr == pytest.approx(
        0, abs=1e-12
    )
    bare = bowl.spectrum.numpy() * variances / noise
    np.testing.assert_allclose(
        bare / law - 1,
        rate * made.curvatures / (2 * (1 + momentum) - rate * made.curvatures),
        rtol=1e-9,
    )


@pytest.mark.parametrize("setting", GRID[:12], ids=str)
def test_the_height_of_a_quadratics_cloud_is_lyapunovs(setting: Setting) -> None:
    """Tr HΣ within its own error, at ηh = 1 and μ = 0.9 too."""
    landscape, trajectory = landscape_of(setting.name), cloud_of(setting)
    covariance = landscape.stationary_covariance(
        setting.learning_rate, setting.batch_size, setting.momentum
    )
    theta = ground_of(setting.name).theta[None]
    hessian = torch.autograd.functional.hessian(lambda x: landscape.losses(x[None])[0], theta[0])
    height = ratio_of_means(2 * trajectory.losses, np.ones_like(trajectory.losses))
    assert sigmas(height, float((hessian @ covariance).trace())) < 3.3


def test_every_direction_has_the_temperature_on_a_quadratic() -> None:
    setting = Setting("non_commuting", 1.0, 0.9)
    found = by_direction(cloud_of(setting)) / setting.law
    assert found.shape == (3,) and (abs(found - 1) < 0.15).all()


def gaussian_noise(tails: Any) -> Trajectory:
    """A trajectory whose noise is drawn by `tails(generator, shape)`."""
    whole = cloud_of(GRID[0])
    return replace(
        whole, noise_projections=tails(np.random.default_rng(0), whole.noise_projections.shape)
    )


def test_hill_tells_gaussian_noise_from_heavy_tails() -> None:
    calm = Hill()(None, gaussian_noise(lambda g, shape: g.standard_normal(shape)))
    wild = Hill()(None, gaussian_noise(lambda g, shape: g.standard_cauchy(shape)))
    for found in (calm, wild):
        assert found["hill_gaussian"].value is not None and found["hill"].value is not None
    assert abs(calm["hill"].value - calm["hill_gaussian"].value) < 4 * (
        calm["hill_gaussian"].stderr or 0
    )  # type: ignore[operator]
    assert wild["hill"].value == pytest.approx(1.0, abs=0.3)


def test_an_excess_below_the_rounding_of_the_loss_is_no_temperature() -> None:
    """A bowl on a million: its losses are float32, and their grains are of 0.06."""
    trajectory = cloud_of(GRID[0])
    singles = (trajectory.losses + 1e6).astype(np.float32).astype(np.float64)
    assert trajectory.loss_at_minimum is not None
    high = replace(trajectory, losses=singles, loss_at_minimum=trajectory.loss_at_minimum + 1e6)
    found = ExcessLoss()(None, high)["excess_loss"]
    assert found.value is None and "below the rounding of the loss" in found.why
    doubles = replace(high, losses=trajectory.losses + 1e6)
    exact = ExcessLoss()(None, trajectory)["excess_loss"]
    assert ExcessLoss()(None, doubles)["excess_loss"].value == pytest.approx(exact.value, rel=1e-3)


def test_directions_that_nothing_bends_have_no_temperature() -> None:
    trajectory = cloud_of(GRID[0])
    flat = replace(trajectory, curvatures=0 * trajectory.curvatures)
    found = Equipartition()(landscape_of("commuting"), flat)["equipartition"]
    assert found.value is None and "curved and stirred" in found.why
