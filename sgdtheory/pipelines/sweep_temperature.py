"""`sgdtheory sweep-temperature`: SGD is a cloud, and the cloud has a temperature."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge

from sgdtheory.cell import Cell, describe_cell
from sgdtheory.curvature import top_modes
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, diagnose, units_of
from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.grid import Grid
from sgdtheory.ground import Ground, find_minimum, ground_at
from sgdtheory.kinds import BelowOne, Content, Positive, Whole
from sgdtheory.landscape import Landscape
from sgdtheory.measured import Results
from sgdtheory.minima import digest_of, minima_of
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.sampling import Sampling
from sgdtheory.streams import key, stream
from sgdtheory.temperature.estimator import Estimator
from sgdtheory.temperature.verdict import claims_of, numbers_of

GUESS = 3000  # steps of a cell before its minimum is known


@dataclass(frozen=True)
class SweepTemperature:
    """T of SGD's noise over learning rates and batch sizes, against the law η/2b(1−μ) (Chaudhari & Soatto 2018, 1710.11029).

    First a unit finds the minimum θ* and measures curvature, noise and relaxation there. Then every cell of the grid is a
    unit: `replicas` points start at θ*, burn in, and are looked at until T is known to the relative error `precision`, or
    `steps` are spent. A cell that is not stationary gets no number and says why. Estimators read what was recorded; they
    are no part of a cell.
    """

    landscape: Landscape
    sweep: Grid
    replicas: Annotated[int, Ge(2)] = 32
    precision: Positive = 0.02
    momentum: BelowOne = 0.0
    sampling: Sampling = "iid"
    steps: Annotated[int, Ge(100)] = 60_000
    minima: Annotated[tuple[Path, ...] | None, Content] = None
    estimator: dict[str, Estimator] = field(default_factory=dict)
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: Whole = 0

    def __post_init__(self) -> None:
        count = getattr(self.landscape, "count", None)
        if count is None and self.sampling != "iid":
            raise Mistake(f"sampling={self.sampling} needs examples, and this landscape has none; use iid")
        if count is not None and max(self.sweep.batch_size) > count:
            raise Mistake(f"sweep.batch_size={max(self.sweep.batch_size)} is more than the {count:,} training examples")
        if getattr(getattr(self.landscape, "data", None), "augment", "none") != "none":
            raise Mistake("data.augment: with random images the minimum of the objective is not known; use none")
        if self.minima is None and hasattr(self.landscape, "minima"):  # others are checked when the minimum is known
            curvatures, _ = top_modes(self.landscape, self.landscape.minima()[0].double(), 1)
            self.sweep.check(float(curvatures[0]), self.momentum)

    def units(self, run: Run) -> list[Unit]:
        first = self._first(run)
        ground = _ground(run.folder(first))
        if ground is None:
            return [first]
        return [first, *units_of(self.diagnostic, [first], run), *(unit for unit, _ in self._cells(run, ground))]

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if "diagnostic" in unit.science:
            diagnose(self.diagnostic, self.landscape, folder)
        elif "cell" in unit.science:
            first = Unit("minimum", unit.science["minimum"])
            ground = _ground(UnitFolder(folder.path.parent / first.hash, first))
            assert ground is not None, "cells are asked for when the minimum is known"
            seed = key(self.seed, "cell", *unit.science["cell"].values())
            cell = Cell(**unit.science["cell"])
            trajectory = cell.record(folder, self.landscape, ground, seed, getattr(torch, self.dtype))
            folder.finish({}, trajectory.tensors())
        else:
            folder.tell(0.0, "looking for the minimum")
            size = min(self.sweep.batch_size)
            theta = find_minimum(self.landscape, self.minima, self.seed)
            folder.tell(0.6, "measuring the minimum")
            ground = ground_at(self.landscape, theta, self.seed, size)
            folder.finish({}, {**ground._asdict(), "minima": theta[None]})

    def finish(self, run: Run) -> Results:
        title = getattr(self.landscape, "title", type(self.landscape).__name__)
        ground = _ground(run.folder(self._first(run)))
        if ground is None:
            return Results(claims_of([], title), {})
        clouds: dict[str, Mapping[str, Any]] = {"minima.safetensors": {"minima": ground.theta[None]}}
        clouds["ground.safetensors"] = ground._asdict()
        cells = []
        for unit, cell in self._cells(run, ground):
            if run.result(unit) is not None:
                tensors = run.folder(unit).clouds()
                clouds[f"trajectories/{cell.name}.safetensors"] = tensors
                trajectory = cell.recorded(tensors, self.landscape, ground)
                cells.append(describe_cell(cell, self.landscape, ground, trajectory, self.estimator))
        measured = columns_of(units_of(self.diagnostic, [self._first(run)], run), run, 1)[0]
        minimum = {
            "name": "0",
            "objective": ground.loss,
            "gradient_norm": ground.gradient_norm,
            "top_curvature": ground.top_curvature,
        }
        minimum |= {"noise_trace": ground.noise_trace, "relaxation": ground.relaxation(0.01), **measured}
        return Results(claims_of(cells, title), {"cells": cells, "minima": [minimum]}, numbers_of(cells), clouds)

    def estimate(self, unit: Unit) -> Estimate:
        """A cell from five of its steps; the minimum as what follows it: all cells, at a guess of their steps."""
        rates = 1 if "cell" in unit.science else 4 if self.sweep.learning_rate == "auto" else len(self.sweep.learning_rate)
        cells = (
            [Cell(**unit.science["cell"])] if "cell" in unit.science else [self._cell(1e-6, b) for b in self.sweep.batch_size]
        )
        start = self.landscape.init(1, stream(self.seed, "init", 0)).to(getattr(torch, self.dtype))
        cloud = start.expand(self.replicas, -1).clone()
        found = [estimate_stage(self.landscape, replace(cell.sgd, steps=GUESS), cloud) for cell in cells]
        return Estimate(rates * sum(each.seconds for each in found), found[0].memory, found[0].disk)

    def _first(self, run: Run) -> Unit:
        """The unit that finds the minimum; one that is given is known by its content."""
        given = None if self.minima is None else digest_of(minima_of(self.landscape, self.minima)[0])
        what = {"landscape": run.science["landscape"], "minimum": given, "batch_size": min(self.sweep.batch_size)}
        return Unit("minimum", {**what, "seed": self.seed})

    def _cells(self, run: Run, ground: Ground) -> Iterator[tuple[Unit, Cell]]:
        first = self._first(run)
        for rate in self.sweep.learning_rates(ground.top_curvature, self.momentum):
            for size in self.sweep.batch_size:
                cell = self._cell(rate, size)
                what = {"minimum": first.science, "cell": vars(cell), "dtype": self.dtype, "seed": self.seed}
                yield Unit(f"cell-{cell.name}", what), cell

    def _cell(self, rate: float, size: int) -> Cell:
        return Cell(rate, size, self.momentum, self.sampling, self.replicas, self.precision, self.steps)


def _ground(folder: UnitFolder) -> Ground | None:
    return None if folder.result is None else Ground.kept_in(folder.clouds())
