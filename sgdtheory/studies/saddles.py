"""Saddles of known index in a network's loss, and what a search for critical points finds from elsewhere."""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from torch import nn

from sgdtheory.critical import CriticalPoints, look
from sgdtheory.descend import lbfgs
from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Positive, Whole
from sgdtheory.landscape import Cloud
from sgdtheory.measured import Results, in_full
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.sgd import SGD
from sgdtheory.streams import key, stream
from sgdtheory.studies.study import Subject
from sgdtheory.studies.verdicts.indices import claims, kept, plots, point_rows, saddle_row, search_row


@dataclass(frozen=True)
class Saddles:
    """Index against loss of critical points, exact ones and searched ones (Dauphin et al. 2014, 1406.2572).

    Claim: critical points at high loss are saddles whose index rises with the loss. On a network of one hidden layer of m tanh
    units some are known exactly: train k of them with all weights of the others at 0. There ∇L = 0 by symmetry, and each unit
    left out adds to H the block [[λ, G], [Gᵀ, λ]], G [classes, inputs + 1] what the outputs still lack times what the unit
    sees, of curvatures λ ± σ_i(G). The rank of G is classes − 1, so the index is (classes − 1)(m − k) where λ is below them
    all. Refuted by an index that is another, or a search from close by that does not come back.

    At each λ of `weight_decays`; each point is searched for from a distance of `shake` in a random direction. Beside it the
    same search from `snapshots` of SGD, as in the paper, at the last λ, each result with |∇L| and |H∇L|/|∇L|: places that
    are only flat along the gradient pass for critical points (Frye et al. 2021, 2003.10397).
    """

    model: Callable[..., nn.Module]
    network: Callable[..., Any]
    sgd: SGD
    search: CriticalPoints = field(default_factory=CriticalPoints)
    hidden: Count = 6
    weight_decays: Annotated[list[Positive], MinLen(1)] = field(default_factory=lambda: [1e-2, 3e-3, 1e-3])
    shake: Positive = 0.05
    snapshots: tuple[Whole, ...] = (30, 100, 300, 1000)
    descent: Count = 1000
    seed: Whole = 0

    def __post_init__(self) -> None:
        if not {"hidden", "activation"} <= set(inspect.signature(self.model).parameters):
            raise Mistake("model: units can be left out of one whose `hidden` gives its layers; use model=mlp")
        if self.sgd.learning_rate == "auto":
            raise Mistake("sgd.learning_rate: give a number; the networks of this study are no group that could say one")
        if max(self.snapshots, default=0) > self.sgd.steps:
            raise Mistake(f"snapshots: {max(self.snapshots)} is beyond sgd.steps={self.sgd.steps}; lower it")

    @property
    def landscape(self) -> Subject:
        return Subject(f"one hidden layer of {self.hidden} tanh units, all or some of them trained")

    def units(self, run: Run) -> list[Unit]:
        asked: list[tuple[str, float, int]] = []
        asked += [("saddle", decay, k) for decay in self.weight_decays for k in range(self.hidden + 1)]
        asked += [("search", self.weight_decays[-1], step) for step in self.snapshots]
        return [Unit(f"{kind}-{in_full(decay)}-{k}", self._science(run, kind, decay, k)) for kind, decay, k in asked]

    def _science(self, run: Run, kind: str, decay: float, k: int) -> dict[str, Any]:
        shared = {name: value for name, value in run.science.items() if name not in ("weight_decays", "snapshots")}
        return {**shared, "of": kind, "weight_decay": decay, "k": k}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        decay, k = unit.science["weight_decay"], unit.science["k"]
        landscape = self.network(model=partial(self.model, hidden=(self.hidden,)), weight_decay=decay)
        row, points = self._saddle(landscape, k, folder) if unit.science["of"] == "saddle" else self._searched(landscape, k)
        folder.finish({"row": row}, {"points": points})

    def _saddle(self, landscape: Any, trained: int, folder: UnitFolder) -> tuple[dict[str, Any], Cloud]:
        """Train some of the units, look at the index, come back from nearby."""
        seed = key(self.seed, "saddle", landscape.weight_decay, trained)
        start = landscape.init(1, stream(seed, "init")).double() * kept(landscape, trained)
        best = lbfgs(landscape, start, self.descent, lambda done: folder.tell(0.3 * done, "descent"))[0]
        stop_if_asked()
        at = self.search.find(landscape, best)  # the last digits: L-BFGS may stop at |∇L| of 1e-7
        stop_if_asked()
        folder.tell(0.5, "search from nearby")
        noise = torch.randn(landscape.dim, generator=stream(seed, "shake"), dtype=torch.float64)
        back = self.search.find(landscape, at.theta + (self.shake * noise / noise.norm()).to(at.theta))
        row = saddle_row(landscape, self.hidden, trained, at, back, self.shake)
        return row, torch.stack([at.theta, back.theta])

    def _searched(self, landscape: Any, step: int) -> tuple[dict[str, Any], Cloud]:
        """Where a search ends that begins at a snapshot of SGD; all snapshots are of one run."""
        seed = key(self.seed, "search", landscape.weight_decay)
        cloud = landscape.init(1, stream(seed, "init")).double()
        for state in islice(self.sgd.run(landscape, cloud, seed), step):
            cloud = state.cloud
        begin, end = look(landscape, cloud[0]), self.search.find(landscape, cloud[0])
        return search_row(landscape, step, begin, end), torch.stack([begin.theta, end.theta])

    def finish(self, run: Run) -> Results:
        rows: dict[str, list[dict[str, Any]]] = {"saddle": [], "search": []}
        for unit in self.units(run):
            rows[unit.science["of"]] += [result["row"]] if (result := run.result(unit)) is not None else []
        saddles, searches = rows.values()
        tables = {"saddles": saddles, "searches": searches, "points": point_rows(saddles, searches)}
        return Results(claims(saddles, searches), {}, {"tables": tables, "plots": [plot.as_dict() for plot in plots()]})

    def estimate(self, unit: Unit) -> Estimate:
        """As a Hessian and its diagonalisation at ten steps of a search, twice (measured)."""
        landscape = self.network(model=partial(self.model, hidden=(self.hidden,)), weight_decay=self.weight_decays[0])
        start = landscape.init(1, stream(self.seed, "init")).double()
        clock = time.perf_counter()
        look(landscape, start[0])
        return estimate_stage(landscape, self.sgd, start)._replace(seconds=20 * (time.perf_counter() - clock))
