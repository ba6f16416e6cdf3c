"""Error bars mean what they say: cells whose temperature is known, and how far off they are in
units of their own errors."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.rng import key
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.bootstrap import small_sample_correction
from sgdtheory.temperature.cell import WINDOW, Cell
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.stationarity import Stationarity

MOTIONS = [
    (0.1, 0.0),
    (0.4, 0.0),
    (1.0, 0.0),
    (1.5, 0.0),
    (0.4, 0.5),
    (1.9, 0.5),
    (0.1, 0.9),
    (1.0, 0.9),
]  # (η, μ)
QUADRATICS = [(rate, momentum, size) for rate, momentum in MOTIONS for size in (1, 4, 16, 64, 256)]
GENTLE = [(0.02, 0.0), (0.04, 0.0), (0.008, 0.5), (0.004, 0.9)]
REGRESSIONS = [(rate, momentum, size) for rate, momentum in GENTLE for size in (16, 64)]


@cache
def landscape_of(name: str) -> Any:
    return (
        Quadratic((1.0, 0.5, 0.25, 0.12, 0.06), noise_anisotropy=30.0)
        if name == "quadratic"
        else LinearRegression(digits())
    )


@cache
def ground_of(name: str) -> ReferenceMinimum:
    landscape = landscape_of(name)
    return reference_minimum_at(landscape, landscape.minima()[0], 0, 8)


def sigmas(name: str, rate: float, momentum: float, size: int, seed: int) -> float:
    """(T − η/2b(1−μ)) / standard error of one cell, sampled as a sweep samples it; exact on both
    landscapes."""
    cell = Cell(rate, size, momentum, "iid", 32, 0.04, 60_000)
    with TemporaryDirectory() as path:
        folder = UnitFolder(Path(path), Unit("cell", {}))
        where = key(seed, rate, momentum, size)
        trajectory = cell.measure(folder, landscape_of(name), ground_of(name), where, torch.float32)
    verdict = Stationarity(WINDOW)(trajectory)
    assert verdict.first is not None, verdict.why
    found = ExcessLoss()(None, trajectory.part(verdict.first))["excess_loss"]
    assert found.value is not None and found.stderr is not None
    return (found.value - cell.predicted(None)) / found.stderr


def are_calibrated(z: list[float]) -> bool:
    """95 % intervals cover in 34–40 of 40 cells (at 95 % by chance: 99.7 % of times), rms z in
    .8–1.25."""
    assert len(z) == 40
    return (
        sum(abs(each) < 1.96 for each in z) >= 34
        and 0.8 < float(np.sqrt(np.mean(np.square(z)))) < 1.25
    )


def test_forty_cells_cover_their_temperature() -> None:
    """H and C do not commute; ηh up to 1.9, μ up to .9, b from 1 to 256."""
    z = [sigmas("quadratic", *setting, seed=0) for setting in QUADRATICS]
    assert are_calibrated(z), np.round(z, 1)
    assert not are_calibrated([2 * each for each in z]) and not are_calibrated(
        [each / 2 for each in z]
    )


@pytest.mark.slow
def test_they_do_over_seeds() -> None:
    z = [
        [sigmas("quadratic", *setting, seed=seed) for setting in QUADRATICS] for seed in range(1, 6)
    ]
    assert all(are_calibrated(each) for each in z), np.round(z, 1)
    assert abs(np.sqrt(np.mean(np.square(z))) - 1) < 0.15  # 200 cells: ± .05 by chance
    assert (
        abs(np.mean(z)) < 0.25
    )  # ± .07 by chance, and a cell that stops when its error is small stops low


@pytest.mark.slow
def test_so_they_do_on_real_data_with_multiplicative_noise() -> None:
    z = [sigmas("regression", *setting, seed=seed) for setting in REGRESSIONS for seed in range(5)]
    assert are_calibrated(z), np.round(z, 1)


def test_few_replicas_have_wide_errors() -> None:
    """± 1.96 standard errors of a mean of P Gaussian values cover in 95 %, of 4 values as of 64."""
    generator = np.random.default_rng(0)
    for count in (4, 64):
        draws = generator.standard_normal((20_000, count))
        # the bootstrap's limit of many resamples
        errors = small_sample_correction(count) * draws.std(1) / np.sqrt(count)
        assert abs((abs(draws.mean(1)) < 1.96 * errors).mean() - 0.95) < 4 * np.sqrt(
            0.05 * 0.95 / 20_000
        )
