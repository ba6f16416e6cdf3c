"""The whole instrument calibrated: where the true temperature stands among the bootstrap draws of a
cell (Talts et al. 2018, 1804.06788)."""

from math import exp, log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.bootstrap import RESAMPLES, ratio_draws, ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.cell import WINDOW, Cell
from sgdtheory.temperature.estimators import excess_loss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.stationarity import Stationarity

DRAWS = 200
BINS = 10
LIKELY = 0.01  # p of χ² above which ranks count as uniform


class Found(NamedTuple):
    """The bootstrap draws of a cell's T [R], its value, and the true one."""

    draws: np.ndarray
    value: float
    truth: float

    def rank(self, width: float = 1.0) -> int:
        """How many of the draws, their distances from the value times `width`, are below the
        truth."""
        draws = self.value + width * (self.draws - self.value)
        return int((draws < self.truth).sum())


def between(low: float, high: float, source: torch.Generator) -> float:
    """Uniform in the logarithm."""
    u = float(torch.rand((), generator=source))
    return exp(log(low) + u * log(high / low))


def cell_of(draw: int) -> tuple[Quadratic, Cell]:
    """H and C, which do not commute, η up to 1.6/h_max, b and the replicas, all drawn at random."""
    source = stream(draw, "ranks")
    directions = int(torch.randint(2, 7, (), generator=source))
    curvatures = tuple(between(0.1, 1.0, source) for _ in range(directions))
    landscape = Quadratic(curvatures, noise_anisotropy=between(1.5, 50.0, source))
    rate = between(0.05, 1.6, source) / max(curvatures)
    size = round(between(1, 256, source))
    replicas = int(torch.randint(8, 33, (), generator=source))
    return landscape, Cell(rate, size, 0.0, "iid", replicas, 0.05, 60_000)


def found(draw: int, monkeypatch: pytest.MonkeyPatch) -> Found:
    """The draws of T as a sweep has it: the reference, the trajectory, the verdict and the
    estimator of a cell."""
    landscape, cell = cell_of(draw)
    ground = reference_minimum_at(landscape, landscape.minima()[0], 0, 8)
    with TemporaryDirectory() as path:
        folder = UnitFolder(Path(path), Unit("cell", {}))
        trajectory = cell.measure(folder, landscape, ground, draw, torch.float32)
    verdict = Stationarity(WINDOW)(trajectory)
    assert verdict.first is not None, (draw, verdict.why)
    tables = []

    def kept(above: np.ndarray, below: np.ndarray) -> Measured:
        tables.append((above, below))
        return ratio_of_means(above, below)

    monkeypatch.setattr(excess_loss, "ratio_of_means", kept)
    part = trajectory.part(verdict.first)
    measured = excess_loss.ExcessLoss()(None, part)["excess_loss"]
    assert measured.value is not None and measured.stderr is not None
    draws = ratio_draws(*tables[0])
    # they are what the error is made of
    assert draws.std(ddof=1) == pytest.approx(measured.stderr, rel=1e-9)
    return Found(draws, measured.value, cell.predicted(None))


def p_value(ranks: list[int]) -> float:
    """Of χ² against uniform ranks."""
    counts, _ = np.histogram(ranks, BINS, (0, RESAMPLES + 1))
    return float(chisquare(counts).pvalue)


def test_a_rank_test_sees_errors_that_are_half_or_twice_as_large() -> None:
    """Of exact draws, and of such that are too near or too far."""
    source = np.random.default_rng(0)
    exact = []
    for _ in range(DRAWS):
        value, truth = source.standard_normal(2) * [1.0, 0.0]
        exact.append(Found(value + source.standard_normal(RESAMPLES), value, truth))
    assert p_value([each.rank() for each in exact]) > LIKELY
    for width in (0.5, 2.0):
        assert p_value([each.rank(width) for each in exact]) < 1e-4
    off = [each._replace(truth=0.5) for each in exact]
    assert p_value([each.rank() for each in off]) < 1e-4


@pytest.mark.slow
def test_the_true_temperature_has_a_uniform_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [found(draw, monkeypatch) for draw in range(DRAWS)]
    assert p_value([cell.rank() for cell in cells]) > LIKELY
    assert p_value([cell.rank(0.5) for cell in cells]) < LIKELY
