"""`sgdtheory train`: a cloud of random points becomes a cloud of minima."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud, Landscape, value_and_grad
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.descent import full_batch, lbfgs
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_measured, run_stage
from sgdtheory.pipelines.minima_file import constants_to_keep
from sgdtheory.pipelines.snapshots import along, pictures, snapshot_steps, snapshots_of, units_along
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import count_of, is_sampled, is_scored
from sgdtheory.roles.facts import objective_gap, title_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Results, Row, Rows

Dtype: TypeAlias = Literal["float32", "float64"]
DTYPES = {"float32": torch.float32, "float64": torch.float64}
STATIONARY = 1e-6  # |∇L| below which a polished point of a formula counts as stationary, float64


@dataclass(frozen=True)
class Train:
    """Minima by SGD from random points, each trained, polished when asked, and scored on training
    and test data.

    `polish`: none; descent (heavy-ball on the whole objective, `polish_steps` steps); lbfgs (in
    float64, for landscapes without batch norm); auto: lbfgs on formulas, none on networks.
    `snapshots`: how many points of each trajectory are kept, equally spaced from its start to the
    end of training; diagnostics are run on them too. Every minimum is a unit of work.
    """

    landscape: Landscape
    sgd: SGD
    minima: PositiveInt = 4
    polish: Literal["auto", "none", "descent", "lbfgs"] = "auto"
    polish_steps: PositiveInt = 500
    snapshots: NonNegativeInt = 0
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        check_batch_size(self.landscape, self.sgd)

    def units(self, run: Run) -> list[Unit]:
        minima = self._minima(run)
        if any(run.result(unit) is None for unit in minima):
            return minima
        return [
            *minima,
            *units_of(self.diagnostic, self.landscape, minima, run),
            *units_along(self.diagnostic, self.landscape, minima, run),
        ]

    def _minima(self, run: Run) -> list[Unit]:
        what = {
            name: value
            for name, value in run.science.items()
            if name not in ("minima", "diagnostic")
        }
        return [
            Unit(
                f"minimum-{i}",
                {**what, "index": i},
                partial(self._find, i),
                cost=partial(self._cost, i),
            )
            for i in range(self.minima)
        ]

    def _find(self, index: int, folder: UnitFolder) -> None:
        """Train, polish and score one minimum."""
        start = self._start(index)
        polish = self._polish()
        seed = key(self.seed, "minimum", index)
        trained = 0.6
        if polish == "none":
            trained = 0.9
        steps = snapshot_steps(self.sgd.steps, self.snapshots)
        cloud, sgd = run_measured(
            folder, "train", self.sgd, self.landscape, start, seed, (0.0, trained), steps
        )
        tensors, trajectory = along(folder, self.landscape, sgd, steps, start)
        if polish == "descent":
            descent = full_batch(self.landscape, cloud, self.polish_steps, seed)
            cloud = run_stage(
                folder, "polish", descent, self.landscape, cloud, seed, fraction=(trained, 0.9)
            )
        elif polish == "lbfgs":
            cloud = lbfgs(
                self.landscape,
                cloud,
                self.polish_steps,
                lambda done: folder.tell(0.6 + 0.3 * done, "polish"),
            )
        folder.tell(0.9, "scoring")
        rows = [
            describe_point(
                self.landscape, theta, steps=self.sgd.steps, learning_rate=sgd.learning_rate
            )
            for theta in cloud
        ]
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
            columns = columns_of(
                units_of(self.diagnostic, self.landscape, minima, run), run, len(rows)
            )
            rows = [{**row, **more} for row, more in zip(rows, columns, strict=True)]
        kept = constants_to_keep(self.landscape)
        clouds = {}
        if points:
            clouds = {"minima.safetensors": {"minima": torch.cat(points), **kept}}
        tables = {"minima": rows}
        numbers = {}
        if self.snapshots:
            tables["snapshots"], passed = snapshots_of(self.diagnostic, self.landscape, minima, run)
            clouds |= passed
            numbers = {"plots": pictures(tables["snapshots"])}
        return Results(self._claims(rows), tables, numbers, clouds)

    def _cost(self, index: int) -> Estimate:
        """From five steps after a warm-up of two, and one score."""
        start = self._start(index)
        return estimate_stage(
            self.landscape, self.sgd.resolve_learning_rate(self.landscape, start, 0), start
        )

    def _start(self, index: int) -> Cloud:
        cloud: Cloud = self.landscape.init(1, stream(self.seed, "init", index))
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
        if not rows:
            return [
                Claim(
                    "minima",
                    f"no minimum of {title}",
                    Measured.nothing("no unit finished"),
                    "training error 0",
                    None,
                )
            ]
        if not is_scored(self.landscape):
            return [_stationary(rows, title)]
        doubts = [(row["name"], untrained(self.landscape, row["train_loss"])) for row in rows]
        doubts = [(name, why) for name, why in doubts if why]
        more = ""
        if len(doubts) > 1:
            more = f", and so for {len(doubts) - 1} more"
        left = ""
        if doubts:
            left = f"; {doubts[0][0]} is no minimum, it is not trained: {doubts[0][1]}{more}"
        worst = max(row["train_error"] for row in rows)
        test = Measured.mean([row["test_error"] for row in rows])
        percent = Measured.mean([100 * row["test_error"] for row in rows], "%")
        at = ""
        if len(rows) > 1:
            at = "at all of them"
        error = f"0 {at}".strip() if worst == 0 else f"up to {100 * worst:.2f} %"
        words = (
            f"{_counted(rows, bool(doubts))} of {title}: training error {error}, test "
            f"error {percent}{left}"
        )
        fits = "0: a minimum fits its training data"
        return [
            Claim("training_error", words, Measured(worst), fits, worst == 0 and not doubts),
            Claim(
                "test_error",
                f"test error {percent}, mean over minima ± its standard error",
                test,
                "no fixed value",
                None,
            ),
        ]


def _stationary(rows: Rows, title: str) -> Claim:
    """Points of a formula are judged by the gradient there."""
    norms = [row["gradient_norm"] for row in rows]
    if any(norm is None or row["objective"] is None for norm, row in zip(norms, rows, strict=True)):
        lost = Measured.nothing("the objective or its gradient is not finite at some of them")
        return Claim(
            "stationary",
            f"{_counted(rows, True)} of {title}: not finite",
            lost,
            f"|∇L| ≤ {STATIONARY:g}",
            False,
        )
    holds = max(norms) <= STATIONARY
    lowest = min(row["objective"] for row in rows)
    words = (
        f"{_counted(rows, not holds)} of {title}: |∇L| ≤ {max(norms):.1e} at all of "
        f"them, lowest value {lowest:.6g}"
    )
    return Claim("stationary", words, Measured(max(norms)), f"|∇L| ≤ {STATIONARY:g}", holds)


def _counted(rows: Rows, points: bool) -> str:
    """4 minima; points, where they are none."""
    one, many = ("minimum", "minima")
    if points:
        one, many = ("point", "points")
    return f"{len(rows)} {one if len(rows) == 1 else many}"


def dtype_of(name: Dtype) -> torch.dtype:
    """torch's dtype of this name."""
    return DTYPES[name]


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
    """One row of the table of minima: scores with standard errors over examples, the objective, its
    gap, its gradient, |θ|."""
    objective, gradient = value_and_grad(landscape, theta[None])
    row: Row = {}
    for split in ("train", "test"):
        if is_scored(landscape):
            score = landscape.score(theta[None], split)
            row |= Measured.mean(score.losses[0].cpu(), "nats").columns(f"{split}_loss")
            row |= Measured.mean(score.errors[0].cpu()).columns(f"{split}_error")
        else:
            nothing = Measured.nothing("a formula has no examples")
            loss = nothing
            if split == "train":
                loss = Measured(float(objective[0]))
            row |= loss.columns(f"{split}_loss") | nothing.columns(f"{split}_error")
    return row | {
        "objective": float(objective[0]),
        **objective_gap(landscape, theta).columns("objective_gap"),
        "gradient_norm": float(gradient[0].norm()),
        "parameter_norm": float(theta.norm()),
        **facts,
    }
