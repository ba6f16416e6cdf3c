"""Along a run of SGD the gradient points at the point where the run is going to end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.one_point_convexity import OnePoint
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.profile import train_losses
from sgdtheory.pipelines.train import check_batch_size
from sgdtheory.protocol import Cloud, Dtype, Landscape
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import has_examples
from sgdtheory.roles.facts import lowest_loss_of
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.proportions import at_most, share
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, means_of
from sgdtheory.studies.study import Case, Study, Tables, Verdict, start_of

# fractions not positive: at most of a run that trains, at least of another (the project's table)
FEW, MANY = 0.01, 0.05
# nats above the lowest there is: mean loss of training that has converged; guessing among ten: 2.3
TRAINED = 0.1
SCALARS = ("loss", "product", "cosine", "smoothed", "other")
COUNTED = {"snapshots": "product", "ball": "ball", "smoothed": "smoothed", "other": "other"}


@dataclass(frozen=True)
class OnePointConvexity(Study):
    """Along a run of SGD that trains, the gradient points at the point where the run will end
    (Kleinberg et al. 2018).

    Claim (Kleinberg, Li & Yuan 2018, 1802.06175, Section 5): ⟨−∇L(θ_t), θ_end − θ_t⟩ is positive
    all along a run that trains, in a ball round each snapshot too; so SGD, which needs no more
    (their Theorem 5), gets to θ_end. Refuted by more than 1 % that are not positive where training
    converged.

    With it the condition of the theorem, ⟨−E_ω ∇L(θ − ηω), θ_end − θ⟩ with ω the noise of a
    mini-batch, and the smoothed loss E_ω L(θ − ηω). Two controls, where it must not be positive:
    towards the end of another run of the same kind, and in `runs.untrained`, which does not train.
    Any other of `runs` is reported without a verdict. A run is a row of a cloud, with a start and
    mini-batches of its own: `seeds` of them, `snapshots` of each, evenly spaced from the start on,
    the end not among them.
    """

    landscape: Landscape
    runs: dict[str, SGD]
    one_point: OnePoint = field(default_factory=OnePoint)
    seeds: PositiveInt = 5
    snapshots: PositiveInt = 100
    dtype: Dtype = "float64"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if not has_examples(self.landscape):
            raise UserError(
                "landscape: this study needs examples, whose mini-batches make the noise; use "
                "landscape=network"
            )
        for name, sgd in self.runs.items():
            check_batch_size(self.landscape, sgd)
            if sgd.batch_size is None or sgd.steps < self.snapshots:
                raise UserError(
                    f"runs.{name}: give it a batch_size, and at least as many steps as there are "
                    "snapshots"
                )

    def cases(self) -> list[Case]:
        return [Case(name, {"run": name}, {"runs": name}) for name in self.runs]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        name = case.settings["run"]
        start, seed = self._start(), key(self.seed, "run", name)
        sgd = self.runs[name].resolve_learning_rate(self.landscape, start, seed)
        steps, trail = self._trail(folder, sgd, start, seed)
        rates = [sgd.rate * sgd.schedule(step, sgd.steps) for step in steps]
        ends, rows = trail[-1], []
        for p in range(self.seeds):
            folder.tell(0.4 + 0.6 * p / self.seeds, f"products of run {p + 1}")
            stop_if_asked()
            here, other = trail[:-1, p], ends[(p + 1) % self.seeds]
            products = self.one_point.measure(
                self.landscape,
                here,
                ends[p],
                other,
                torch.tensor(rates).to(start),
                sgd.size,
                key(seed, p),
            )
            rows += [snapshot_row(p, step, products, k) for k, step in enumerate(steps)]
        losses = train_losses(self.landscape, ends).tolist()
        rows_of_ends = [{"seed": p, "loss": loss} for p, loss in enumerate(losses)]
        return {"snapshots": rows, "ends": rows_of_ends}, {"ends": ends}

    def _trail(
        self, folder: UnitFolder, sgd: SGD, start: Cloud, seed: int
    ) -> tuple[list[int], Tensor]:
        """The steps of the snapshots [S], and the cloud at each and at the end [S + 1, P, n]."""
        steps = [k * sgd.steps // self.snapshots for k in range(self.snapshots)]
        trail = [start]
        for state in sgd.run(self.landscape, start, seed):
            if state.step in steps or state.step == sgd.steps:
                folder.tell(0.4 * state.step / sgd.steps, "SGD")
                stop_if_asked()
                trail.append(state.cloud.clone())
        return steps, torch.stack(trail)

    def judge(self, tables: Tables) -> Verdict:
        snapshots, ends = grouped(tables["snapshots"], "run"), grouped(tables["ends"], "run")
        runs = [run_row(snapshots[name], ends[name], self.seeds) for name in ends]
        means = [row for name, rows in snapshots.items() for row in mean_rows(name, rows)]
        claims = claims_of(runs, TRAINED + (lowest_loss_of(self.landscape) or 0.0))
        return Verdict(claims, {"runs": runs, "snapshots": means}, plots())

    def estimate(self, unit: Unit) -> Estimate:
        """As SGD, and about twice as long again for the products (measured)."""
        name = self.case_of(unit).settings["run"]
        start = self._start()
        sgd = self.runs[name].resolve_learning_rate(self.landscape, start, 0)
        descent = estimate_stage(self.landscape, sgd, start)
        return descent._replace(seconds=3 * descent.seconds)

    def _start(self) -> Cloud:
        return start_of(self.landscape, self.seeds, stream(self.seed, "init"), self.dtype)


def snapshot_row(seed: int, step: int, measured: dict[str, Tensor], k: int) -> Row:
    """Snapshot k of what `OnePoint` has measured, [S] or [S, points] by name: its numbers, and how
    many of each kind are not positive (nan is not)."""
    row: Row = {"seed": seed, "step": step}
    for name in SCALARS:
        row[name] = float(measured[name][k])
    row["smoothed_loss"] = float(measured["smoothed_loss"][k].mean())
    for name, source in COUNTED.items():
        products = measured[source][k].flatten()
        row[f"{name}_not"] = int((~(products > 0)).sum())
        row[f"{name}_of"] = products.numel()
    return row


def mean_rows(name: str, rows: Rows) -> Rows:
    """One row for each step: means over the runs with their standard errors."""
    means = []
    for step, same in grouped(rows, "step").items():
        facts = {"run": name, "step": step, "lowest_cosine": min(column_of(same, "cosine"))}
        means.append(row_of(facts, **means_of(same, "loss", "smoothed_loss", "cosine")))
    return means


def run_row(rows: Rows, ends: Rows, seeds: int) -> Row:
    """One kind of run: the fractions that are not positive, and the loss at the end."""
    last = max((row["step"] for row in rows if row["snapshots_not"]), default=None)
    columns = {}
    for kind in COUNTED:
        count = sum(column_of(rows, f"{kind}_not"))
        total = sum(column_of(rows, f"{kind}_of"))
        columns[f"{kind}_not_positive"] = share(count, total)
    if seeds < 2:
        columns["other_not_positive"] = Measured.nothing("one run has no other")
    losses = column_of(ends, "loss")
    facts = {
        "run": ends[0]["run"],
        "seeds": seeds,
        "snapshots": sum(column_of(rows, "snapshots_of")),
        "last_not_positive": last,
        "ball_points": sum(column_of(rows, "ball_of")),
        "worst_end_loss": float(np.max(losses)),
    }
    return row_of(facts, end_loss=Measured.mean(losses, "nats"), **columns)


def claims_of(runs: Rows, bar: float = TRAINED) -> list[Claim]:
    """The gradient points at the end of a run that trains, to a loss of the bar at most, at no
    other end, and not where nothing is learned."""
    by_name = {row["run"]: row for row in runs}
    claims = []
    if "trained" in by_name:
        claims += _of_trained(by_name.pop("trained"), bar)
    if "untrained" in by_name:
        claims.append(_of_untrained(by_name.pop("untrained"), bar))
    return claims + [_without_verdict(row) for row in by_name.values()]


def _of_trained(row: Row, bar: float) -> list[Claim]:
    words = {
        "snapshots": "the gradient points at the end of the run",
        "ball": "so it does in a ball round each",
        "smoothed": "and the smoothed loss's",
    }
    other = Measured.read(row, "other_not_positive")
    elsewhere = f"it does not point at another run's end: {_percent(other)} are not positive there"
    holds = None if other.value is None else other.value > MANY
    expected = f"> {100 * MANY:g} %: it is no property of directions at large"
    claims = []
    for kind, statement in words.items():
        told = f"{statement}: {_counted(row, kind)} are not positive"
        claims.append(_hardly_any(row, kind, told, bar))
    return [*claims, Claim("other_end", elsewhere, other, expected, holds)]


def _hardly_any(row: Row, kind: str, words: str, bar: float) -> Claim:
    measured = Measured.read(row, f"{kind}_not_positive")
    converged = row["worst_end_loss"] <= bar
    if not converged:
        words += f"; but training did not converge, its loss is {row['worst_end_loss']:.2g}"
    assert measured.value is not None
    holds = measured.value <= FEW if converged else None
    return Claim(kind, words, measured, f"≤ {100 * FEW:g} % where training converged", holds)


def _of_untrained(row: Row, bar: float) -> Claim:
    measured = Measured.read(row, "snapshots_not_positive")
    trains = row["end_loss"] <= bar
    words = (
        f"where nothing is learned (loss {row['end_loss']:.2g} at the end) {_percent(measured)} "
        "are not positive"
    )
    assert measured.value is not None
    holds = None if trains else measured.value > MANY
    return Claim("untrained", words, measured, f"> {100 * MANY:g} %", holds)


def _without_verdict(row: Row) -> Claim:
    measured = Measured.read(row, "snapshots_not_positive")
    last = row["last_not_positive"]
    when = "" if last is None else f", the last at step {last:,}"
    words = (
        f"{row['run']}: {_percent(measured)} are not positive{when}; loss {row['end_loss']:.2g} at "
        "the end"
    )
    return Claim(row["run"], words, measured, "", None)


def plots() -> list[Plot]:
    labels = {
        "step": "step of SGD",
        "cosine": "cosine of −∇L and the way to the end, mean",
        "lowest_cosine": "the lowest of the runs",
        "loss": "loss / nats",
        "smoothed_loss": "smoothed loss / nats",
    }
    directions = (
        "Cosine of the angle between the descent direction and the way to where the run is going "
        "to end, at snapshots of SGD; bars are standard errors over runs. Above the line a small "
        "step down the gradient comes nearer to the end. It is seen afterwards, with the end "
        "known; why a run ends there it does not say."
    )
    losses = (
        "Loss at snapshots of SGD, and its mean over the next step's noise, E L(θ − ηω), the loss "
        "that SGD descends in the picture of Kleinberg et al.; both of the whole training set. "
        "Where the second is not much above the first, the noise of one step smooths little away."
    )
    return [
        Plot(
            "directions",
            "The gradient points at the end of a run that trains",
            directions,
            "snapshots",
            "step",
            ("cosine", "lowest_cosine"),
            by="run",
            level=0.0,
            labels=labels,
        ),
        Plot(
            "smoothed_losses",
            "What one step's noise adds to the loss",
            losses,
            "snapshots",
            "step",
            ("loss", "smoothed_loss"),
            by="run",
            log="y",
            labels=labels,
        ),
    ]


def _counted(row: Row, kind: str) -> str:
    total = row["ball_points"] if kind == "ball" else row["snapshots"]
    count = round(row[f"{kind}_not_positive"] * total)
    most = f"with 95 % confidence at most {100 * at_most(count, total):.2g} %"
    return f"{count:,} of {total:,} ({most}, were they independent)"


def _percent(share: Measured) -> str:
    if share.value is None:
        return "–"
    return f"{100 * share.value:.3g} ± {100 * (share.stderr or 0):.1g} %"
