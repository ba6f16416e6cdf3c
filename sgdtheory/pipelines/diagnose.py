"""`sgdtheory diagnose`: what can be said of points that one has. Nothing is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, Place, PositiveInt
from sgdtheory.diagnostics.columns import columns_of, names_of
from sgdtheory.diagnostics.diagnostic import Diagnostic, refuse_unfit, units_of
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.optim.cost import estimate_score
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND, Checkpoint
from sgdtheory.pipelines.diagnostic_costs import cost_of
from sgdtheory.pipelines.digests import digest_of, digest_of_all
from sgdtheory.pipelines.finished import all_finished
from sgdtheory.pipelines.starting_points import Given, given
from sgdtheory.pipelines.train import describe_point
from sgdtheory.protocol import Dtype, Landscape, TensorsByName, dtype_of
from sgdtheory.roles.examples import Split, count_of, network_of
from sgdtheory.roles.facts import title_of, unit_of_loss
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Results
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of

# parameters × examples from which `products` and `draws` hold: a second or so a product
LARGE = 10_000_000
MOST_FEW = (
    8  # products of a spectrum, at least: six of Lanczos, and two vectors whose scatter is an error
)
OWN = "own_statistics"
NO_STATISTICS = "the file holds no statistics of all batch norms"


@dataclass(frozen=True)
class Diagnose:
    """Points of runs or files, scored as `train` scores its own, with the columns of diagnostics
    beside.

    Where a file holds its own statistics of batch norm, what the points score with those stands
    beside what they score with recomputed ones: `train_loss_own_statistics` and the like.
    `products`, `draws`: on large landscapes, what a spectrum and the noise may cost a point; None:
    what they cost in other commands. Every point is a unit of work, and every diagnostic.
    """

    landscape: Landscape
    # what they hold is part of the identity
    minima: Annotated[tuple[Path, ...] | None, Place] = None
    checkpoint: Annotated[Checkpoint, Place] = AS_FOUND
    products: Annotated[int, Ge(MOST_FEW)] | None = 32
    draws: PositiveInt | None = 48
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.minima is None:
            raise UserError(
                "minima: must be given: minima=RUN, or files of weights (.safetensors, .pt, "
                ".ckpt, a folder, a glob)"
            )
        refuse_unfit(self.diagnostic, self.landscape)
        object.__setattr__(self, "landscape", self.given.landscape)

    @cached_property
    def given(self) -> Given:
        """The points as they were read."""
        dtype = dtype_of(self.dtype)
        minima = given(self.landscape, self.minima, self.checkpoint, dtype)
        points = minima.points
        if points.dtype != torch.float64:
            points = points.to(dtype)
        return minima._replace(points=points)

    @property
    def said(self) -> list[str]:
        """What was taken of each file, a line each."""
        return self.given.said

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity: the points themselves, and their own statistics, in the place of
        files."""
        return {**self.given.identity(science), "statistics": self._statistics}

    def units(self, run: Run) -> list[Unit]:
        points = self._points(run)
        if not all_finished(run, points):
            return points
        return points + self._measurements(points, run)

    def _score(self, index: int, folder: UnitFolder) -> None:
        """Score one point."""
        theta = self.given.points[index]
        statistics = self.given.statistics[index]
        row = describe_point(self.landscape, theta)
        row |= self._with_own_statistics(theta, statistics)
        folder.finish({"rows": [row]}, {"minima": theta[None]})

    def finish(self, run: Run) -> Results:
        points = self._points(run)
        measurements = self._measurements(points, run)
        measured = columns_of(measurements, run, len(points))
        rows = []
        for i, (unit, columns) in enumerate(zip(points, measured, strict=True)):
            source = self.given.sources[i]
            result = run.result(unit) or {"rows": []}
            for row in result["rows"]:
                rows.append({"name": str(i), **row, **columns, "source": source})
        tensors = {"minima": self.given.points, **self.given.stored()}
        clouds = {"minima.safetensors": tensors}
        numbers = names_of(measurements, run)
        return Results(self._claims(rows), {"minima": rows}, numbers, clouds)

    def plan(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs: diagnostics are asked for when the points are
        scored."""
        asked = {unit.name for unit in pending}
        points = asked.difference(self.diagnostic)
        of_point = estimate_score(self.landscape, self.given.points[:1])
        costs = [(name, of_point) for name in sorted(points)]
        for name, diagnostic in self.diagnostic.items():
            if points or name in asked:
                measured = self._affordable(diagnostic)
                costs.append((name, cost_of(measured, self.landscape, self.given.points)))
        return costs

    # units

    @cached_property
    def _statistics(self) -> list[str | None]:
        digests = []
        for statistics in self.given.statistics:
            digests.append(None if statistics is None else digest_of_all(statistics))
        return digests

    def _points(self, run: Run) -> list[Unit]:
        what = {"landscape": run.science["landscape"], "dtype": self.dtype, "score": True}
        units = []
        for i, theta in enumerate(self.given.points):
            content = {"point": digest_of(theta), "statistics": self._statistics[i]}
            config = {**what, "index": i, **content}
            units.append(Unit(f"point-{i}", config, partial(self._score, i)))
        return units

    def _measurements(self, points: list[Unit], run: Run) -> list[Unit]:
        """One unit a diagnostic; what it may cost is part of what it is."""
        affordable = {}
        for name, diagnostic in self.diagnostic.items():
            affordable[name] = self._affordable(diagnostic)
        units = []
        for unit in units_of(affordable, self.landscape, points, run):
            limit = self._limit(self.diagnostic[unit.name])
            if limit is not None:
                unit = replace(unit, config={**unit.config, "within": limit})
            units.append(unit)
        return units

    def _limit(self, diagnostic: Diagnostic) -> int | None:
        count = count_of(self.landscape) or 0
        if self.landscape.dim * count <= LARGE:
            return None
        if isinstance(diagnostic, Spectrum):
            return self.products
        if isinstance(diagnostic, Noise):
            return self.draws
        return None

    def _affordable(self, diagnostic: Diagnostic) -> Diagnostic:
        limit = self._limit(diagnostic)
        if limit is not None and isinstance(diagnostic, Spectrum):
            return diagnostic.within(limit)
        if limit is not None and isinstance(diagnostic, Noise):
            return replace(diagnostic, draws=min(limit, diagnostic.draws))
        return diagnostic

    # what is said

    def _with_own_statistics(self, theta: Tensor, own: TensorsByName | None) -> Row:
        """Scores with the statistics of batch norm that the file holds; null, with the reason,
        where there are none."""
        why = NO_STATISTICS
        if is_additive(self.landscape):
            why = "there is no batch norm"
        row: Row = {}
        splits: tuple[Split, ...] = ("train", "test")
        for split in splits:
            loss = Measured.nothing(why)
            error = loss
            if own is not None:
                network = network_of(self.landscape)
                buffers = {name: value.to(theta) for name, value in own.items()}
                score = network.score(theta[None], split, buffers=buffers)
                loss = Measured.mean(score.losses[0].cpu(), unit_of_loss(network))
                error = Measured.mean(score.errors[0].cpu())
            row |= loss.columns(f"{split}_loss_{OWN}")
            row |= error.columns(f"{split}_error_{OWN}")
        return row

    def _claims(self, rows: Rows) -> list[Claim]:
        """What was found, in words; nothing was expected, so there is no verdict."""
        title = title_of(self.landscape)
        if not rows:
            unknown = Measured.nothing("no unit finished")
            return [Claim("points", f"no point of {title}", unknown, "", None)]
        count = "a point"
        if len(rows) > 1:
            count = f"{len(rows)} points"
        facts = []
        if rows[0]["train_error"] is None:
            objectives = _range(column_of(rows, "objective"))
            facts.append(f"objective {objectives}")
        else:
            for name, split in SPLITS:
                errors = column_of(rows, f"{name}_error")
                percent = _range([100 * error for error in errors])
                facts.append(f"{split} error {percent} %")
        norms = [row["gradient_norm"] for row in rows if row["gradient_norm"] is not None]
        largest = Measured.nothing("no gradient is known: it is rounding, or not finite")
        if norms:
            facts.append(f"|∇objective| {_range(norms)}")
            largest = Measured(max(norms))
        found = ", ".join(facts)
        claim = Claim("points", f"{count} of {title}: {found}", largest, "", None)
        return [claim, *_of_statistics(rows)]


SPLITS = (("train", "training"), ("test", "test"))


def _range(values: list[float]) -> str:
    """0.31, or 0.31 … 0.35"""
    low = f"{min(values):.3g}"
    high = f"{max(values):.3g}"
    if low == high:
        return low
    return f"{low} … {high}"


def _of_statistics(rows: Rows) -> list[Claim]:
    """How much worse points do with their files' own statistics."""
    column = f"test_error_{OWN}"
    rises = []
    for row in rows:
        error = row.get(column)
        if error is not None:
            rises.append(error - row["test_error"])
    if not rises:
        return []
    percent = 100 * max(rises, key=abs)
    words = (
        f"with the files' own statistics of batch norm test errors move by "
        f"{percent:+.2f} percentage points at most"
    )
    moved = Measured(percent, None, "percentage points")
    return [Claim(OWN, words, moved, "", None)]
