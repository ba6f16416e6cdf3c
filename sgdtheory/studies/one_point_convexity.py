"""Along a run of SGD the gradient points at the point where the run is going to end."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sgdtheory.convexity import OnePoint
from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Results
from sgdtheory.paths.profile import train_losses
from sgdtheory.pipelines.train import Dtype, check_batch_size
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.sgd import SGD
from sgdtheory.streams import key, stream
from sgdtheory.studies.verdicts.directions import claims, mean_rows, plots, run_rows, snapshot_row


@dataclass(frozen=True)
class OnePointConvexity:
    """⟨−∇L(θ_t), θ_end − θ_t⟩ at snapshots of SGD (Kleinberg, Li & Yuan 2018, 1802.06175, Section 5).

    Claim: it is positive all along a run that trains, in a ball round each snapshot too; so SGD, which needs no more
    (their Theorem 5), gets to θ_end. Refuted by more than 1 % that are not positive where training converged.

    Beside it what the theorem asks for, ⟨−E_ω ∇L(θ − ηω), θ_end − θ⟩ with ω the noise of a mini-batch, and the smoothed
    loss E_ω L(θ − ηω). Two controls, where it must not be positive: towards the end of another run of the same kind, and in
    `runs.untrained`, which does not train. Any other of `runs` is told without a verdict. A run is a row of a cloud, with a
    start and mini-batches of its own: `seeds` of them, `snapshots` of each, evenly spaced from the start on, the end not
    among them.
    """

    landscape: Landscape
    runs: dict[str, SGD]
    one_point: OnePoint = field(default_factory=OnePoint)
    seeds: Count = 5
    snapshots: Count = 100
    dtype: Dtype = "float64"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if not hasattr(self.landscape, "count"):
            raise Mistake("landscape: this study needs examples, whose mini-batches make the noise; use landscape=network")
        for name, sgd in self.runs.items():
            check_batch_size(self.landscape, sgd)
            if sgd.batch_size is None or sgd.steps < self.snapshots:
                raise Mistake(f"runs.{name}: give it a batch_size, and at least as many steps as there are snapshots")

    def units(self, run: Run) -> list[Unit]:
        return [Unit(name, self._science(run, name)) for name in self.runs]

    def _science(self, run: Run, name: str) -> dict[str, Any]:
        return {**run.science, "runs": {name: run.science["runs"][name]}}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        (name,) = unit.science["runs"]
        start, seed = self._start(), key(self.seed, "run", name)
        sgd = self.runs[name].settled(self.landscape, start, seed)
        assert not isinstance(sgd.learning_rate, str) and sgd.batch_size is not None
        steps, trail = self._trail(folder, sgd, start, seed)
        rates = torch.tensor([sgd.learning_rate * sgd.schedule(step, sgd.steps) for step in steps]).to(start)
        ends, rows = trail[-1], []
        for p in range(self.seeds):
            folder.tell(0.4 + 0.6 * p / self.seeds, f"products of run {p + 1}")
            stop_if_asked()
            here, other = trail[:-1, p], ends[(p + 1) % self.seeds]
            found = self.one_point.measure(self.landscape, here, ends[p], other, rates, sgd.batch_size, key(seed, p))
            rows += [snapshot_row(p, step, found, k) for k, step in enumerate(steps)]
        folder.finish({"rows": rows, "end_losses": train_losses(self.landscape, ends).tolist()}, {"ends": ends})

    def _trail(self, folder: UnitFolder, sgd: SGD, start: Cloud, seed: int) -> tuple[list[int], Tensor]:
        """The steps of the snapshots [S], and the cloud at each and at the end [S + 1, P, n]."""
        steps = [k * sgd.steps // self.snapshots for k in range(self.snapshots)]
        trail = [start]
        for state in sgd.run(self.landscape, start, seed):
            if state.step in steps or state.step == sgd.steps:
                folder.tell(0.4 * state.step / sgd.steps, "SGD")
                stop_if_asked()
                trail.append(state.cloud.clone())
        return steps, torch.stack(trail)

    def finish(self, run: Run) -> Results:
        found = {unit.name: run.result(unit) for unit in self.units(run)}
        results = {name: result for name, result in found.items() if result is not None}
        means = [row for name, result in results.items() for row in mean_rows(name, result["rows"])]
        tables = {"runs": run_rows(results, self.seeds), "snapshots": means}
        return Results(claims(tables["runs"]), {}, {"tables": tables, "plots": [plot.as_dict() for plot in plots()]})

    def estimate(self, unit: Unit) -> Estimate:
        """As SGD, and about twice as long again for the products (measured)."""
        (name,) = unit.science["runs"]
        found = estimate_stage(self.landscape, self.runs[name].settled(self.landscape, self._start(), 0), self._start())
        return found._replace(seconds=3 * found.seconds)

    def _start(self) -> Cloud:
        cloud: Cloud = self.landscape.init(self.seeds, stream(self.seed, "init"))
        return cloud.to(getattr(torch, self.dtype))
