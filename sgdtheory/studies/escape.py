"""Noise takes SGD over a barrier in the time that theory says."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen

from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.fokker_planck.law import temperature, time_step
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.kinds import Count, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Measured, Results
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.sgd import SGD, SGDState
from sgdtheory.streams import key
from sgdtheory.studies.verdicts.passages import PLOTS, claims, curves, passage_row


@dataclass(frozen=True)
class Escape:
    """Mean time from the bottom of one well to that of the other, at several temperatures set by the batch size.

    Claim: it is (1/D)∫e^{V(y)/D}∫e^{−V(z)/D} (Gardiner, Handbook of Stochastic Methods, Eq. 5.2.157), D = c·η/2b(1−μ), and
    Kramers' 1/rate when D is small (Kramers 1940, Eq. 17). Refuted by a time more than 8 % from the integral's, where the
    errors allow to say so.

    `replicas` points start at the first minimum; each is watched until its first native coordinate has reached the second
    one's. The landscape states `mean_first_passage(temperature)` and `kramers_rate(temperature)`, noise c·1. `sgd.steps` is
    where waiting ends: as long as a point has not arrived there is no mean.
    """

    landscape: Landscape
    sgd: SGD
    batch_sizes: Annotated[list[Count], MinLen(1)]
    replicas: Annotated[int, Ge(2)] = 4000
    dtype: Dtype = "float32"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if not all(hasattr(self.landscape, name) for name in ("mean_first_passage", "kramers_rate", "native", "minima")):
            raise Mistake("landscape: escape needs one whose times are known; use landscape=double_well")
        if self.sgd.learning_rate == "auto":
            raise Mistake("sgd.learning_rate: give a number, for it says what the temperature is")

    def units(self, run: Run) -> list[Unit]:
        shared = {name: value for name, value in run.science.items() if name != "batch_sizes"}
        return [Unit(f"batch-{size}", shared | {"batch_size": size}) for size in self.batch_sizes]

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        sgd = self._sgd(unit.science["batch_size"])
        landscape: Any = self.landscape
        end = float(landscape.native(landscape.minima())[1, 0])
        seed, start = key(self.seed, "escape", sgd.batch_size), self._start()

        def look(state: SGDState, seen: Seen) -> None:
            arrived = landscape.native(state.cloud)[:, 0] >= end
            seen["steps"].masked_fill_(arrived & (seen["steps"] == 0), state.step)

        waiting: Seen = {"steps": torch.zeros(self.replicas, dtype=torch.int64, device=start.device)}
        _, seen = watch(folder, sgd, landscape, start, seed, waiting, look, enough=lambda seen: bool((seen["steps"] > 0).all()))
        folder.finish({}, seen)

    def _sgd(self, size: int) -> SGD:
        return replace(self.sgd, batch_size=size)

    def _start(self) -> Cloud:
        first: Cloud = self.landscape.minima()[0]  # type: ignore[attr-defined]
        return first.to(getattr(torch, self.dtype)).expand(self.replicas, -1).clone()

    def finish(self, run: Run) -> Results:
        rows: list[dict[str, Any]] = []
        for unit in self.units(run):
            if run.result(unit) is not None:
                sgd, steps = self._sgd(unit.science["batch_size"]), run.folder(unit).clouds()["steps"].cpu()
                late = int((steps == 0).sum())
                why = f"{late} of {self.replicas} points have not arrived after {sgd.steps} steps; raise sgd.steps"
                time = Measured.nothing(why) if late else Measured.mean(steps.double().numpy() * time_step(sgd))
                rows.append(passage_row(self.landscape, sgd, time))
        tables = {"passages": rows, "curves": curves(rows)}
        return Results(claims(rows), {}, {"tables": tables, "plots": [plot.as_dict() for plot in PLOTS]})

    def estimate(self, unit: Unit) -> Estimate:
        """As nine mean times, about what the slowest of thousands takes."""
        sgd, landscape = self._sgd(unit.science["batch_size"]), self.landscape
        mean: float = landscape.mean_first_passage(temperature(sgd))  # type: ignore[attr-defined]
        return estimate_stage(landscape, replace(sgd, steps=min(sgd.steps, int(9 * mean / time_step(sgd)))), self._start())
