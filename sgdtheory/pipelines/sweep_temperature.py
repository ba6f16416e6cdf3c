"""`sgdtheory sweep-temperature`: SGD is a cloud, and the cloud has a temperature."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import BelowOne, Fraction, NonNegativeInt, Place, PositiveFloat
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.landscape import Landscape
from sgdtheory.optim.cost import estimate_descent
from sgdtheory.optim.sampling import Sampling
from sgdtheory.pipelines.checkpoints import AS_FOUND, Checkpoint
from sgdtheory.pipelines.starting_points import (
    STARTS,
    Given,
    constants_to_keep,
    digest_of,
    given,
    given_on_paths,
)
from sgdtheory.pipelines.train import Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles import count_of, device_of, states_minima, title_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Results, in_full
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.claims import claims_of, numbers_of
from sgdtheory.temperature.cost import estimate_cell
from sgdtheory.temperature.estimators.estimator import Estimator
from sgdtheory.temperature.grid import Grid
from sgdtheory.temperature.quench import QuenchResult, quench
from sgdtheory.temperature.reference_minimum import (
    ReferenceMinimum,
    find_minimum,
    reference_minimum_at,
)

GUESS = 3000  # steps of a cell before its minimum is known
# of records that a cell takes until it is precise enough: two on a network at 2 %, eight on a few
# directions
WINDOWS = 4
DESCENT, QUENCHING = 1500, 200  # full-batch gradients that a minimum, and a quench, cost


class Site(NamedTuple):
    """Where clouds are let go, and what was measured there: the unit that does so, its number, and
    the b it is for (0: all)."""

    unit: Unit
    number: int
    batch_size: int


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
        count = count_of(self.landscape)
        if count is None and self.sampling != "iid":
            raise UserError(
                f"sampling={self.sampling} needs examples, and this landscape has none; use iid"
            )
        if count is not None and max(self.sweep.batch_size) > count:
            raise UserError(
                f"sweep.batch_size={max(self.sweep.batch_size)} is more than the {count:,} "
                f"training examples"
            )
        if getattr(getattr(self.landscape, "data", None), "augment", "none") != "none":
            raise UserError(
                "data.augment: with random images the minimum of the objective is not known; "
                "use none"
            )
        if self.at is not None and self.minima is None:
            raise UserError(
                "at: says where on a path, and there is none; give minima=RUN, a connect run"
            )
        if self.at == ():
            raise UserError(
                "at=[] names no point of a path: give at least one fraction of its length"
            )
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
        cells = list(self._cells(run))
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
        trajectory = cell.measure(folder, self.landscape, ground, seed, getattr(torch, self.dtype))
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
        like = torch.empty(0, dtype=getattr(torch, self.dtype), device=device_of(self.landscape))
        snapshots = recorded.clouds()["snapshots"].to(like)
        seed = key(self.seed, "quench", *vars(cell).values())
        found = quench(self.landscape, snapshots, ground.groups, cell.batch_size, seed, folder)
        folder.finish({"bottom": found}, {})

    def finish(self, run: Run) -> Results:
        title = title_of(self.landscape)
        sites = self._sites(run)
        grounds = [_ground(run.folder(site.unit)) for site in sites]
        if any(ground is None for ground in grounds):
            return Results(claims_of([], title), {})
        known = {
            site.unit.hash: ground
            for site, ground in zip(sites, grounds, strict=True)
            if ground is not None
        }
        first = [site.unit for site in sites]
        clouds: dict[str, Mapping[str, Any]] = {
            "minima.safetensors": {
                "minima": torch.stack([ground.theta for ground in known.values()]),
                **self._kept,
            },
            "ground.safetensors": known[first[0].hash]._asdict(),
        }
        cells = list(self._cells(run))
        rows = []
        for (unit, cell, site), letting in zip(cells, self._quenches(run, cells), strict=True):
            if run.result(unit) is None:
                continue
            tensors, ground = run.folder(unit).clouds(), known[site.unit.hash]
            name = cell.name if site.number == 0 else f"{site.number}-{cell.name}"
            clouds[f"trajectories/{name}.safetensors"] = tensors
            trajectory = cell.trajectory_from(tensors, self.landscape, ground)
            let_down = None if letting is None else run.result(letting)
            bottom = None if let_down is None else QuenchResult(**let_down["bottom"])
            row = describe_cell(cell, self.landscape, ground, trajectory, self.estimator, bottom)
            rows.append({"minimum": site.number, **row})
        measured = columns_of(
            units_of(self.diagnostic, self.landscape, first, run), run, len(sites)
        )
        minima = [
            _minimum(site, known[site.unit.hash]) | columns
            for site, columns in zip(sites, measured, strict=True)
        ]
        if self.minima is not None and self.given is not None:
            minima = [row | {"source": self.given.sources[int(row["name"])]} for row in minima]
        return Results(
            claims_of(rows, title), {"cells": rows, "minima": minima}, numbers_of(rows), clouds
        )

    @property
    def _kept(self) -> Mapping[str, Tensor]:
        """What is kept beside the minima that were found: where they were looked for from, and
        constants."""
        kept = constants_to_keep(self.landscape)
        return (
            kept
            if self.minima is None or self.given is None
            else {STARTS: self.given.points, **kept}
        )

    def _cost_of_minimum(self) -> Estimate:
        """From a full-batch gradient."""
        start = self.landscape.init(1, stream(self.seed, "init", 0))
        return estimate_descent(self.landscape, start.double(), DESCENT)

    def _cost_of_quench(self) -> Estimate:
        start = self.landscape.init(1, stream(self.seed, "init", 0))
        return estimate_descent(self.landscape, start.to(getattr(torch, self.dtype)), QUENCHING)

    def foresee(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs; cells that are not known before the minimum is are
        guessed."""
        grounds = {site.unit.hash: _ground(run.folder(site.unit)) for site in self._sites(run)}
        asked = {unit.hash for unit in pending}
        cells = list(self._cells(run))
        recorded = {unit.hash for unit, _, _ in cells}
        found = []
        for unit in pending:
            if unit.hash not in recorded:
                cost_of = unit.cost or self._cost_of_minimum
                found.append((unit.name, cost_of()))
        for unit, cell, site in cells:
            if unit.hash in asked:
                found.append((unit.name, self._cost(cell, grounds[site.unit.hash])))
        rates = [1e-6] * 4 if self.sweep.learning_rate == "auto" else self.sweep.learning_rate
        for site in self._sites(run):
            if grounds[site.unit.hash] is None:
                for size in [site.batch_size] if site.batch_size else self.sweep.batch_size:
                    cost = self._cost(self._cell(1e-6, size), None)
                    is_auto = self.sweep.learning_rate == "auto"
                    told = ("auto" if is_auto else in_full(rate) for rate in rates)
                    found += [(f"cell-{rate}-{size}", cost) for rate in told]
        return found

    def _cost(self, cell: Cell, ground: ReferenceMinimum | None) -> Estimate:
        """One step more and one look more are measured; how many there will be the ground says,
        else a guess."""
        steps, looks = GUESS, GUESS // 128
        if ground is not None:
            schedule = cell.schedule(ground, count_of(self.landscape))
            looks = schedule.window * min(WINDOWS, schedule.windows)
            steps = schedule.burn_in + schedule.thinning * looks
        start = self.landscape.init(1, stream(self.seed, "init", 0)).to(getattr(torch, self.dtype))
        sgd = replace(cell.sgd, learning_rate=1e-6, steps=min(steps, self.steps))
        return estimate_cell(self.landscape, sgd, start.expand(self.replicas, -1).clone(), looks)

    # units

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
        return given(self.landscape, self.minima, self.checkpoint, getattr(torch, self.dtype))

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
        points = (
            [None]
            if self.minima is None or starts is None
            else [digest_of(theta) for theta in starts]
        )
        sizes = [0] if is_additive(self.landscape) else list(self.sweep.batch_size)
        what = {
            "landscape": run.science["landscape"],
            "seed": self.seed,
            "polished": self.at is None,
        }
        found = []
        for index, point in enumerate(points):
            for size in sizes:
                name = (
                    "minimum"
                    + (f"-{index}" if len(points) > 1 else "")
                    + (f"-b{size}" if size else "")
                )
                batch_size = size or min(self.sweep.batch_size)
                asked = {"minimum": point, "index": index, "batch_size": batch_size}
                work = partial(self._measure, index, batch_size)
                unit = Unit(name, {**what, **asked}, work, cost=self._cost_of_minimum)
                found.append(Site(unit, index, size))
        return found

    def _cells(self, run: Run) -> Iterator[tuple[Unit, Cell, Site]]:
        for site in self._sites(run):
            ground = _ground(run.folder(site.unit))
            if ground is None:
                continue
            for rate in self.sweep.learning_rates(
                ground.top_curvature, self.momentum, adapts=not ground.has_minimum
            ):
                for size in [site.batch_size] if site.batch_size else self.sweep.batch_size:
                    cell = self._cell(rate, size)
                    what = {
                        "minimum": site.unit.config,
                        "cell": vars(cell),
                        "dtype": self.dtype,
                        "seed": self.seed,
                    }
                    prefix = f"cell-{site.number}" if site.number else "cell"
                    name, work = f"{prefix}-{cell.name}", partial(self._record, cell)
                    cost = partial(self._cost, cell, None)
                    yield Unit(name, what, work, (site.unit,), cost), cell, site

    def _quenches(self, run: Run, cells: list[tuple[Unit, Cell, Site]]) -> list[Unit | None]:
        """The units that quench points of finished cells, None for cells that are not done or have
        a minimum."""
        found: list[Unit | None] = []
        for unit, cell, site in cells:
            if not site.batch_size or run.result(unit) is None:
                found.append(None)
                continue
            name = unit.name.replace("cell", "quench", 1)
            config = {"quench": True, "of": unit.config}
            work, needs = partial(self._quench, cell), (unit, site.unit)
            found.append(Unit(name, config, work, needs, self._cost_of_quench))
        return found

    def _cell(self, rate: float, size: int) -> Cell:
        return Cell(
            rate, size, self.momentum, self.sampling, self.replicas, self.precision, self.steps
        )


def _minimum(site: Site, ground: ReferenceMinimum) -> dict[str, Any]:
    """A row about the bottom of the sweep."""
    size = {"batch_size": site.batch_size} if site.batch_size else {}
    numbers = {
        name: getattr(ground, name) for name in ("gradient_norm", "top_curvature", "noise_trace")
    }
    micro = ground.micro_batch_trace.columns("noise_trace_micro_batch")
    row: dict[str, Any] = {
        "name": str(site.number),
        **size,
        "objective": ground.loss,
        **numbers,
        **micro,
    }
    if ground.has_minimum:
        row["relaxation"] = ground.relaxation(0.01)
    return row


def _ground(folder: UnitFolder) -> ReferenceMinimum | None:
    return None if folder.result is None else ReferenceMinimum.kept_in(folder.clouds())
