"""SGD gets past spikes at which gradient descent is stuck, because its noise smooths them away."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegative, NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.theory import refuse_others
from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of
from sgdtheory.rng import key, stream
from sgdtheory.roles.closed_forms import Smoothable, is_smoothable
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.proportions import share
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped_by, known
from sgdtheory.studies.shared.curvatures import stiffest
from sgdtheory.studies.smoothings.claims import DESCENT, EDGE, SMOOTHED, STOCHASTIC, claims_of
from sgdtheory.studies.smoothings.plots import plots
from sgdtheory.studies.study import Case, Study, Tables, Verdict, left_open

LONGER = 20  # times the steps: what arrives in so many is not stuck


@dataclass(frozen=True)
class Smoothing(Study):
    """SGD gets past spikes that gradient descent is stuck on: its noise smooths them away
    (Kleinberg et al. 2018).

    Share of replicas that reach the centre of a spiky bowl, against the width s of a step's noise
    (Kleinberg et al. 2018).

    Claim (1802.06175, Section 1): with y = θ − η∇L a step of SGD is y ← y − ηω − η∇L(y − ηω), in
    the mean gradient descent on E_ω L(y − ηω); what is sharper than ηω is smoothed away. Here ηω
    has standard deviation s, and s* is the width at which the smoothed function has no minimum left
    but the centre. Refuted by SGD that is stuck at .75 s*, or gets through at .25 s* already; by
    descent on the smoothed function that does not turn over at s*; by gradient descent that
    arrives.

    Three methods from the same starts, at a distance `starts` from the centre in random directions:
    SGD at s = `stochastic` times s*, gradient descent on the function smoothed by `smoothed` times
    s*, and on the bare one. A replica has arrived when it has been within `radius` of the centre.
    `seeds` groups of `replicas`, a unit each.
    """

    axes = ("seeds",)

    landscape: Landscape
    sgd: SGD
    stochastic: Annotated[list[PositiveFloat], MinLen(1)]
    smoothed: Annotated[list[PositiveFloat], MinLen(1)]
    starts: tuple[NonNegative, PositiveFloat] = (1.25, 2.38)
    radius: PositiveFloat = 0.1
    replicas: PositiveInt = 1000
    seeds: PositiveInt = 3
    dtype: Dtype = "float64"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self._smoothable.threshold() <= 0:
            raise UserError(
                "landscape: it has no minimum but the centre, so nothing is stuck; raise "
                "landscape.spikes"
            )
        near, far = self.starts
        if not self.radius < near <= far:
            raise UserError(
                f"radius={self.radius:g} starts=[{near:g},{far:g}]: replicas must start outside "
                f"the radius in which they count as arrived, the nearest first"
            )
        refuse_others(self.sgd)
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto":
            raise UserError("sgd: learning_rate and batch_size must be numbers, that set the noise")
        if self.sgd.momentum:
            raise UserError("sgd.momentum: s* is that of steps without a memory; use 0")

    @property
    def _smoothable(self) -> Smoothable:
        if not is_smoothable(self.landscape):
            raise UserError(
                "landscape: its smoothing must be known in closed form; use landscape=spiky"
            )
        return self.landscape

    def cases(self) -> list[Case]:
        return [Case(f"seed-{i}", {"seed": i}) for i in range(self.seeds)]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        index, rows = case.settings["seed"], []
        start, runs = self._start(index), self._runs()
        for k, (method, scale) in enumerate(runs):
            folder.tell(k / len(runs), f"{method}, s = {scale:g} s*")
            stop_if_asked()
            steps, distance = self._descend(method, scale, start, key(self.seed, "kicks", index, k))
            rows.append(arrival_row(method, scale, steps, distance, self.starts[0]))
        return {"seeds": rows}, {"starts": start}

    def _runs(self) -> list[tuple[str, float]]:
        """All methods, each with the width over s*."""
        return [
            *product([STOCHASTIC], self.stochastic),
            *product([SMOOTHED], self.smoothed),
            (DESCENT, 0.0),
        ]

    def _descend(
        self,
        method: str,
        scale: float,
        start: Cloud,
        seed: int,
    ) -> tuple[Tensor, Tensor]:
        """The step at which each replica arrived [P], infinite for those that did not, and its
        distance from the centre at the end [P].
        """
        landscape, sgd = self._smoothable, replace(self.sgd, batch_size=None)
        width = scale * landscape.threshold()
        if method == SMOOTHED:
            landscape = landscape.smoothed(width)
        elif method == STOCHASTIC:
            landscape = self._with_noise(width)
            sgd = self.sgd
        centre = landscape.minima()[0].to(start)
        steps = torch.full((len(start),), torch.inf)
        distance = (start - centre).norm(dim=1)
        for state in sgd.run(landscape, start, seed):
            distance = (state.cloud - centre).norm(dim=1)
            steps[(distance <= self.radius) & steps.isinf()] = state.step
        return steps, distance

    def _with_noise(self, width: float) -> Smoothable:
        """The landscape whose noise gives ηξ, ξ ~ N(0, noise/b), this standard deviation in each
        direction.
        """
        noise = self.sgd.size * (width / self.sgd.rate) ** 2
        return self._smoothable.with_noise(noise)

    def _start(self, index: int) -> Cloud:
        generator = stream(self.seed, "starts", index)
        shape = (self.replicas, self.landscape.dim)
        away = torch.randn(shape, generator=generator, dtype=torch.float64)
        uniform = torch.rand(self.replicas, 1, generator=generator, dtype=torch.float64)
        low, high = self.starts
        distance = low + (high - low) * uniform
        centre = self._smoothable.minima()[0]
        cloud: Cloud = centre + (distance * away / away.norm(dim=1, keepdim=True)).to(centre)
        return cloud.to(dtype_of(self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        scales = scale_rows(tables["seeds"])
        claims = left_open(claims_of(scales), self._doubt())
        return Verdict(claims, {"scales": scales, "seeds": tables["seeds"]}, plots())

    def _doubt(self) -> str:
        """Why nothing is said of spikes; empty where they are what replicas are stuck on."""
        steep = self.sgd.rate * stiffest(self.landscape)
        if steep > 1:
            return (
                f"ηh = {steep:.2g} at the centre: above 1 a step of descent may jump over a spike"
            )
        bare = self._smoothable
        near, far = self.starts
        if self._last_arrival(bare, near, self.sgd.length) is not None:
            return (
                f"starts={near:g} lies in the centre's own well, where nothing is stuck: raise it"
            )
        # on the function smoothed by a little more than s* what arrives later lacked the time
        spikeless = bare.smoothed((1 + EDGE) * bare.threshold())
        last = self._last_arrival(spikeless, far, LONGER * self.sgd.length)
        if last is None or last <= self.sgd.length:
            return ""
        few = f"sgd.steps={self.sgd.length} are too few to reach the centre"
        return f"{few} even where no spike is left: raise them to {last} at least"

    def _last_arrival(self, landscape: Smoothable, distance: float, steps: int) -> int | None:
        """The step at which the last replica has arrived that descends from this distance; None
        where some have not after so many steps."""
        centre = landscape.minima()[0]
        away = self._start(0).to(centre) - centre
        start = centre + distance * away / away.norm(dim=1, keepdim=True)
        descent = replace(self.sgd, batch_size=None, steps=steps)
        waiting = torch.ones(len(start), dtype=torch.bool)
        for state in descent.run(landscape, start.to(dtype_of(self.dtype)), 0):
            waiting &= ((state.cloud - centre).norm(dim=1) > self.radius).cpu()
            if not waiting.any():
                return state.step
        return None

    def estimate(self, unit: Unit) -> Estimate:
        """As one stage of SGD for each width and method."""
        stage = estimate_stage(self.landscape, self.sgd, self._start(0))
        return stage._replace(seconds=stage.seconds * len(self._runs()))


def arrival_row(method: str, scale: float, steps: Tensor, distance: Tensor, near: float) -> Row:
    """Counts of one group: `steps` at which each replica arrived [P], infinite for never, and
    `distance` at the end [P]; those closer than `near`, the distance of the nearest start, have
    stayed.
    """
    arrived = steps.isfinite()
    return {
        "method": method,
        "scale": scale,
        "replicas": len(steps),
        "arrived": int(arrived.sum()),
        "stayed": int((arrived & (distance < near)).sum()),
        "steps": float(steps[arrived].mean()) if arrived.any() else None,
        "distance": float(distance.square().mean().sqrt()),
        "lost": int((~torch.isfinite(distance)).sum()),
    }


def scale_rows(rows: Rows) -> Rows:
    """One row for each method and width: all groups together."""
    scales = []
    for (method, scale), same in grouped_by(rows, "method", "scale").items():
        count = sum(column_of(same, "arrived"))
        total = sum(column_of(same, "replicas"))
        stayed = sum(column_of(same, "stayed"))
        lost = sum(column_of(same, "lost"))
        steps = Measured.mean(column_of(known(same, "steps"), "steps"))
        if count == 0:
            steps = Measured.nothing("none arrived")
        facts = {"method": method, "scale": scale, "replicas": total, "lost": lost}
        distance = Measured.mean(column_of(same, "distance"))
        columns = {
            "arrived": share(count, total),
            "stayed": share(stayed, count),
            "steps": steps,
            "distance_at_end": distance,
        }
        scales.append(row_of(facts, **columns))
    return scales
