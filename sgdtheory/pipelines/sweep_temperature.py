"""`sgdtheory sweep-temperature`: SGD is a cloud, and the cloud has a temperature."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import BelowOne, Fraction, NonNegativeInt, Place, PositiveFloat
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.landscape import Dtype, Landscape, dtype_of
from sgdtheory.optim.sampling import Sampling
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND, Checkpoint
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.minima_file import STARTS, constants_to_keep
from sgdtheory.pipelines.starting_points import Given, given, given_on_paths
from sgdtheory.pipelines.sweep_costs import SweepCosts
from sgdtheory.pipelines.sweep_sites import (
    Grounds,
    Site,
    SiteUnits,
    bottom_of,
    minimum_row,
    reference_minima,
    refuse_batches,
    refuse_points,
)
from sgdtheory.rng import key
from sgdtheory.roles.closed_forms import states_minima
from sgdtheory.roles.facts import device_of, title_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Results, Rows
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.claims import claims_of, numbers_of
from sgdtheory.temperature.estimators.estimator import Estimator
from sgdtheory.temperature.grid import Grid
from sgdtheory.temperature.quench import quench
from sgdtheory.temperature.reference_minimum import (
    ReferenceMinimum,
    find_minimum,
    reference_minimum_at,
)


@dataclass(frozen=True)
class SweepTemperature:
    """T of SGD's noise over learning rates and batch sizes, against the law η/2b(1−μ) (Chaudhari &
    Soatto 2018, 1710.11029).

    First a unit finds the minimum θ* and measures curvature, noise and relaxation there. Then every
    cell of the grid is a unit: `replicas` points start at θ*, burn in, and are looked at until T is
    known to the relative error `precision`, or `steps` are spent. A cell that is not stationary
    gets no number and says why. Estimators read what was recorded; they are no part of a cell.

    `minima`: files; every minimum in them gets a grid of its own. `at`: of files of paths, the
    points at these fractions of their lengths instead; clouds are let go there and measured against
    the minimum below. With batch norm every b has its own objective and ground, and no minimum:
    when a cell is done a unit more quenches some of its points.
    """

    landscape: Landscape
    sweep: Grid
    replicas: Annotated[int, Ge(2)] = 32
    precision: PositiveFloat = 0.02
    momentum: BelowOne = 0.0
    sampling: Sampling = "iid"
    steps: Annotated[int, Ge(100)] = 60_000
    minima: Annotated[tuple[Path, ...] | None, Place] = (
        None  # what they hold is part of the identity
    )
    checkpoint: Annotated[Checkpoint, Place] = AS_FOUND
    at: tuple[Fraction, ...] | None = None
    estimator: dict[str, Estimator] = field(default_factory=dict)
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        refuse_batches(self.landscape, self.sampling, max(self.sweep.batch_size))
        refuse_points(self.landscape, self.at, self.minima)
        if self.minima is not None:
            assert self.given is not None
            object.__setattr__(self, "landscape", self.given.landscape)
        elif states_minima(self.landscape):  # others are checked when the minimum is known
            curvatures, _ = top_eigenpairs(self.landscape, self.landscape.minima()[0].double(), 1)
            self.sweep.check(float(curvatures[0]), self.momentum)

    def units(self, run: Run) -> list[Unit]:
        sites = self._sites(run)
        first = [site.unit for site in sites]
        if any(run.result(unit) is None for unit in first):
            return first
        cells = list(self._cells(sites, reference_minima(run, sites)))
        quenched = [unit for unit in self._quenches(run, cells) if unit is not None]
        return [
            *first,
            *units_of(self.diagnostic, self.landscape, first, run),
            *(unit for unit, _, _ in cells),
            *quenched,
        ]

    def _record(self, cell: Cell, folder: UnitFolder) -> None:
        """Record the cloud of one cell."""
        (minimum,) = folder.needed()
        ground = ReferenceMinimum.kept_in(minimum.clouds())
        seed = key(self.seed, "cell", *vars(cell).values())
        trajectory = cell.measure(folder, self.landscape, ground, seed, dtype_of(self.dtype))
        folder.finish({}, trajectory.tensors())

    def _measure(self, index: int, batch_size: int, folder: UnitFolder) -> None:
        """The minimum, and all that is known there."""
        folder.tell(0.0, "looking for the minimum")
        starts = self._starts
        start = None if starts is None else starts[index].to(device_of(self.landscape))
        theta = find_minimum(self.landscape, start, self.seed)
        folder.tell(0.6, "measuring the minimum")
        above = None if self.at is None else start
        ground = reference_minimum_at(self.landscape, theta, self.seed, batch_size, start=above)
        folder.finish({}, {**ground._asdict(), "minima": theta[None]})

    def _quench(self, cell: Cell, folder: UnitFolder) -> None:
        """Let some points of a finished cell down."""
        recorded, minimum = folder.needed()
        ground = ReferenceMinimum.kept_in(minimum.clouds())
        like = torch.empty(0, dtype=dtype_of(self.dtype), device=device_of(self.landscape))
        snapshots = recorded.clouds()["snapshots"].to(like)
        seed = key(self.seed, "quench", *vars(cell).values())
        found = quench(self.landscape, snapshots, ground.groups, cell.batch_size, seed, folder)
        folder.finish({"bottom": found}, {})

    def finish(self, run: Run) -> Results:
        sites = self._sites(run)
        known = reference_minima(run, sites)
        if len(known) < len(sites):
            return Results(claims_of([], title_of(self.landscape)), {})
        cells = list(self._cells(sites, known))
        rows, trajectories = [], {}
        for (unit, cell, site), quenching in zip(cells, self._quenches(run, cells), strict=True):
            if run.result(unit) is None:
                continue
            tensors = run.folder(unit).clouds()
            name = cell.name if site.number == 0 else f"{site.number}-{cell.name}"
            trajectories[f"trajectories/{name}.safetensors"] = tensors
            ground = known[site.number_and_size]
            trajectory = cell.trajectory_from(tensors, self.landscape, ground)
            bottom = bottom_of(None if quenching is None else run.result(quenching))
            row = describe_cell(cell, self.landscape, ground, trajectory, self.estimator, bottom)
            rows.append({"minimum": site.number, **row})
        first = known[sites[0].number_and_size]
        thetas = torch.stack([ground.theta for ground in known.values()])
        clouds = {
            "minima.safetensors": {"minima": thetas, **self._kept},
            "ground.safetensors": first._asdict(),
            **trajectories,
        }
        tables = {"cells": rows, "minima": self._minima(run, known)}
        claims = claims_of(rows, title_of(self.landscape))
        return Results(claims, tables, numbers_of(rows), clouds)

    def _minima(self, run: Run, grounds: Grounds) -> Rows:
        """A row for each minimum below which clouds were let go, with diagnostics and source."""
        sites = self._sites(run)
        units = units_of(self.diagnostic, self.landscape, [site.unit for site in sites], run)
        measured = columns_of(units, run, len(sites))
        rows = []
        for site, columns in zip(sites, measured, strict=True):
            row = minimum_row(site, grounds[site.number_and_size]) | columns
            if self.minima is not None and self.given is not None:
                row["source"] = self.given.sources[site.number]
            rows.append(row)
        return rows

    @property
    def _kept(self) -> Mapping[str, Tensor]:
        """What is kept beside the minima that were found: where they were looked for from, and
        constants."""
        kept = constants_to_keep(self.landscape)
        if self.minima is None or self.given is None:
            return kept
        return {STARTS: self.given.points, **kept}

    def foresee(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs; cells that are not known before the minimum is are
        guessed."""
        sites = self._sites(run)
        grounds = reference_minima(run, sites)
        cells = list(self._cells(sites, grounds))
        asked = {unit.hash for unit in pending}
        recorded = {unit.hash for unit, _, _ in cells}
        costs = [
            (unit.name, (unit.cost or self._costs.of_minimum)())
            for unit in pending
            if unit.hash not in recorded
        ]
        for unit, cell, site in cells:
            if unit.hash in asked:
                cost = self._costs.of_cell(cell, grounds[site.number_and_size])
                costs.append((unit.name, cost))
        for site in sites:
            if site.number_and_size not in grounds:
                for size in site.sizes(self.sweep.batch_size):
                    cost = self._costs.of_cell(self._cell(1e-6, size), None)
                    costs += [(f"cell-{rate}-{size}", cost) for rate in self.sweep.rates_in_words]
        return costs

    @property
    def _costs(self) -> SweepCosts:
        return SweepCosts(
            self.landscape, dtype_of(self.dtype), self.replicas, self.steps, self.seed
        )

    @cached_property
    def _starts(self) -> Tensor | None:
        """The points [P, n] that clouds start from, or that the minima below which they do are
        looked for from."""
        if self.given is None:
            return None
        return self.given.points if self.minima is not None else self.given.points[:1]

    @cached_property
    def given(self) -> Given | None:
        """The points as they were read; None where the command finds its own."""
        if self.minima is not None and self.at is not None and self.checkpoint.key != STARTS:
            return given_on_paths(self.landscape, self.minima, self.at)
        if self.minima is None and not states_minima(self.landscape):
            return None
        return given(self.landscape, self.minima, self.checkpoint, dtype_of(self.dtype))

    @property
    def said(self) -> list[str]:
        """What was taken of each file, a line each."""
        return [] if self.minima is None or self.given is None else self.given.said

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity: the points themselves in the place of files."""
        return (
            science if self.minima is None or self.given is None else self.given.identity(science)
        )

    def _sites(self, run: Run) -> list[Site]:
        """The units that find the minima; those that are given are known by their content."""
        starts = self._starts
        points: list[str | None] = [None]
        if self.minima is not None and starts is not None:
            points = [digest_of(theta) for theta in starts]
        sizes = [0] if is_additive(self.landscape) else list(self.sweep.batch_size)
        what = {
            "landscape": run.science["landscape"],
            "seed": self.seed,
            "polished": self.at is None,
        }
        units = SiteUnits(what, self._measure, self._costs.of_minimum, min(self.sweep.batch_size))
        return units.below(points, sizes)

    def _cells(self, sites: list[Site], grounds: Grounds) -> Iterator[tuple[Unit, Cell, Site]]:
        for site in sites:
            ground = grounds.get(site.number_and_size)
            if ground is None:
                continue
            top, adapts = ground.top_curvature, not ground.has_minimum
            for rate in self.sweep.learning_rates(top, self.momentum, adapts):
                for size in site.sizes(self.sweep.batch_size):
                    cell = self._cell(rate, size)
                    config = {"cell": vars(cell), "dtype": self.dtype, "seed": self.seed}
                    cost = partial(self._costs.of_cell, cell, None)
                    yield site.unit_of(cell, config, partial(self._record, cell), cost), cell, site

    def _quenches(self, run: Run, cells: list[tuple[Unit, Cell, Site]]) -> list[Unit | None]:
        """The units that quench points of finished cells, None for cells that are not done or have
        a minimum."""
        found: list[Unit | None] = []
        for unit, cell, site in cells:
            if not site.batch_size or run.result(unit) is None:
                found.append(None)
                continue
            work = partial(self._quench, cell)
            found.append(site.quench_of(unit, work, self._costs.of_quench))
        return found

    def _cell(self, rate: float, size: int) -> Cell:
        return Cell(
            rate, size, self.momentum, self.sampling, self.replicas, self.precision, self.steps
        )
