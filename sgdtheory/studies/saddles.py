"""Saddles of known index in a network's loss, and the ends of searches for critical points."""

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.critical_points import (
    STATIONARY,
    CriticalPoint,
    LevenbergMarquardt,
    critical_point_at,
)
from sgdtheory.geometry.units_left_out import known_index, mask_of_trained
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.descent import lbfgs
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Plot
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.shared.saddles import claims_of
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict

BACK = 1e-3  # of the way that it was shaken: nearer than this it has returned


@dataclass(frozen=True)
class Saddles(Study):
    """Critical points at high loss are saddles, and their index rises with the loss (Dauphin et al.
    2014).

    1406.2572. On a network of one hidden layer of m tanh units some are known exactly: train k of
    them with all weights of the others at 0. There ∇L = 0 by symmetry, and each unit left out adds
    to H the block [[λ, G], [Gᵀ, λ]], G [outputs, inputs + 1] what the outputs still lack times what
    the unit sees, of curvatures λ ± σ_i(G). So the index is (m − k) times the number of σ_i(G) > λ:
    (classes − 1)(m − k) where λ is below them all, for softmax takes one from the rank of G.
    Refuted by an index of a critical point that is another, or a search from close by that does not
    come back; of points at which the descent or a search was cut short nothing is said.

    At each λ of `weight_decays`; each point is searched for from a distance of `shake` in a random
    direction. The same search also starts from `snapshots` of SGD, as in the paper, at the last λ;
    its results have |∇L| and |H∇L|/|∇L|, because points that are only flat along the gradient are
    easily taken for critical ones (Frye et al. 2021, 2003.10397).
    """

    axes = ("weight_decays", "snapshots")

    model: Callable[..., nn.Module]
    network: Callable[..., NetworkLandscape]
    sgd: SGD
    search: LevenbergMarquardt = field(default_factory=LevenbergMarquardt)
    hidden: PositiveInt = 6
    weight_decays: Annotated[list[PositiveFloat], MinLen(1)] = field(
        default_factory=lambda: [1e-2, 3e-3, 1e-3]
    )
    shake: PositiveFloat = 0.05
    snapshots: tuple[NonNegativeInt, ...] = (30, 100, 300, 1000)
    descent: PositiveInt = 1000
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if not {"hidden", "activation"} <= set(inspect.signature(self.model).parameters):
            raise UserError(
                "model: units can be left out of one whose `hidden` gives its layers; use model=mlp"
            )
        activation = inspect.signature(self.model).parameters["activation"].default
        if activation != "tanh":
            raise UserError(
                f"model.activation={activation}: not known to be smooth, odd and of slope 1 at 0, "
                f"without which units left out are no saddle; use model.activation=tanh"
            )
        if self.sgd.learning_rate == "auto":
            raise UserError("sgd.learning_rate: give a number; no network of this study states one")
        landscape = self._network(self.weight_decays[0])
        refuse_augmented(landscape)
        refuse_batch(landscape, self.sgd.batch_size)
        if max(self.snapshots, default=0) > self.sgd.length:
            last = max(self.snapshots)
            raise UserError(f"snapshots: {last} is beyond sgd.steps={self.sgd.length}; lower it")

    @property
    def landscape(self) -> Subject:
        return Subject(f"one hidden layer of {self.hidden} tanh units, all or some of them trained")

    def cases(self) -> list[Case]:
        cases = []
        for decay, k in product(self.weight_decays, range(self.hidden + 1)):
            settings = {"weight_decay": decay, "trained": k}
            cases.append(Case(f"saddle-{in_full(decay)}-{k}", settings))
        last = self.weight_decays[-1]
        for step in self.snapshots:
            name = f"search-{in_full(last)}-{step}"
            cases.append(Case(name, {"weight_decay": last, "step": step}))
        return cases

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        landscape = self._network(case.settings["weight_decay"])
        if "trained" in case.settings:
            saddle, points = self._saddle(landscape, case.settings["trained"], folder)
            return {"saddles": [saddle]}, {"points": points}
        search, points = self._searched(landscape, case.settings["step"])
        return {"searches": [search]}, {"points": points}

    def _network(self, weight_decay: float) -> NetworkLandscape:
        model = partial(self.model, hidden=(self.hidden,))
        return self.network(model=model, weight_decay=weight_decay)

    def _saddle(
        self, landscape: NetworkLandscape, trained: int, folder: UnitFolder
    ) -> tuple[Row, Cloud]:
        """Train some of the units, determine the index, come back from nearby."""
        seed = key(self.seed, "saddle", landscape.weight_decay, trained)
        start = landscape.init(1, stream(seed, "init")).double()
        start = start * mask_of_trained(landscape, trained)
        best = lbfgs(
            landscape, start, self.descent, lambda done: folder.tell(0.3 * done, "descent")
        )[0]
        stop_if_asked()
        at = self.search.find(landscape, best)  # the last digits: L-BFGS may stop at |∇L| of 1e-7
        stop_if_asked()
        folder.tell(0.5, "search from nearby")
        noise = torch.randn(landscape.dim, generator=stream(seed, "shake"), dtype=torch.float64)
        shaken = at.theta + (self.shake * noise / noise.norm()).to(at.theta)
        back = self.search.find(landscape, shaken)
        index = known_index(landscape, at.theta, trained)
        row = saddle_row(landscape.weight_decay, trained, index, at, back, self.shake)
        return row, torch.stack([at.theta, back.theta])

    def _searched(self, landscape: NetworkLandscape, step: int) -> tuple[Row, Cloud]:
        """Where a search ends that begins at a snapshot of SGD; all snapshots are of one run."""
        seed = key(self.seed, "search", landscape.weight_decay)
        cloud = landscape.init(1, stream(seed, "init")).double()
        for state in islice(self.sgd.run(landscape, cloud, seed), step):
            cloud = state.cloud
        begin = critical_point_at(landscape, cloud[0])
        end = self.search.find(landscape, cloud[0])
        row = search_row(landscape.weight_decay, step, begin, end)
        return row, torch.stack([begin.theta, end.theta])

    def judge(self, tables: Tables) -> Verdict:
        saddles = tables["saddles"]
        searches = tables["searches"]
        shown = {"saddles": saddles, "searches": searches, "points": point_rows(saddles, searches)}
        claims = claims_of(saddles, searches, self.search.iterations)
        return Verdict(claims, shown, plots())

    def estimate(self, unit: Unit) -> Estimate:
        """As a Hessian and its diagonalisation at ten steps of a search, twice (measured)."""
        landscape = self._network(self.weight_decays[0])
        start = landscape.init(1, stream(self.seed, "init")).double()
        clock = time.perf_counter()
        critical_point_at(landscape, start[0])
        seconds = 20 * (time.perf_counter() - clock)
        return estimate_stage(landscape, self.sgd, start)._replace(seconds=seconds)


