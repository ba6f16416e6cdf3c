"""A burn-in that was cut short leaves noise cold, by which T of the records is too low."""

from dataclasses import replace
from functools import cache
from math import ceil, inf, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sgdtheory
from sgdtheory.protocol import Landscape
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.rows import Row
from sgdtheory.temperature.cell import BURNT, COLD, Cell, SecondMoment
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.doubts import LUKEWARM, doubt_of_warmth
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.minimisation import find_minimum
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import RECORDED, Trajectory, trajectory_of

SEEDS = 12
SHORT = Cell(0.005, 7, 0.0, "iid", 8, 0.02, 100)


@cache
def regression() -> tuple[Landscape, ReferenceMinimum]:
    """Least squares of 50 examples of three features, whose T/T_law is known."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 3, generator=source)
    targets = inputs @ torch.tensor([1.0, -2.0, 0.5]) + 0.7 * torch.randn(50, generator=source)
    landscape = sgdtheory.landscape(
        nn.Linear(3, 1), (inputs, targets), loss="mse", weight_decay=0.01
    )
    theta = find_minimum(landscape, None, 0)
    return landscape, reference_minimum_at(landscape, theta, 0, 7)


def row_of(cell: Cell, seed: int, path: Path) -> Row:
    landscape, ground = regression()
    folder = UnitFolder(path / f"{cell.steps}-{seed}", Unit("cell", {}))
    trajectory = cell.measure(folder, landscape, ground, seed, torch.float64)
    return describe_cell(cell, landscape, ground, trajectory, {"excess_loss": ExcessLoss()})


def test_the_memory_of_adam_delays_no_warming() -> None:
    """Its averages are corrected for their start: burn-in waits 3/(1 − β₂) = 3,000 steps for them,
    where that is not cut, and every record before was called 100 % cold."""
    _, ground = regression()
    plain = Cell(0.05, 7, 0.0, "iid", 8, 0.02, 6000)
    adam = replace(plain, second_moment=SecondMoment(0.999, 1e-8))
    assert adam.schedule(ground, 50).burn_in == 2000 > adam.warming(ground)
    assert adam.cold_after(2000, ground) < COLD


def test_what_is_cold_has_no_temperature(tmp_path: Path) -> None:
    """Of 34 steps of burn-in a quarter of the noise is cold, and most such cells were at rest by two
    windows, at 0.7 of the law. The steps that are named are enough: T/T_law then is
    1 within three errors of the mean over seeds, COLD at most below it for what is cold still, and
    ηh/2 at most above for steps that are finite."""
    _, ground = regression()
    rows = [row_of(SHORT, seed, tmp_path) for seed in range(SEEDS)]
    assert not any(row["stationary"] or row["temperature"]["excess_loss"]["value"] for row in rows)
    told = [row["why"] for row in rows if "still cold" in row["why"]]
    steps = ceil(BURNT * SHORT.warming(ground))
    ends = f"cold after a burn-in of 34 steps; steps={steps} is needed"
    assert len(told) > SEEDS // 2 and all(why.endswith(ends) for why in told), told
    enough = replace(SHORT, steps=steps)
    rows = [row_of(enough, seed, tmp_path) for seed in range(SEEDS)]
    ratios = [
        row["temperature"]["excess_loss"]["value"] / row["predicted"]
        for row in rows
        if row["stationary"]
    ]
    assert len(ratios) > SEEDS // 2  # chance takes one of a hundred and less
    error = np.std(ratios, ddof=1) / sqrt(len(ratios))
    finite = SHORT.learning_rate * ground.top_curvature / 2
    assert -COLD - 3 * error < np.mean(ratios) - 1 < finite + 3 * error < 0.2


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_how_much_is_cold_is_known_before(momentum: float, tmp_path: Path) -> None:
    """T of records that begin at θ* and are never left out is 1 − ⟨cold⟩ of the law: of 512
    replicas within three errors, where a tenth to a half is cold. With momentum what is said is
    the most: the velocity is given its time first."""
    landscape, ground = regression()
    cell = replace(SHORT, replicas=512, momentum=momentum)
    trajectory = cell.measure(
        UnitFolder(tmp_path, Unit("cell", {})), landscape, ground, 1, torch.float64
    )
    found = ExcessLoss()(landscape, trajectory)["excess_loss"].in_units_of(cell.predicted(50))
    cold = float(np.mean([cell.cold_after(int(step), ground) for step in trajectory.steps]))
    assert found.value is not None and found.stderr is not None and 0.05 < cold < 0.5
    room = 3 * found.stderr + cell.sgd.rate * ground.top_curvature / 2
    assert 1 - cold - room < found.value < (1 if momentum else 1 - cold) + room
    assert found.stderr < 0.03


def records_at(*steps: int) -> Trajectory:
    zeros = np.zeros((len(steps), 8))
    arrays = dict.fromkeys(RECORDED, zeros) | {"steps": np.array(steps), "early_steps": zeros[:0]}
    arrays["snapshots"] = zeros[:0]
    return trajectory_of(arrays, flat(1.0), SHORT.sgd, 50, 8)


def flat(curvature: float, share: float = 1.0) -> ReferenceMinimum:
    """A minimum with so much of its noise at this curvature, and the rest at 10."""
    _, ground = regression()
    weights = torch.tensor([share, 1 - share])
    return ground._replace(spectrum=torch.tensor([curvature, 10.0]), weights=weights)


@pytest.mark.parametrize(
    ("precision", "most"), [(1e-4, COLD), (0.02, COLD), (0.04, 0.02), (0.5, LUKEWARM)]
)
def test_as_much_may_be_cold_as_was_asked(precision: float, most: float) -> None:
    """All noise at h: c = e^(−2hηt); half of the precision is let pass, COLD at least, LUKEWARM at
    most. A burn-in that was not cut is never doubted."""
    cell = replace(SHORT, precision=precision, steps=400)
    last = cell._velocity + np.log(1 / most) / (2 * cell.learning_rate)
    assert not doubt_of_warmth(cell, flat(1.0), records_at(ceil(last) + 1))
    assert "% of the noise" in doubt_of_warmth(cell, flat(1.0), records_at(int(last) - 1))
    long = replace(cell, steps=ceil(BURNT * cell.warming(flat(1.0))))
    assert not doubt_of_warmth(long, flat(1.0), records_at(1))


def test_what_nothing_holds_stays_cold() -> None:
    why = doubt_of_warmth(replace(SHORT, steps=3000), flat(0.0, 0.2), records_at(2000))
    assert why == (
        "not stationary: 20 % of the noise is still cold after a burn-in of 1000 steps, and stays "
        "so: nothing curves along it"
    )
    assert flat(0.0, 0.2).relaxation(COLD) == inf
