"""Recording a cloud: interrupted anywhere it gives the same records, and memory does not grow with
the steps."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.rng import stream
from sgdtheory.runs import interrupt
from sgdtheory.runs import unit as units
from sgdtheory.runs.interrupt import Interrupted
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.temperature import schedule as schedules
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.measurement import measure, measure_trajectory
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.stationarity import Stationarity
from sgdtheory.temperature.trajectory import RECORDED, Trajectory

BOWL = Quadratic((1.0, 0.3), noise_anisotropy=3.0)
REGRESSION = LinearRegression(digits())
RECIPE = MeasurementSchedule(burn_in=12, thinning=3, window=4, windows=3)


@cache
def ground_of(landscape: Any) -> ReferenceMinimum:
    return reference_minimum_at(landscape, landscape.minima()[0], 0, 8)


def recorded(
    landscape: Any,
    path: Path,
    sampling: Any = "iid",
    enough: Any = lambda _: False,
    recipe: MeasurementSchedule = RECIPE,
    replicas: int = 5,
) -> Trajectory:
    path.mkdir(exist_ok=True)
    sgd = SGD(1, 8, 0.01, Constant(), 0.5, sampling=sampling)
    return measure_trajectory(
        UnitFolder(path, Unit("cloud", {})),
        landscape,
        ground_of(landscape),
        sgd,
        recipe,
        replicas,
        3,
        torch.float32,
        enough,
    )


def test_records_are_where_the_recipe_says(tmp_path: Path) -> None:
    found = recorded(BOWL, tmp_path / "a")
    assert found.steps.tolist() == [15 + 3 * k for k in range(12)]
    assert found.losses.shape == (12, 5) and found.positions.shape == (12, 5, 2)
    assert (
        found.early_steps[0] == 1
        and found.early_steps[-1] == 12
        and found.early_positions.shape[1:] == (5, 2)
    )


def test_it_stops_when_there_is_enough(tmp_path: Path) -> None:
    assert len(recorded(BOWL, tmp_path / "a", enough=lambda t: len(t.steps) >= 8).steps) == 8


def test_memory_is_independent_of_the_number_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the steps: as many records as fit, evenly spaced, and the very ones that a run
    without a limit has there."""
    long = replace(RECIPE, windows=30)
    whole = recorded(BOWL, tmp_path / "whole", recipe=long)
    held, kept = [], []

    def enough(trajectory: Trajectory) -> bool:
        held.append(len(trajectory.steps))
        return False

    monkeypatch.setattr(schedules, "MOST", 4)
    monkeypatch.setattr(units, "CHECKPOINT_SECONDS", 0.0)  # after every step
    real = UnitFolder.save
    monkeypatch.setattr(
        UnitFolder,
        "save",
        lambda *args: (kept.append(sum(x.numel() for x in args[1].values())), real(*args)),
    )
    for name, recipe in (("short", replace(RECIPE, windows=4)), ("long", long)):
        held.clear()
        kept.clear()
        found = recorded(BOWL, tmp_path / name, enough=enough, recipe=recipe)
        assert (
            max(held) == 16
            and max(kept)
            == 16 * 5 * (13 + 3 * 2) + len(found.early_steps) * 5 * 2 + 2 * 5 * 2 + 5 * 5
        )
    apart = int(found.steps[1] - found.steps[0])
    assert (
        apart == 3 * 8
        and found.steps[0] == RECIPE.burn_in + apart
        and (np.diff(found.steps) == apart).all()
    )
    assert 8 <= len(found.steps) <= 16 and found.steps[-1] + apart > long.steps
    at = np.searchsorted(whole.steps, found.steps)
    for name in RECORDED:
        assert np.array_equal(getattr(whole, name)[at], getattr(found, name)), name


@pytest.mark.parametrize(
    ("landscape", "sampling", "most"),
    [(BOWL, "iid", 64), (BOWL, "iid", 2), (REGRESSION, "iid", 64), (REGRESSION, "epoch", 2)],
)
def test_interrupted_anywhere_it_gives_the_same_records(
    landscape: Any, sampling: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "MOST", most)
    whole = recorded(landscape, tmp_path / "whole", sampling)
    real, calls = UnitFolder.keep, [0]

    def keep(self: UnitFolder, *args: Any) -> None:
        calls[0] += 1
        interrupt._Stop.requested = calls[0] % 7 == 0
        try:
            real(self, *args)
        finally:
            interrupt._Stop.requested = False

    monkeypatch.setattr(UnitFolder, "keep", keep)
    stops = 0
    while True:
        try:
            parts = recorded(landscape, tmp_path / "parts", sampling)
            break
        except Interrupted:
            stops += 1
    assert stops >= 5
    for name in (*RECORDED, "early_positions", "steps", "early_steps"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


def test_a_record_belongs_to_the_point_where_the_step_began() -> None:
    theta = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    (state,) = SGD(1, 8, 0.1, Constant()).run(BOWL, SGDState(0, theta, torch.zeros_like(theta)), 0)
    found = measure(
        BOWL,
        state,
        SGD(1, 8, 0.1, Constant()),
        torch.zeros(2).double(),
        torch.eye(2).double(),
        stream(0),
    )
    assert float(found["losses"]) == pytest.approx(float(BOWL.losses(theta)), rel=1e-12)
    assert float(found["virials"]) == pytest.approx(2 * float(BOWL.losses(theta)), rel=1e-12)
    assert float(found["noise_norms_squared"]) == pytest.approx(
        float((state.velocity - theta * BOWL.spectrum).square().sum())
    )


def test_lost_replicas_are_left_out(tmp_path: Path) -> None:
    found = recorded(BOWL, tmp_path / "a")
    losses = found.losses.copy()
    losses[5:, 2] = np.inf
    spoilt = Trajectory(**{**vars(found), "losses": losses})
    assert spoilt.finite().replicas == 4 and spoilt.finite().early_positions.shape[1] == 4
    losses[:] = np.nan
    assert Stationarity(4)(spoilt).why == "5 of 5 replicas are not finite"


def test_a_cloud_that_still_spreads_is_not_stationary(tmp_path: Path) -> None:
    verdict = Stationarity(4)(recorded(BOWL, tmp_path / "a", replicas=64))  # five could not tell
    assert verdict.first is None and "not stationary" in verdict.why
