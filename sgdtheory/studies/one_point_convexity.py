"""Along a run of SGD the gradient points at the point where the run is going to end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.one_point_convexity import OnePoint
from sgdtheory.optim.batches import refuse_augmented
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.profile import train_losses
from sgdtheory.pipelines.train import check_batch_size
from sgdtheory.protocol import Cloud, Dtype, Landscape
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import has_examples
from sgdtheory.roles.facts import constant_loss_of, lowest_loss_of
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.proportions import share
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, means_of
from sgdtheory.studies.convexities.claims import Losses, claims_of
from sgdtheory.studies.convexities.plots import plots
from sgdtheory.studies.study import Case, Study, Tables, Verdict, start_of

SCALARS = ("loss", "product", "cosine", "smoothed", "other")
COUNTED = {"snapshots": "product", "ball": "ball", "smoothed": "smoothed", "other": "other"}


@dataclass(frozen=True)
class OnePointConvexity(Study):
    """Along a run of SGD that trains, the gradient points at the point where the run will end
    (Kleinberg et al. 2018).

    Claim (Kleinberg, Li & Yuan 2018, 1802.06175, Section 5): ⟨−∇L(θ_t), θ_end − θ_t⟩ is positive
    all along a run that trains, in a ball round each snapshot too; so SGD, which needs no more
    (their Theorem 5), gets to θ_end. Refuted by more than 1 % that are not positive where training
    converged: to 5 % of what the best constant prediction has above the lowest loss.

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
        refuse_augmented(self.landscape)
        for name, sgd in self.runs.items():
            check_batch_size(self.landscape, sgd)
            if sgd.batch_size is None or sgd.length < self.snapshots:
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
        rates = [sgd.rate * sgd.schedule(step, sgd.length) for step in steps]
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
        steps = [k * sgd.length // self.snapshots for k in range(self.snapshots)]
        trail = [start]
        for state in sgd.run(self.landscape, start, seed):
            if state.step in steps or state.step == sgd.length:
                folder.tell(0.4 * state.step / sgd.length, "SGD")
                stop_if_asked()
                trail.append(state.cloud.clone())
        return steps, torch.stack(trail)

    def judge(self, tables: Tables) -> Verdict:
        snapshots, ends = grouped(tables["snapshots"], "run"), grouped(tables["ends"], "run")
        runs = [run_row(snapshots[name], ends[name], self.seeds) for name in ends]
        means = [row for name, rows in snapshots.items() for row in mean_rows(name, rows)]
        lowest = lowest_loss_of(self.landscape) or 0.0
        losses = Losses(constant_loss_of(self.landscape), lowest)
        return Verdict(claims_of(runs, losses), {"runs": runs, "snapshots": means}, plots())

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
        "worst_end_loss": None if None in losses else float(np.max(losses)),
    }
    columns["late_fall"] = _late_fall(rows)
    end_loss = Measured.nothing("not finite")
    if None not in losses:
        end_loss = Measured.mean(losses, "nats")
    return row_of(facts, end_loss=end_loss, **columns)


def _late_fall(rows: Rows) -> Measured:
    """By how much the loss falls from the third to the last quarter of the snapshots, over runs:
    one that still learns, however slowly, is no run that does not."""
    falls = []
    for own in grouped(rows, "seed").values():
        losses = [torch.nan if row["loss"] is None else row["loss"] for row in own]
        half = np.array(losses[len(losses) // 2 :])
        middle = (len(half) + 1) // 2
        if middle < len(half):
            falls.append(half[:middle].mean() - half[middle:].mean())
    return Measured.mean(falls)
