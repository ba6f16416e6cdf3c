"""The pictures of a sweep: what is exact stands behind what was measured, and what failed is named."""

import numpy as np
import pytest

from sgdtheory.report.figures.columns import for_people, of_adam
from sgdtheory.report.figures.drawn import equilibration, spreading, temperatures
from sgdtheory.report.figures.equilibration import _at_rest, exact_warming
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.recorded_clouds import Cloud, Clouds
from sgdtheory.report.figures.table import table
from tests.conftest import call

pytestmark = pytest.mark.pictures

WORDS = (
    "landscape=quadratic", "landscape.directions=4", "landscape.noise_anisotropy=10", "sweep.learning_rate=[0.001,0.2,1.0]",
    "sweep.batch_size=[8,16]", "steps=600", "executor.workers=1", "threads=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """Two cells too slow to come to rest in 600 steps, and four that do."""
    where = tmp_path_factory.mktemp("sweep") / "run"
    said = call("sweep-temperature", *WORDS, f"run.dir={where}")
    assert said.code == 0, said.err
    return RunData.read(where)


def test_the_heights_are_those_of_the_stated_covariance(run: RunData) -> None:
    cells = [cell for cell in run.results["cells"] if cell["stationary"]]
    assert len(cells) == 4
    for cell in cells:
        assert abs(cell["height"] - cell["height_exact"]) < 3.3 * cell["height_stderr"]
        # 1 + ηh/2 and more above the law
        lowest = cell["predicted"] * cell["noise_trace_at_minimum"]
        assert cell["height_exact"] / lowest > 1 + 0.2 * cell["learning_rate"]


def test_temperatures(run: RunData) -> None:
    figure = temperatures(run)
    assert figure is not None and len(figure.numbers) == 6
    assert "η 0.001, b 8" in figure.svg and "η = 0.001, b = 8: not stationary" in figure.caption
    assert "2⟨L−L*⟩" in figure.svg and "exact" in figure.caption
    without = RunData(**{**vars(run), "results": {**run.results, "cells": [
        {**cell, "height_exact": None} for cell in run.results["cells"]
    ]}})  # fmt: skip
    plain = temperatures(without)
    assert plain is not None and "2⟨L−L*⟩" not in plain.svg and "exact" not in plain.caption
    assert temperatures(RunData(**{**vars(run), "results": {"cells": []}})) is None


def test_the_noise_of_adam_is_called_its_own(run: RunData) -> None:
    cells = [{**cell, "optimiser": "adam"} for cell in run.results["cells"]]
    figure = temperatures(RunData(**{**vars(run), "results": {**run.results, "cells": cells}}))
    assert figure is not None and "T·Σ Cᵢᵢ/σᵢ(θ*)" in figure.svg
    assert "Tr C" not in figure.svg + figure.caption and "that of Adam" in figure.caption
    assert of_adam("Tr C(θ*) / nats²") == "Σ Cᵢᵢ/σᵢ(θ*) / nats" and of_adam("steps") == "steps"


def test_a_ratio_is_not_called_a_temperature(run: RunData) -> None:
    found = table(for_people(run.results["cells"]), unit="nats").headings
    assert "T: excess loss" in found and "fluctuation over dissipation" in found
    assert not any(heading.startswith("temperature") for heading in found)
    assert len(found) == len(set(found))


def test_equilibration(run: RunData) -> None:
    figure = equilibration(run)
    assert figure is not None
    ratios = [
        (abs(r["warmth"] - 1) / r["warmth_stderr"], r) for r in figure.numbers if "energy" in r
    ]
    apart, furthest = max(ratios, key=lambda pair: pair[0])
    assert f"h = {furthest['curvature']:.2g} with {furthest['warmth']:.3f}" in figure.caption
    assert f"({apart:.1f} of them" in figure.caption
    warming = [row for row in figure.numbers if "expected" in row]
    sigmas = [(row["warmth"] - row["expected"]) / row["warmth_stderr"] for row in warming]
    assert (
        len(warming) >= 40 and np.sqrt(np.mean(np.square(sigmas))) < 1.6
    )  # moments of one replica are correlated
    rest = [row for row in figure.numbers if "energy" in row]
    assert len(rest) == 4 and all(abs(row["warmth"] - 1) < 4 * row["warmth_stderr"] for row in rest)
    assert max(row["energy"] for row in rest) > 1.5 * min(
        row["energy"] for row in rest
    )  # though the temperature is one


def test_short_runs_do_not_displace_a_mean() -> None:
    """4 replicas of an AR(1) with variance one about zero, 400 runs that forget in 10 of 60 steps:
    on the average T_i/law is one and the mean adds nothing; with the sample's mean they were .93 and
    .07 (2·10/(4·60), less what the ends of a run lack). Then displaced by one half."""
    source = np.random.default_rng(0)
    memory, steps, runs = np.exp(-1 / 10), 60, 400
    x = source.standard_normal((4, runs))
    recorded = []
    for _ in range(steps):
        x = memory * x + np.sqrt(1 - memory**2) * source.standard_normal((4, runs))
        recorded.append(x)
    positions, ones = np.stack(recorded), np.ones(runs)
    cell = {"learning_rate": 1e-9, "momentum": 0.0, "predicted": 1.0}
    clouds = Clouds([], [], ones, ones, np.arange(runs))
    for shift in (0.0, 0.5):
        cloud = {"positions": positions + shift, "noise_diagonal": np.ones((steps, 4, runs))}
        warmth, _, displaced, of_mean, _ = _at_rest(Cloud(cell, cloud), clouds)
        for found, exact in ((warmth, 1), (displaced, shift**2)):
            error = found.std(ddof=1) / np.sqrt(runs)  # some .02
            assert abs(found.mean() - exact) < 4 * error
        lag = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        exact_of_mean = (memory**lag).mean() / 4
        assert exact_of_mean > 0.06  # what the two were off by
        error = of_mean.std(ddof=1) / np.sqrt(runs)
        assert abs(of_mean.mean() - exact_of_mean) < 4 * error


def test_spreading(run: RunData) -> None:
    figure = spreading(run)
    assert figure is not None and {row["panel"] for row in figure.numbers} > {"step 1"}


@pytest.mark.parametrize(("rate", "momentum"), [(0.5, 0.0), (0.5, 0.9), (3.0, 0.9)])
def test_the_exact_warming_is_that_of_the_recursion(rate: float, momentum: float) -> None:
    """Σ ← AΣAᵀ + BBᵀ from zero, step by step; at μ = 0 it is 1 − (1 − ηh)^(2t)."""
    step, kick = (
        np.array([[1 - rate, -rate * momentum], [1.0, momentum]]),
        np.array([[-rate], [1.0]]),
    )
    covariance, seen = np.zeros((2, 2)), []
    for _ in range(2000):
        covariance = step @ covariance @ step.T + kick @ kick.T
        seen.append(covariance[0, 0])
    found = exact_warming(1.0, rate, momentum, np.array([1, 2, 7, 40]))
    assert np.allclose(found, np.array([seen[k - 1] for k in (1, 2, 7, 40)]) / seen[-1], rtol=1e-9)
    if momentum == 0:
        assert np.allclose(found, 1 - (1 - rate) ** (2 * np.array([1, 2, 7, 40])), rtol=1e-9)
