"""When one parameter is pushed, the others make up for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.curvature import hessian
from sgdtheory.descend import lbfgs
from sgdtheory.faults import Failure, Mistake
from sgdtheory.kinds import Count, Positive, Whole
from sgdtheory.landscape import value_and_grad
from sgdtheory.measured import Results, in_full
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.streams import key, stream
from sgdtheory.studies.study import Subject
from sgdtheory.studies.verdicts.pushes import describe, push, results, second_order

DENSE = 6000  # parameters up to which the whole Hessian can be written down
STATIONARY = 1e-6  # |∇L| of a minimum


@dataclass(frozen=True)
class Compensation:
    """How much of the loss's rise the other parameters make up for when one is pushed by δ and held.

    Claim (Draxler et al. 2018, 1803.00885, 5: "the myriad other parameters can make up for the change"): minima are joined
    by flat paths because no single parameter matters. Refuted by a wide network whose other parameters make up less than
    97 % of the data loss's rise or leave more than twice the price ½λδ² of the pushed parameter itself, or by a narrow one,
    two hidden units, that does it as well. To second order 1/(H_ii (H⁻¹)_ii) of the rise is left, which is checked at the
    smallest of the `deltas`; the rest is claimed at the largest.

    The minimum is one of L-BFGS from random weights; `pushed` parameters are drawn from all that the data loss knows, the
    same for every δ, the sign of δ with them. In float64 throughout: what is left is a difference of 1e-6 of the loss. λ > 0
    must make the minimum one.
    """

    landscapes: dict[str, Any]
    deltas: Annotated[tuple[Positive, ...], MinLen(1)]
    pushed: Annotated[int, Ge(2)] = 16
    search_steps: Count = 3000
    steps: Count = 300
    seed: Whole = 0

    def __post_init__(self) -> None:
        if len(self.landscapes) != 2:
            raise Mistake(f"landscapes: name two networks, the wide one first, not {len(self.landscapes)}")
        for name, landscape in self.landscapes.items():
            if not getattr(landscape, "weight_decay", 0.0) > 0:
                raise Mistake(f"landscapes.{name}: without weight decay no minimum is one point; use weight_decay=0.001")
            if landscape.dim > DENSE:
                raise Mistake(f"landscapes.{name}: {landscape.dim:,} parameters are more than the {DENSE:,} whose Hessian fits")

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(getattr(landscape, "title", name) for name, landscape in self.landscapes.items()))

    def units(self, run: Run) -> list[Unit]:
        return [Unit(f"{name}-delta-{in_full(delta)}", self._science(run, name, delta)) for name, delta in self._asked()]

    def _asked(self) -> list[tuple[str, float]]:
        return [(name, delta) for name in self.landscapes for delta in self.deltas]

    def _science(self, run: Run, name: str, delta: float) -> dict[str, Any]:
        shared = {what: value for what, value in run.science.items() if what not in ("landscapes", "deltas")}
        return {**shared, "landscape": run.science["landscapes"][name], "of": name, "delta": delta}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        name, delta = unit.science["of"], unit.science["delta"]
        landscape = self.landscapes[name]
        tell = self._teller(folder)
        theta = self._minimum(landscape, name, tell)
        norm = float(value_and_grad(landscape, theta[None])[1].norm())
        if not norm <= STATIONARY:
            raise Failure(f"L-BFGS stopped at |∇L| = {norm:.1e}, which is no minimum; raise search_steps ({self.search_steps})")
        tell(0.25, "the whole Hessian")
        whole = hessian(landscape, theta)
        indices, signs = self._chosen(landscape, name, whole)
        theory, rows = second_order(whole, indices), []
        for k, (index, sign, share) in enumerate(zip(indices, signs, theory, strict=True)):
            tell(0.3 + 0.7 * k / len(indices), f"parameter {k + 1} of {len(indices)}")
            row = push(landscape, theta, index, sign * delta, self.steps)
            rows.append({**describe(row, landscape.weight_decay), "theory": share})
        folder.finish({"rows": rows, "parameters": landscape.dim, "gradient_norm": norm}, {"minima": theta[None]})

    def _teller(self, folder: UnitFolder) -> Callable[[float, str], None]:
        def tell(done: float, what: str) -> None:
            folder.tell(done, what)
            stop_if_asked()

        return tell

    def _minimum(self, landscape: Any, name: str, tell: Callable[[float, str], None]) -> Tensor:
        start = landscape.init(1, stream(self.seed, "init", name)).double()
        return lbfgs(landscape, start, self.search_steps, lambda done: tell(0.25 * done, "the minimum"))[0]

    def _chosen(self, landscape: Any, name: str, whole: Tensor) -> tuple[list[int], list[int]]:
        """Which parameters are pushed, and to which side: of those that the data loss knows, no weight of an empty pixel."""
        source = stream(self.seed, "pushed", name)
        known = (whole.diagonal() - landscape.weight_decay).abs() > 1e-12
        indices = [i for i in torch.randperm(landscape.dim, generator=source).tolist() if known[i]][: self.pushed]
        return indices, (2 * torch.randint(0, 2, (len(indices),), generator=source) - 1).tolist()

    def finish(self, run: Run) -> Results:
        rows = []
        for name, delta in self._asked():
            found = run.result(Unit("", self._science(run, name, delta))) or {"rows": []}
            rows += [{"network": name, "series": f"{name}, δ = {in_full(delta)}", **row} for row in found["rows"]]
        return results(rows, list(self.deltas), list(self.landscapes))

    def estimate(self, unit: Unit) -> Estimate:
        """Products with the Hessian, and gradients of all L-BFGS iterations, as long as one gradient that is timed."""
        landscape = self.landscapes[unit.science["of"]]
        point = landscape.init(1, stream(self.seed, key(0, "estimate"))).double()
        clock = time.perf_counter()
        value_and_grad(landscape, point)
        seconds = time.perf_counter() - clock
        gradients = self.search_steps + self.pushed * (self.steps + 300) + 2 * landscape.dim
        return Estimate(seconds * gradients, 8.0 * 3 * landscape.dim**2 + 5e8, 16.0 * landscape.dim + 65536)
