"""Between two minima the noise of SGD and the curvature rise, although the path between them stays low."""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.cloud import points_at
from sgdtheory.kinds import Count
from sgdtheory.landscape import value_and_grad
from sgdtheory.measured import Results
from sgdtheory.paths.profile import train_losses
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.streams import stream
from sgdtheory.studies.parts.found_paths import FoundPaths, facts_of
from sgdtheory.studies.parts.traces import hessian_trace, noise_trace
from sgdtheory.studies.study import row_of
from sgdtheory.studies.verdicts.middles import claims, pair_row, plots


@dataclass(frozen=True)
class NoiseAlongPath(FoundPaths):
    """Tr C, Tr H and the data loss along paths that AutoNEB finds (entropic confinement, 2512.06297).

    Claim: curvature rises along a path of low loss, and the noise of SGD with it, so that noise drives SGD back to the ends.
    Refuted by a Tr C that is no higher in the middle third of paths than 1.3 times that at their ends, or by one that rises
    no more than the square of the data loss does: a gradient vanishes with its example's loss, so part of any rise is that.

    With strong weight decay there is little to see: what a path must not lose in ½λ|θ|² it cannot gain in flat ends.

    `points` stand evenly along each path. C is that of one sample's gradient (`size`: of SGD's batches, for batch norm alone).
    """

    points: Annotated[int, Ge(5)] = 9
    size: Count = 16

    def units(self, run: Run) -> list[Unit]:
        return [*self.path_units(run), *self.units_on_paths(run, "noise", ("points", "size"))]

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if "noise" not in unit.science:
            return self.find(folder)
        t = torch.linspace(0, 1, self.points, dtype=torch.float64)
        rows = []
        for k, theta in enumerate(points_at(self.path_of(folder), t)):
            folder.tell(k / self.points, f"point {k + 1} of {self.points}")
            stop_if_asked()
            rows.append({"t": float(t[k]), **self._look(theta, stream(self.seed_of(unit), "noise", k))})
        folder.finish({"rows": rows}, {})
        return None

    def _look(self, theta: Tensor, source: torch.Generator) -> dict[str, Any]:
        """One row a point."""
        objective, gradient = value_and_grad(self.landscape, theta[None])
        loss = train_losses(self.landscape, theta[None])
        facts = {"data_loss": float(loss[0]), "objective": float(objective[0]), "gradient_norm": float(gradient[0].norm())}
        noise = noise_trace(self.landscape, theta, self.size, source)
        return row_of(facts, noise_trace=noise, trace=hessian_trace(self.landscape, theta, source))

    def finish(self, run: Run) -> Results:
        found = [(facts_of(run, unit), run.result(unit)) for unit in self.units_on_paths(run, "noise", ("points", "size"))]
        results = [(facts, result["rows"]) for facts, result in found if result is not None]
        points = [{"path": f"path {facts['pair'] + 1}", **row} for facts, rows in results for row in rows]
        pairs = [pair_row(facts, rows) for facts, rows in results]
        tables = {"pairs": pairs, "points": points}
        return Results(claims(pairs, self.pairs), {}, {"tables": tables, "plots": [plot.as_dict() for plot in plots()]})

    def estimate(self, unit: Unit) -> Estimate:
        """A point costs a quarter of a second on digits (measured): some 160 Hessian-vector products."""
        return self.estimate_path() if "noise" not in unit.science else Estimate(0.25 * self.points, 1e9, 1e5)
