"""`sgdtheory train`: a cloud of random points becomes a cloud of minima."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, Place, PositiveInt
from sgdtheory.diagnostics.columns import columns_of, names_of
from sgdtheory.diagnostics.diagnostic import Diagnostic, refuse_unfit, units_of
from sgdtheory.errors import UserError
from sgdtheory.landscapes.derived.scored_once import scored_once
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.descent import full_batch, lbfgs
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.pipelines.diagnostic_costs import cost_of
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.finished import all_finished
from sgdtheory.pipelines.fitting import Trainings, longer_in_words
from sgdtheory.pipelines.minima_file import kept_beside
from sgdtheory.pipelines.slope import slope_at
from sgdtheory.pipelines.snapshots import along, pictures, snapshot_steps, snapshots_of, units_along
from sgdtheory.pipelines.start import Snapshot
from sgdtheory.pipelines.train_claims import claims_of
from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of, length_of
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import count_of, in_training, is_sampled, is_scored
from sgdtheory.roles.facts import objective_gap, unit_of_loss
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Results
from sgdtheory.statistics.rows import Row


@dataclass(frozen=True)
class Train:
    """Minima by SGD from random points, each trained, polished when asked, and scored on training
    and test data.

    `polish`: none; descent (heavy-ball on the whole objective, `polish_steps` steps); lbfgs (in
    float64, for landscapes without batch norm); auto: lbfgs on formulas, none on networks.
    `snapshots`: how many points of each trajectory are kept, equally spaced from its start to the
    end of training; diagnostics are run on them too. `start`: FILE@STEP, a snapshot of a run (see
    `Snapshot`) that all begin at instead, at rest and at the schedule's start, each with noise of
    its own, as Frankle et al. 2020 (1912.05671) spawn copies. Every minimum is a unit of work.
    """

    landscape: Landscape
    sgd: SGD
    start: Annotated[str | None, Place] = None  # the point itself is part of the identity
    minima: PositiveInt = 4
    polish: Literal["auto", "none", "descent", "lbfgs"] = "auto"
    polish_steps: PositiveInt = 500
    snapshots: NonNegativeInt = 0
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        check_batch_size(self.landscape, self.sgd)
        refuse_unfit(self.diagnostic, self.landscape)
        self._given, self._descended  # noqa: B018  wrong ones are refused before any work

    @cached_property
    def _descended(self) -> Landscape:
        return in_training(self.landscape, dtype_of(self.dtype))

    @cached_property
    def _given(self) -> Tensor | None:
        """The point [n] that all begin at."""
        if self.start is None:
            return None
        return Snapshot.named(self.start).point(self.landscape)

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity, with the point that all begin at."""
        if self._given is None:
            return science
        return {**science, "start": digest_of(self._given)}

    def units(self, run: Run) -> list[Unit]:
        minima = self._minima(run)
        if not all_finished(run, minima):
            return minima
        at_minima = units_of(self.diagnostic, self.landscape, minima, run)
        at_snapshots = units_along(self.diagnostic, self.landscape, minima, run)
        return [*minima, *at_minima, *at_snapshots]

    def plan(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs: diagnostics are asked for when the minima are
        found."""
        asked = {unit.name for unit in pending}
        found = self._cost(0)
        minima = [unit.name for unit in self._minima(run) if unit.name in asked]
        costs = [(name, found) for name in minima]
        start = self._start(0)
        for unit, diagnostic, points in self._measuring(run):
            if minima or unit.name in asked:
                cloud = start.expand(points, -1)
                costs.append((unit.name, cost_of(diagnostic, self.landscape, cloud)))
        return costs

    @property
    def not_counted(self) -> str:
        """Longer trainings of what does not fit its data."""
        return longer_in_words(self.sgd, self.landscape)

    def to_come(self, run: Run) -> list[str]:
        """The diagnostics that are asked for when the minima are found."""
        if all_finished(run, self._minima(run)):
            return []
        return [unit.name for unit, _, _ in self._measuring(run)]

    def _measuring(self, run: Run) -> Iterator[tuple[Unit, Diagnostic, int]]:
        """The diagnostics of the minima, and of the snapshots on the way to each, with how many
        points they are asked of."""
        minima = self._minima(run)
        clouds = [("minima", minima, len(minima))]
        if steps := snapshot_steps(self.sgd.length, self.snapshots):
            clouds += [("snapshots", [minimum], len(steps)) for minimum in minima]
        for cloud, needs, points in clouds:
            units = units_of(self.diagnostic, self.landscape, needs, run, cloud)
            for unit, diagnostic in zip(units, self.diagnostic.values(), strict=True):
                yield unit, diagnostic, points

    def _minima(self, run: Run) -> list[Unit]:
        what = dict(run.science)
        del what["minima"]
        del what["diagnostic"]
        units = []
        for i in range(self.minima):
            config = {**what, "index": i}
            work = partial(self._find, i)
            cost = partial(self._cost, i)
            units.append(Unit(f"minimum-{i}", config, work, cost=cost))
        return units

    def _find(self, index: int, folder: UnitFolder) -> None:
        """Train, polish and score one minimum."""
        landscape = scored_once(self.landscape)  # what a training fits, and the table of minima
        start = self._start(index)
        polish = self._polish()
        role = "minimum" if self._given is None else "copy"
        seed = key(self.seed, role, index)
        trained = 0.6
        if polish == "none":
            trained = 0.9
        trainings = Trainings(
            folder,
            landscape,
            self._descended,
            start,
            seed,
            (0.0, trained),
            self.snapshots,
        )
        cloud, sgd = trainings.until_fitted(self.sgd)
        tensors, trajectory = along(folder, self.landscape, sgd, self.snapshots, start)
        if polish == "descent":
            descent = full_batch(self.landscape, cloud, self.polish_steps, seed)
            cloud = run_stage(
                folder, "polish", descent, self.landscape, cloud, seed, fraction=(trained, 0.9)
            )
        elif polish == "lbfgs":

            def tell(done: float) -> None:
                folder.tell(0.6 + 0.3 * done, "polish")

            cloud = lbfgs(self.landscape, cloud, self.polish_steps, tell)
        folder.tell(0.9, "scoring")
        facts = {"steps": sgd.length, "learning_rate": sgd.learning_rate}
        rows = [describe_point(landscape, theta, **facts) for theta in cloud]
        folder.finish({"rows": rows, **trajectory}, {"minima": cloud, **tensors})

    def finish(self, run: Run) -> Results:
        rows = []
        points = []
        minima = self._minima(run)
        for i, unit in enumerate(minima):
            result = run.result(unit)
            if result is not None:
                rows += [{"name": str(i), **row} for row in result["rows"]]
                points.append(run.folder(unit).clouds()["minima"])
        numbers: dict[str, Any] = {}
        if len(rows) == len(minima):
            diagnostics = units_of(self.diagnostic, self.landscape, minima, run)
            columns = columns_of(diagnostics, run, len(rows))
            for row, more in zip(rows, columns, strict=True):
                row |= more
            numbers |= names_of(diagnostics, run)
        starts = None if self._given is None else self._given[None]
        kept = kept_beside(self.landscape, starts)
        clouds = {}
        if points:
            clouds = {"minima.safetensors": {"minima": torch.cat(points), **kept}}
        tables = {"minima": rows}
        if self.snapshots:
            snapshots, passed = snapshots_of(self.diagnostic, self.landscape, minima, run)
            tables["snapshots"] = snapshots
            clouds |= passed
            numbers["plots"] = pictures(snapshots)
        return Results(claims_of(self.landscape, rows, points), tables, numbers, clouds)

    def _cost(self, index: int) -> Estimate:
        """From five steps after a warm-up of two, and one score."""
        start = self._start(index)
        sgd = self.sgd.resolve_learning_rate(self.landscape, start, 0)
        return estimate_stage(self._descended, sgd, start)

    def _start(self, index: int) -> Cloud:
        if self._given is not None:
            return self._given[None].to(dtype_of(self.dtype))
        source = stream(self.seed, "init", index)
        cloud: Cloud = self.landscape.init(1, source)
        return cloud.to(dtype_of(self.dtype))

    def _polish(self) -> str:
        if self.polish != "auto":
            return self.polish
        if is_scored(self.landscape):
            return "none"
        return "lbfgs"


def check_batch_size(landscape: Landscape, sgd: SGD) -> None:
    """Refuse a mini-batch larger than the data before any work is begun."""
    count = count_of(landscape)
    if count is None and not is_sampled(landscape):
        raise UserError(
            f"landscape: {type(landscape).__name__} has neither sample nor count and batch: "
            f"SGD has nothing to draw from"
        )
    refuse_batch(landscape, sgd.batch_size)
    if count is None and sgd.sampling != "iid":
        raise UserError(
            f"sgd.sampling={sgd.sampling} needs examples, and this landscape has none; use iid"
        )


def describe_point(landscape: Landscape, theta: Tensor, **facts: object) -> Row:
    """One row of the table of minima, of a point [n]: scores with standard errors over examples,
    the objective, its gradient and its gap in float64 (`slope_at`), |θ|."""
    slope = slope_at(landscape, theta)
    row: Row = {}
    for split in ("train", "test"):
        if is_scored(landscape):
            score = landscape.score(theta[None], split)
            loss = Measured.mean(score.losses[0].cpu(), unit_of_loss(landscape))
            error = Measured.mean(score.errors[0].cpu())
        else:
            error = Measured.nothing("a formula has no examples")
            loss = error
            if split == "train":
                loss = Measured(slope["objective"])
        row |= loss.columns(f"{split}_loss")
        row |= error.columns(f"{split}_error")
    return row | {
        **slope,
        **objective_gap(landscape, theta.double()).columns("objective_gap"),
        "parameter_norm": length_of(theta),
        **facts,
    }
