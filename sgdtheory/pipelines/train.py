"""`sgdtheory train`: a cloud of random points becomes a cloud of minima."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from statistics import fmean
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, Place, PositiveInt
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, refuse_unfit, units_of
from sgdtheory.errors import UserError
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.descent import full_batch, lbfgs
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_measured, run_stage
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.finished import all_finished
from sgdtheory.pipelines.minima_file import kept_beside
from sgdtheory.pipelines.snapshots import along, pictures, snapshot_steps, snapshots_of, units_along
from sgdtheory.pipelines.start import Snapshot
from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of, length_of, value_and_grad
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import count_of, in_training, is_sampled, is_scored
from sgdtheory.roles.facts import error_of_loss, objective_gap, title_of, unit_of_loss
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Results
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of

STATIONARY = 1e-6  # |∇L| below which a polished point of a formula counts as stationary, float64


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
        start = self._start(index)
        polish = self._polish()
        role = "minimum" if self._given is None else "copy"
        seed = key(self.seed, role, index)
        trained = 0.6
        if polish == "none":
            trained = 0.9
        steps = snapshot_steps(self.sgd.steps, self.snapshots)
        cloud, sgd = run_measured(
            folder, "train", self.sgd, self._descended, start, seed, (0.0, trained), steps
        )
        tensors, trajectory = along(folder, self.landscape, sgd, steps, start)
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
        facts = {"steps": self.sgd.steps, "learning_rate": sgd.learning_rate}
        rows = [describe_point(self.landscape, theta, **facts) for theta in cloud]
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
        if len(rows) == len(minima):
            diagnostics = units_of(self.diagnostic, self.landscape, minima, run)
            columns = columns_of(diagnostics, run, len(rows))
            for row, more in zip(rows, columns, strict=True):
                row |= more
        starts = None if self._given is None else self._given[None]
        kept = kept_beside(self.landscape, starts)
        clouds = {}
        if points:
            clouds = {"minima.safetensors": {"minima": torch.cat(points), **kept}}
        tables = {"minima": rows}
        numbers = {}
        if self.snapshots:
            snapshots, passed = snapshots_of(self.diagnostic, self.landscape, minima, run)
            tables["snapshots"] = snapshots
            clouds |= passed
            numbers = {"plots": pictures(snapshots)}
        return Results(self._claims(rows), tables, numbers, clouds)

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

    def _claims(self, rows: Rows) -> list[Claim]:
        """A point is called a minimum where it is one: trained, or on a formula stationary."""
        title = title_of(self.landscape)
        name = error_of_loss(self.landscape)
        if not rows:
            unknown = Measured.nothing("no unit finished")
            words = f"no minimum of {title}"
            return [Claim("minima", words, unknown, f"training {name} 0", None)]
        if not is_scored(self.landscape):
            return [_stationary(rows, title)]
        doubts = self._doubts(rows)
        worst = max(column_of(rows, "train_error"))
        test = _mean_over_minima(rows, "test_error")
        percent = test.in_units_of(0.01)._replace(unit="%")
        error = f"up to {100 * worst:.2f} %"
        if worst == 0:
            error = "0"
            if len(rows) > 1:
                error = "0 at all of them"
        counted = _counted(rows, bool(doubts))
        words = f"{counted} of {title}: training {name} {error}, test {name} {percent}{doubts}"
        fits = "0: a minimum fits its training data"
        holds = worst == 0 and not doubts
        mean = f"test {name} {percent}, mean over minima ± standard error over examples"
        return [
            Claim("training_error", words, Measured(worst), fits, holds),
            Claim("test_error", mean, test, "", None),
        ]

    def _doubts(self, rows: Rows) -> str:
        """Which points are no minima; empty where all are trained."""
        reasons = {}
        for row in rows:
            if why := untrained(self.landscape, row["train_loss"]):
                reasons[row["name"]] = why
        if not reasons:
            return ""
        first, *others = reasons
        words = f"; {first} is no minimum, it is not trained: {reasons[first]}"
        if others:
            words += f", and so for {len(others)} more"
        return words


def _mean_over_minima(rows: Rows, name: str) -> Measured:
    """The mean of a score and its error over examples: all minima are scored on the same ones, so
    that of their mean is that of one of them."""
    scores = [Measured.read(row, name) for row in rows]
    known = [score.stderr for score in scores if score.stderr is not None]
    stderr = fmean(known) if len(known) == len(scores) else None
    return Measured(fmean(column_of(rows, name)), stderr)


def _stationary(rows: Rows, title: str) -> Claim:
    """Points of a formula are judged by the gradient there."""
    norms = column_of(rows, "gradient_norm")
    objectives = column_of(rows, "objective")
    expected = f"|∇L| ≤ {STATIONARY:g}"
    if None in norms or None in objectives:
        lost = Measured.nothing("the objective or its gradient is not finite at some of them")
        counted = _counted(rows, True)
        words = f"{counted} of {title}: not finite"
        return Claim("stationary", words, lost, expected, False)
    largest = max(norms)
    holds = largest <= STATIONARY
    counted = _counted(rows, not holds)
    words = (
        f"{counted} of {title}: |∇L| ≤ {in_short(largest, 2)} at all of "
        f"them, lowest value {min(objectives):.6g}"
    )
    return Claim("stationary", words, Measured(largest), expected, holds)


def _counted(rows: Rows, points: bool) -> str:
    """4 minima; points, where they are none."""
    count = len(rows)
    if points:
        word = "point" if count == 1 else "points"
    else:
        word = "minimum" if count == 1 else "minima"
    return f"{count} {word}"


def check_batch_size(landscape: Landscape, sgd: SGD) -> None:
    """Refuse a mini-batch larger than the data before any work is begun."""
    count = count_of(landscape)
    if count is None and not is_sampled(landscape):
        raise UserError(
            f"landscape: {type(landscape).__name__} has neither sample nor count and batch: "
            f"SGD has nothing to draw from"
        )
    if count is not None and sgd.batch_size is not None and sgd.batch_size > count:
        raise UserError(
            f"sgd.batch_size={sgd.batch_size} is more than the {count:,} training examples; "
            f"make it smaller"
        )
    if count is None and sgd.sampling != "iid":
        raise UserError(
            f"sgd.sampling={sgd.sampling} needs examples, and this landscape has none; use iid"
        )


def describe_point(landscape: Landscape, theta: Tensor, **facts: object) -> Row:
    """One row of the table of minima, of a point [n]: scores with standard errors over examples,
    the objective, its gap, its gradient, |θ|."""
    objective, gradient = value_and_grad(landscape, theta[None])
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
                loss = Measured(float(objective[0]))
        row |= loss.columns(f"{split}_loss")
        row |= error.columns(f"{split}_error")
    return row | {
        "objective": float(objective[0]),
        **objective_gap(landscape, theta).columns("objective_gap"),
        "gradient_norm": length_of(gradient[0]),
        "parameter_norm": length_of(theta),
        **facts,
    }