def saddle_row(
    decay: float, trained: int, index: int, at: CriticalPoint, back: CriticalPoint, shake: float
) -> Row:
    """A point whose index is known, and the search that comes back to it from a distance."""
    distance = float((back.theta - at.theta).norm())
    return {
        "weight_decay": decay,
        "trained": trained,
        "loss": at.data_loss(decay),
        "index": at.index,
        "known_index": index,
        "gradient_norm": at.gradient_norm,
        "margin": at.margin,
        "back_iterations": back.iterations,
        "back_distance": distance / shake,
        "returned": back.kind == "critical" and distance <= BACK * shake,
    }


def search_row(decay: float, step: int, begin: CriticalPoint, end: CriticalPoint) -> Row:
    """A search from a snapshot of SGD: the points at its start and at its end."""
    facts = {"weight_decay": decay, "step": step, "iterations": end.iterations}
    return {**facts, **begin.columns("start", decay), **end.columns("end", decay)}


def point_rows(saddles: Rows, searches: Rows) -> Rows:
    """All points together, for a picture of index against loss."""
    points = []
    for row in saddles:
        is_exact = row["gradient_norm"] < STATIONARY
        what = f"{'exact' if is_exact else 'not critical'}, λ = {row['weight_decay']:g}"
        points.append({"what": what, "loss": row["loss"], "index": row["index"]})
    for at, told in (("start", "snapshot of SGD"), ("end", "end of its search")):
        for row in searches:
            loss, index = row[f"{at}_loss"], row[f"{at}_index"]
            points.append({"what": told, "loss": loss, "index": index})
    return points


def plots() -> list[Plot]:
    labels = {
        "loss": "data loss / nats",
        "index": "index",
        "end_gradient_norm": "|∇L| at the end of the search",
        "end_gradient_curvature": "|H∇L| / |∇L| there",
        "end_loss": "data loss there / nats",
    }
    index = (
        "Number of directions down against the data loss: at points that are exactly critical, at "
        "snapshots of SGD, and where searches for critical points from those snapshots end. All "
        "three rise alike, so the rise alone is no evidence that a point is critical. One hidden "
        "layer, few units."
    )
    flat = (
        "Gradient, and curvature along it, where searches from snapshots of SGD end. At a "
        "critical point the gradient is below 1e-8; where it is not and the curvature along it is "
        "near 0, the search is at a minimum of |∇L|, and stuck."
    )
    return [
        Plot(
            "index_against_loss",
            "The index rises with the loss, at critical points or elsewhere",
            index,
            "points",
            "loss",
            ("index",),
            by="what",
            labels=labels,
            joined=False,
        ),
        Plot(
            "searches",
            "Where searches from points of SGD end",
            flat,
            "searches",
            "end_loss",
            ("end_gradient_norm", "end_gradient_curvature"),
            by="end_kind",
            log="y",
            labels=labels,
            joined=False,
        ),
    ]
