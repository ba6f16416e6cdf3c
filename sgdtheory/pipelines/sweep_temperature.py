"""`sgdtheory sweep-temperature`: SGD is a cloud, and the cloud has a temperature."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge

from sgdtheory.annotations import BelowOne, Fraction, NonNegativeInt, Place, PositiveFloat
from sgdtheory.diagnostics.columns import columns_of, names_of
from sgdtheory.diagnostics.diagnostic import Diagnostic, refuse_unfit, units_of
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.optim.sampling import Sampling
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND, Checkpoint
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.finished import all_finished
from sgdtheory.pipelines.minima_file import STARTS, kept_beside
from sgdtheory.pipelines.optimiser import Optimiser, without_repeats
from sgdtheory.pipelines.starting_points import Given, given, given_on_paths
from sgdtheory.pipelines.sweep_costs import SweepCosts
from sgdtheory.pipelines.sweep_sites import (
    Draws,
    Grounds,
    Site,
    SiteUnits,
    bottom_of,
    cell_rows,
    cells_to_come,
    minima_rows,
    reference_minima,
    refuse_batches,
    refuse_points,
)
from sgdtheory.pipelines.swept_optimiser import second_moment_of
from sgdtheory.protocol import Dtype, Landscape, dtype_of
from sgdtheory.rng import key
from sgdtheory.roles.closed_forms import states_minima
from sgdtheory.roles.facts import device_of, title_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.tensors import Tensors
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Results
from sgdtheory.temperature.cell import Cell, SecondMoment
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.claims import claims_of, numbers_of
from sgdtheory.temperature.estimators.estimator import Estimator
from sgdtheory.temperature.grid import Grid
from sgdtheory.temperature.measured_minimum import reference_minimum_at, reference_of_adam
from sgdtheory.temperature.minimisation import find_minimum
from sgdtheory.temperature.quench import quench
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.visible_epsilon import refuse_epsilon


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

    `sgd`: the optimiser of the cells. Adam's cloud is measured in the coordinates in which Adam is
    SGD where noise dominates, against η/2√b (see `AdamOfNoise`); refused where ε is seen.
    """

    landscape: Landscape
    sweep: Grid
    replicas: Annotated[int, Ge(2)] = 32
    precision: PositiveFloat = 0.02
    momentum: BelowOne = 0.0
    sampling: Sampling = "iid"
    steps: Annotated[int, Ge(100)] = 60_000
    sgd: Optimiser | None = None
    minima: Annotated[tuple[Path, ...] | None, Place] = None  # the identity has what they hold
    checkpoint: Annotated[Checkpoint, Place] = AS_FOUND
    at: tuple[Fraction, ...] | None = None
    estimator: dict[str, Estimator] = field(default_factory=dict)
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        refuse_batches(self.landscape, self.sampling, max(self.sweep.batch_size))
        refuse_points(self.landscape, self.at, self.minima)
        refuse_unfit(self.diagnostic, self.landscape)
        is_adam = self.second_moment is not None
        if self.minima is not None:
            assert self.given is not None
            object.__setattr__(self, "landscape", self.given.landscape)
        elif states_minima(self.landscape) and not is_adam:
            # others are checked when the minimum is known
            theta = self.landscape.minima()[0].double()
            (highest,), _ = top_eigenpairs(self.landscape, theta, 1)
            self.sweep.check(float(highest), self.momentum)

    def units(self, run: Run) -> list[Unit]:
        sites = self._sites(run)
        minima = [site.unit for site in sites]
        if not all_finished(run, minima):
            return minima
        cells = list(self._cells(sites, reference_minima(run, sites)))
        recorded = [unit for unit, _, _ in cells]
        quenched = filter(None, self._quenches(run, cells))
        measured = units_of(self.diagnostic, self.landscape, minima, run)
        return [*minima, *measured, *recorded, *quenched]

    def _record(self, cell: Cell, draws: Draws, folder: UnitFolder) -> None:
        """Record the cloud of one cell."""
        (minimum,) = folder.needed()
        ground = ReferenceMinimum.kept_in(minimum.clouds())
        seed = key(self.seed, "cell", *cell.settings.values(), *draws)
        landscape = ground.coordinates(self.landscape)
        trajectory = cell.measure(folder, landscape, ground, seed, dtype_of(self.dtype))
        folder.finish({}, trajectory.tensors())

    def _measure(self, index: int, batch_size: int, folder: UnitFolder) -> None:
        """The minimum, and all that is known there."""
        folder.tell(0.0, "looking for the minimum")
        start = None
        if self.given is not None:
            start = self.given.points[index].to(device_of(self.landscape))
        theta = find_minimum(self.landscape, start, self.seed)
        folder.tell(0.6, "measuring the minimum")
        above = None if self.at is None else start
        measure = reference_minimum_at if self.second_moment is None else reference_of_adam
        ground = measure(self.landscape, theta, self.seed, batch_size, start=above)
        folder.finish({}, {**ground.tensors(), "minima": theta[None]})

    def _quench(self, cell: Cell, draws: Draws, folder: UnitFolder) -> None:
        """Let some points of a finished cell down."""
        recorded, minimum = folder.needed()
        ground = ReferenceMinimum.kept_in(minimum.clouds())
        like = torch.empty(0, dtype=dtype_of(self.dtype), device=device_of(self.landscape))
        snapshots = recorded.clouds()["snapshots"].to(like)
        seed = key(self.seed, "quench", *cell.settings.values(), *draws)
        bottom = quench(self.landscape, snapshots, ground.groups, cell.batch_size, seed, folder)
        folder.finish({"bottom": bottom}, {})

    def finish(self, run: Run) -> Results:
        sites = self._sites(run)
        known = reference_minima(run, sites)
        title = title_of(self.landscape)
        if len(known) < len(sites):
            return Results(claims_of([], title), {})
        thetas = torch.stack([ground.weights_at_minimum for ground in known.values()])
        first = known[sites[0].number_and_size]
        starts = None if self._from_files is None else self._from_files.points
        beside = kept_beside(self.landscape, starts)
        clouds: dict[str, Tensors] = {
            "minima.safetensors": {"minima": thetas, **beside},
            "ground.safetensors": first.tensors(),
        }
        cells = list(self._cells(sites, known))
        described = []
        for (unit, cell, site), quenching in zip(cells, self._quenches(run, cells), strict=True):
            if run.result(unit) is None:
                continue
            tensors = run.folder(unit).clouds()
            name = f"{site.number}-{cell.name}" if site.number else cell.name
            clouds[f"trajectories/{name}.safetensors"] = tensors
            ground = known[site.number_and_size]
            landscape = ground.coordinates(self.landscape)
            trajectory = cell.trajectory_from(tensors, landscape, ground)
            bottom = None if quenching is None else bottom_of(run.result(quenching))
            row = describe_cell(cell, landscape, ground, trajectory, self.estimator, bottom)
            described.append((site, row))
        rows = cell_rows(described, known)
        measured = units_of(self.diagnostic, self.landscape, [site.unit for site in sites], run)
        columns = columns_of(measured, run, len(sites))
        minima = minima_rows(sites, known, columns, self._from_files)
        numbers = {**numbers_of(rows), **names_of(measured, run)}
        return Results(claims_of(rows, title), {"cells": rows, "minima": minima}, numbers, clouds)

    def plan(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs; cells of a minimum that is not known are guessed."""
        sites = self._sites(run)
        grounds = reference_minima(run, sites)
        cells = list(self._cells(sites, grounds))
        costs = self._costs.of_known(pending, cells, grounds)
        for name, size in cells_to_come(sites, grounds, self.sweep):
            costs.append((name, self._costs.of_cell(self.cell(1e-6, size), None)))
        return costs

    def to_come(self, run: Run) -> list[str]:
        sites = self._sites(run)
        grounds = reference_minima(run, sites)
        return [name for name, _ in cells_to_come(sites, grounds, self.sweep)]

    @cached_property
    def second_moment(self) -> SecondMoment | None:
        """Adam's; None: SGD."""
        if self.sgd is None:
            return None
        same = {"momentum": self.momentum, "sampling": self.sampling, "steps": self.steps}
        return second_moment_of(self.sgd, same, self.landscape)

    @property
    def _costs(self) -> SweepCosts:
        dtype = dtype_of(self.dtype)
        return SweepCosts(self.landscape, dtype, self.replicas, self.steps, self.seed)

    @cached_property
    def given(self) -> Given | None:
        """The points as they were read, that clouds start from, or that the minima below which they
        do are looked for from; None where the command finds its own."""
        if self.minima is None and not states_minima(self.landscape):
            return None
        is_of_sweep = self.checkpoint.key == STARTS
        if self.minima is not None and self.at is not None and not is_of_sweep:
            return given_on_paths(self.landscape, self.minima, self.at)
        dtype = dtype_of(self.dtype)
        return given(self.landscape, self.minima, self.checkpoint, dtype)

    @property
    def _from_files(self) -> Given | None:
        """The points that files hold; None where no file was named."""
        if self.minima is None:
            return None
        return self.given

    @property
    def said(self) -> list[str]:
        """What was taken of each file, a line each."""
        if self._from_files is None:
            return []
        return self._from_files.said

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity: the points themselves in the place of files, and of the optimiser
        what is its own."""
        own = ("_target_", *vars(self.second_moment)) if self.second_moment else ()
        science = without_repeats(science, own)
        if self._from_files is None:
            return science
        return self._from_files.identity(science)

    def _sites(self, run: Run) -> list[Site]:
        """The units that find the minima; those that are given are known by their content."""
        points: list[str | None] = [None]
        if self._from_files is not None:
            points = [digest_of(theta) for theta in self._from_files.points]
        sizes = [0]
        if not is_additive(self.landscape):
            sizes = list(self.sweep.batch_size)
        landscape = run.science["landscape"]
        what = {"landscape": landscape, "seed": self.seed, "polished": self.at is None}
        what["minimum"] = "restarted, and looked below"
        if self.second_moment is not None:
            what["coordinates"] = "of the noise"
        units = SiteUnits(what, self._measure, self._costs.of_minimum, min(self.sweep.batch_size))
        return units.below(points, sizes)

    def _cells(self, sites: list[Site], grounds: Grounds) -> Iterator[tuple[Unit, Cell, Site]]:
        for site in sites:
            ground = grounds.get(site.number_and_size)
            if ground is None:
                continue
            largest = max(self.sweep.batch_size)
            refuse_epsilon(ground, self.second_moment, largest)
            top = ground.steepest
            gain = self.cell(1.0, largest).sgd.rate
            for rate in self.sweep.learning_rates(top, self.momentum, not ground.has_minimum, gain):
                for size in site.sizes(self.sweep.batch_size):
                    cell = self.cell(rate, size)
                    config = {**cell.identity, "dtype": self.dtype, "seed": self.seed}
                    work = partial(self._record, cell, site.draws)
                    cost = partial(self._costs.of_cell, cell, None)
                    yield site.unit_of(cell, config, work, cost), cell, site

    def _quenches(self, run: Run, cells: list[tuple[Unit, Cell, Site]]) -> list[Unit | None]:
        """The units that quench points of finished cells, None for cells that are not done or have
        a minimum."""
        quenches: list[Unit | None] = []
        for unit, cell, site in cells:
            if not site.batch_size or run.result(unit) is None:
                quenches.append(None)
                continue
            work = partial(self._quench, cell, site.draws)
            quenches.append(site.quench_of(unit, work, self._costs.of_quench))
        return quenches

    def cell(self, rate: float, size: int) -> Cell:
        """The cell of a learning rate and a batch size."""
        measured = (self.replicas, self.precision, self.steps)
        return Cell(rate, size, self.momentum, self.sampling, *measured, self.second_moment)
