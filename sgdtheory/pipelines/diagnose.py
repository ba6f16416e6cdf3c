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
from sgdtheory.diagnostics.critical import Criticality
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.sharpness import Sharpness
from sgdtheory.diagnostics.spectrum import BriefSpectrum, Spectrum
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.landscape import Landscape
from sgdtheory.optim.cost import estimate_score
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND, Checkpoint
from sgdtheory.pipelines.digests import digest_of, digest_of_all
from sgdtheory.pipelines.starting_points import Given, given
from sgdtheory.pipelines.train import Dtype, describe_point, dtype_of
from sgdtheory.roles.examples import Split, count_of, network_of
from sgdtheory.roles.facts import title_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Results, Row, Rows

# parameters × examples from which `products` and `draws` hold: a second or so a product
LARGE = 10_000_000
# a Hessian-vector product, and a gradient in float64, in gradients (measured, ResNet-20)
PRODUCT = 5
DOUBLE = 4
MOST_FEW = (
    8  # products of a spectrum, at least: six of Lanczos, and two vectors whose scatter is an error
)
LOOKS = 14  # gradients of ten iterations of L-BFGS-B
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
    minima: Annotated[tuple[Path, ...] | None, Place] = (
        None  # what they hold is part of the identity
    )
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
        object.__setattr__(self, "landscape", self.given.landscape)

    @cached_property
    def given(self) -> Given:
        """The points as they were read."""
        found = given(self.landscape, self.minima, self.checkpoint, dtype_of(self.dtype))
        wide = found.points.dtype == torch.float64
        return found._replace(
            points=found.points if wide else found.points.to(dtype_of(self.dtype))
        )

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
        if any(run.result(unit) is None for unit in points):
            return points
        return [*points, *self._measurements(points, run)]

    def _score(self, index: int, folder: UnitFolder) -> None:
        """Score one point."""
        theta = self.given.points[index]
        row = describe_point(self.landscape, theta) | self._with_own_statistics(
            theta, self.given.statistics[index]
        )
        folder.finish({"rows": [row]}, {"minima": theta[None]})

    def finish(self, run: Run) -> Results:
        points = self._points(run)
        measured = columns_of(self._measurements(points, run), run, len(points))
        rows = []
        for i, (unit, columns) in enumerate(zip(points, measured, strict=True)):
            for row in (run.result(unit) or {"rows": []})["rows"]:
                rows.append({"name": str(i), **row, **columns, "source": self.given.sources[i]})
        clouds = {"minima.safetensors": {"minima": self.given.points, **self.given.stored()}}
        return Results(self._claims(rows), {"minima": rows}, {}, clouds)

    def foresee(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs: diagnostics are asked for when the points are
        scored."""
        asked = {unit.name for unit in pending}
        points = [name for name in asked if name not in self.diagnostic]
        measured = [name for name in self.diagnostic if points or name in asked]
        point = estimate_score(self.landscape, self.given.points[:1])
        costs = {name: self._cost(self.diagnostic[name]) for name in measured}
        return [*((name, point) for name in sorted(points)), *costs.items()]

    # units

    @cached_property
    def _statistics(self) -> list[str | None]:
        return [None if found is None else digest_of_all(found) for found in self.given.statistics]

    def _points(self, run: Run) -> list[Unit]:
        what = {"landscape": run.science["landscape"], "dtype": self.dtype, "score": True}
        digests = [digest_of(theta) for theta in self.given.points]
        return [
            Unit(
                f"point-{i}",
                {**what, "index": i, "point": point, "statistics": own},
                partial(self._score, i),
            )
            for i, (point, own) in enumerate(zip(digests, self._statistics, strict=True))
        ]

    def _measurements(self, points: list[Unit], run: Run) -> list[Unit]:
        """One unit a diagnostic; what it may cost is part of what it is."""
        affordable = {name: self._affordable(each) for name, each in self.diagnostic.items()}
        found = []
        for unit in units_of(affordable, self.landscape, points, run):
            limit = self._limit(self.diagnostic[unit.name])
            config = unit.config
            if limit is not None:
                config = {**unit.config, "within": limit}
            found.append(replace(unit, config=config))
        return found

    def _limit(self, diagnostic: Diagnostic) -> int | None:
        if self.landscape.dim * (count_of(self.landscape) or 0) <= LARGE:
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

    def _cost(self, diagnostic: Diagnostic) -> Estimate:
        """So many gradients of the whole objective at every point."""
        each = self._affordable(diagnostic)
        gradients = 50.0  # of one that is not known here; ours
        if isinstance(each, BriefSpectrum):
            gradients = PRODUCT * each.products
        elif isinstance(each, Spectrum):
            gradients = PRODUCT * (6 * each.top + each.probes * each.steps)
        elif isinstance(each, Noise):
            examples = each.draws * each.batch_size / (count_of(self.landscape) or each.batch_size)
            gradients = DOUBLE * max(1.0, examples)
        elif isinstance(each, Sharpness):
            gradients = DOUBLE * LOOKS * (1 if each.subspace is None else each.draws)
        elif isinstance(each, Criticality):
            gradients = PRODUCT * (1 + each.steps)
        return estimate_score(
            self.landscape, self.given.points[:1], gradients * len(self.given.points)
        )

    # what is said

    def _with_own_statistics(self, theta: Tensor, own: dict[str, Tensor] | None) -> Row:
        """Scores with the statistics of batch norm that the file holds; null, with the reason,
        where there are none."""
        why = NO_STATISTICS
        if is_additive(self.landscape):
            why = "there is no batch norm"
        row: Row = {}
        splits: tuple[Split, ...] = ("train", "test")
        for split in splits:
            loss = error = Measured.nothing(why)
            if own is not None:
                there = {name: value.to(theta) for name, value in own.items()}
                score = network_of(self.landscape).score(theta[None], split, buffers=there)
                loss = Measured.mean(score.losses[0].cpu(), "nats")
                error = Measured.mean(score.errors[0].cpu())
            row |= loss.columns(f"{split}_loss_{OWN}") | error.columns(f"{split}_error_{OWN}")
        return row

    def _claims(self, rows: Rows) -> list[Claim]:
        """What was found, in words; nothing was expected, so there is no verdict."""
        title = title_of(self.landscape)
        if not rows:
            return [
                Claim(
                    "points", f"no point of {title}", Measured.nothing("no unit finished"), "", None
                )
            ]
        count = "a point"
        if len(rows) > 1:
            count = f"{len(rows)} points"
        words = [f"objective {_range([row['objective'] for row in rows])}"]
        if rows[0]["train_error"] is not None:
            words = []
            for name, split in SPLITS:
                percent = [100 * row[f"{name}_error"] for row in rows]
                words.append(f"{split} error {_range(percent)} %")
        words.append(f"|∇objective| {_range([row['gradient_norm'] for row in rows])}")
        largest = Measured(max(row["gradient_norm"] for row in rows))
        found = [Claim("points", f"{count} of {title}: {', '.join(words)}", largest, "", None)]
        return [*found, *_of_statistics(rows)]


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
    own = [row for row in rows if row.get(f"test_error_{OWN}") is not None]
    if not own:
        return []
    rise = max((row[f"test_error_{OWN}"] - row["test_error"] for row in own), key=abs)
    words = (
        f"with the files' own statistics of batch norm test errors move by "
        f"{100 * rise:+.2f} percentage points at most"
    )
    return [Claim(OWN, words, Measured(100 * rise, None, "percentage points"), "", None)]
