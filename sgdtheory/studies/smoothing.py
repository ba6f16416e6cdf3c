"""SGD gets past spikes that gradient descent is stuck on, because its noise smooths them away."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from torch import Tensor

from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, NonNegative, Positive, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Results
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.sgd import SGD
from sgdtheory.streams import key, stream
from sgdtheory.studies.verdicts.arrivals import DESCENT, SMOOTHED, STOCHASTIC, arrival_row, claims, plots, scale_rows


@dataclass(frozen=True)
class Smoothing:
    """Share of replicas that reach the centre of a spiky bowl, against the width s of a step's noise (Kleinberg et al. 2018).

    Claim (1802.06175, Section 1): with y = θ − η∇L a step of SGD is y ← y − ηω − η∇L(y − ηω), in the mean gradient descent
    on E_ω L(y − ηω); what is sharper than ηω is smoothed away. Here ηω has standard deviation s, and s* is the width at which
    the smoothed function has no minimum left but the centre. Refuted by SGD that is stuck at .75 s*, or gets through at
    .25 s* already; by descent on the smoothed function that does not turn over at s*; by gradient descent that arrives.

    Three methods from the same starts, at a distance `starts` from the centre in random directions: SGD at s = `stochastic`
    times s*, gradient descent on the function smoothed by `smoothed` times s*, and on the bare one. A replica has arrived
    when it has been within `radius` of the centre. `seeds` groups of `replicas`, a unit each.
    """

    landscape: Landscape
    sgd: SGD
    stochastic: Annotated[list[Positive], MinLen(1)]
    smoothed: Annotated[list[Positive], MinLen(1)]
    starts: tuple[NonNegative, Positive] = (1.25, 2.38)
    radius: Positive = 0.1
    replicas: Count = 1000
    seeds: Count = 3
    dtype: Dtype = "float64"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if not (hasattr(self.landscape, "smoothed") and hasattr(self.landscape, "threshold")):
            raise Mistake("landscape: its smoothing must be known in closed form; use landscape=spiky")
        if self.landscape.threshold() <= 0:
            raise Mistake("landscape: it has no minimum but the centre, so nothing is stuck; raise landscape.spikes")
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto":
            raise Mistake("sgd: learning_rate and batch_size must be numbers, for they set the noise")

    def units(self, run: Run) -> list[Unit]:
        return [Unit(f"seed-{i}", self._science(run, i)) for i in range(self.seeds)]

    def _science(self, run: Run, index: int) -> dict[str, Any]:
        return {name: value for name, value in run.science.items() if name != "seeds"} | {"index": index}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        index, rows = unit.science["index"], []
        asked = [(STOCHASTIC, s) for s in self.stochastic] + [(SMOOTHED, s) for s in self.smoothed] + [(DESCENT, 0.0)]
        start = self._start(index)
        for k, (method, scale) in enumerate(asked):
            folder.tell(k / len(asked), f"{method}, s = {scale:g} s*")
            stop_if_asked()
            steps, distance = self._descend(method, scale, start, key(self.seed, "kicks", index, k))
            rows.append(arrival_row(method, scale, steps, distance, self.starts[0]))
        folder.finish({"rows": rows}, {"starts": start})

    def _descend(self, method: str, scale: float, start: Cloud, seed: int) -> tuple[Tensor, Tensor]:
        """The step at which each replica arrived [P], infinite for those that did not, and how far it is at the end [P]."""
        width: float = scale * self.landscape.threshold()  # type: ignore[attr-defined]
        landscape, sgd = self.landscape, replace(self.sgd, batch_size=None)
        if method == SMOOTHED:
            landscape = self.landscape.smoothed(width)  # type: ignore[attr-defined]
        elif method == STOCHASTIC:
            landscape, sgd = self._with_noise(width), self.sgd
        centre = landscape.minima()[0].to(start)  # type: ignore[attr-defined]
        steps = torch.full((len(start),), torch.inf)
        distance = (start - centre).norm(dim=1)
        for state in sgd.run(landscape, start, seed):
            distance = (state.cloud - centre).norm(dim=1)
            steps[(distance <= self.radius) & steps.isinf()] = state.step
        return steps, distance

    def _with_noise(self, width: float) -> Landscape:
        """The noise of one sample with which ηξ, ξ ~ N(0, noise/b), has this standard deviation in each direction."""
        assert self.sgd.batch_size is not None and self.sgd.learning_rate != "auto"
        noise = self.sgd.batch_size * (width / self.sgd.learning_rate) ** 2
        landscape: Landscape = replace(self.landscape, noise=noise)  # type: ignore[type-var]
        return landscape

    def _start(self, index: int) -> Cloud:
        generator = stream(self.seed, "starts", index)
        away = torch.randn(self.replicas, self.landscape.dim, generator=generator, dtype=torch.float64)
        low, high = self.starts
        distance = low + (high - low) * torch.rand(self.replicas, 1, generator=generator, dtype=torch.float64)
        centre = self.landscape.minima()[0]  # type: ignore[attr-defined]
        cloud: Cloud = centre + (distance * away / away.norm(dim=1, keepdim=True)).to(centre)
        return cloud.to(getattr(torch, self.dtype))

    def finish(self, run: Run) -> Results:
        found = [run.result(unit) for unit in self.units(run)]
        rows = [{"seed": i, **row} for i, result in enumerate(found) if result is not None for row in result["rows"]]
        scales = scale_rows(rows)
        return Results(
            claims(scales), {}, {"tables": {"scales": scales, "seeds": rows}, "plots": [plot.as_dict() for plot in plots()]}
        )

    def estimate(self, unit: Unit) -> Estimate:
        """As one stage of SGD for each width and method."""
        found = estimate_stage(self.landscape, self.sgd, self._start(0))
        return found._replace(seconds=found.seconds * (len(self.stochastic) + len(self.smoothed) + 1))
