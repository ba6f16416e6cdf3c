"""Where a cloud without a minimum comes to lie, and what is said of a cell then."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sgdtheory.errors import RunError
from sgdtheory.geometry.scale_invariance import scale_invariant
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import values
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.quench import QuenchResult, quench
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import Trajectory
from tests.sweep.test_invariance import DECAY, normed

SIZE = 100
EXCESS = {"excess_loss": ExcessLoss()}


def test_points_are_let_down_and_weighed(tmp_path: Path) -> None:
    landscape = normed()
    groups, points = scale_invariant(landscape, stream(0)), landscape.init(3, stream(1))
    found = QuenchResult(
        **quench(landscape, points, groups, SIZE, 0, UnitFolder(tmp_path, Unit("quench", {})))
    )
    bare = values(GhostBatchObjective(landscape, SIZE, stream(0)), points) - DECAY / 2 * points[
        :, groups > 0
    ].square().sum(1)  # type: ignore[arg-type]
    assert (
        found.loss < found.loss_half < float(bare.mean())
        and 0 < found.loss_stderr < 0.1 * found.loss
    )
    assert found.noise_trace > 0 and found.time > 0 and found.top_curvature > 0


def test_points_that_are_lost_cannot_be(tmp_path: Path) -> None:
    landscape = normed()
    groups = scale_invariant(landscape, stream(0))
    with pytest.raises(RunError, match="fewer than two snapshots"):
        quench(
            landscape,
            torch.full((3, landscape.dim), torch.nan),
            groups,
            SIZE,
            0,
            UnitFolder(tmp_path, Unit("quench", {})),
        )


def cell_and_cloud(path: Path, rate: float) -> tuple[Cell, Quadratic, ReferenceMinimum, Trajectory]:
    bowl = Quadratic((1.0, 0.5))
    ground = reference_minimum_at(bowl, bowl.minima()[0], 0, 8)
    cell = Cell(rate, 8, 0.0, "iid", 64, 0.02, 2000)
    return (
        cell,
        bowl,
        ground,
        cell.measure(UnitFolder(path, Unit("cell", {})), bowl, ground, 0, torch.float64),
    )


def test_a_rate_close_to_the_limit_is_out_of_the_harmonic_range(tmp_path: Path) -> None:
    """On a quadratic itself T is exact there; nothing else is a quadratic."""
    row = describe_cell(*cell_and_cloud(tmp_path, 1.2), EXCESS)
    assert (
        row["stationary"]
        and not row["harmonic"]
        and "ηh_max is 0.60 of the stable limit" in row["why"]
    )
    assert row["stability"] == pytest.approx(0.6)


def test_a_quench_that_has_not_come_to_an_end_gives_no_number(tmp_path: Path) -> None:
    cell, bowl, ground, trajectory = cell_and_cloud(tmp_path, 0.2)
    trajectory = replace(trajectory, loss_at_minimum=None)
    height = float(trajectory.losses.mean())
    calm = QuenchResult(0.0, 0.01 * height, 0.02 * height, ground.noise_trace, 1.0, 9.0)
    row = describe_cell(cell, bowl, ground, trajectory, EXCESS, calm)
    found = row["temperature"]["excess_loss"]
    plain = ExcessLoss()(None, replace(trajectory, loss_at_minimum=0.0))["excess_loss"]
    assert (
        row["harmonic"] and found["value"] == plain.value and found["stderr"] > (plain.stderr or 0)
    )
    assert (
        row["quench_sensitivity"] == pytest.approx(-0.02, abs=0.005) and row["quench_time"] == 9.0
    )
    row = describe_cell(
        cell, bowl, ground, trajectory, EXCESS, calm._replace(loss_half=0.3 * height)
    )
    assert row["temperature"]["excess_loss"]["value"] is None and "no bottom" in row["why"]
    assert np.isfinite(row["quench_sensitivity"])
