"""The flatness of where SGD ends against its temperature."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.descend import lbfgs
from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Positive, Whole
from sgdtheory.landscape import Cloud, values
from sgdtheory.measured import Results, in_full
from sgdtheory.paths.string_sampling import descend_to
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.schedule import Constant
from sgdtheory.sgd import SGD
from sgdtheory.stage import run_stage
from sgdtheory.streams import key, stream
from sgdtheory.studies.parts.traces import hessian_trace
from sgdtheory.studies.study import Subject, row_of
from sgdtheory.studies.verdicts.flatness import results


@dataclass(frozen=True)
class FlatnessAgainstTemperature:
    """Exponents of Tr H in η/b, in η and in 1/b, over a grid of both, at equal loss and without weight decay.

    Claim (Keskar et al. 2017, 1609.04836; Jastrzębski et al. 2017, 1711.04623): the noise of SGD, whose size is the
    temperature η/2b, chooses flat minima, so Tr H falls with η/b and depends on η and b in no other way. Refuted by a slope of
    log Tr H outside −0.4 … −0.15, or one of less than eight standard errors, or exponents of η and 1/b more than 0.1 apart.

    All run for the same time ηt = `time`, each cell's seeds as one cloud, then `descent` takes them down to the loss `target`.
    The slope is that of this `time`: −.2 at 50, −.3 at 60, −.4 at 100 (measured), for noise goes on looking for flat ground.
    With weight decay and L-BFGS to the bottom instead, on the corners of the grid, hardly anything should be left of it.
    """

    network: Callable[..., Any]
    learning_rates: Annotated[tuple[Positive, ...], MinLen(1)]
    batch_sizes: Annotated[tuple[Count, ...], MinLen(1)]
    descent: SGD
    time: Positive = 60.0
    seeds: Annotated[int, Ge(2)] = 5
    target: Positive = 0.02
    every: Count = 5
    sketch: Count = 12
    probes: Annotated[int, Ge(2)] = 12
    weight_decay: Positive = 1e-3
    polish_steps: Count = 300
    dtype: Dtype = "float64"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if len(self._cells()) < len(self.learning_rates) * len(self.batch_sizes) + 1:
            raise Mistake("learning_rates, batch_sizes: the same value stands twice; leave one out")

    @property
    def landscape(self) -> Subject:
        network = self.network(weight_decay=0.0)
        return Subject(getattr(network, "title", type(network).__name__), network.dim)

    def _cells(self) -> list[tuple[float, float, int]]:
        """(λ, η, b): the grid at λ = 0, its corners with weight decay."""
        rates, sizes = self.learning_rates, self.batch_sizes
        corners = [(self.weight_decay, rate, size) for rate in (min(rates), max(rates)) for size in (min(sizes), max(sizes))]
        return list(dict.fromkeys([*((0.0, rate, size) for rate in rates for size in sizes), *corners]))

    def units(self, run: Run) -> list[Unit]:
        return [Unit(_named(cell), self._science(run, cell)) for cell in self._cells()]

    def _science(self, run: Run, cell: tuple[float, float, int]) -> dict[str, Any]:
        grid = ("learning_rates", "batch_sizes", "weight_decay")
        return {name: value for name, value in run.science.items() if name not in grid} | {"of": list(cell)}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        decay, rate, size = unit.science["of"]
        landscape, seed = self.network(weight_decay=decay), key(self.seed, "cell", decay, rate, size)
        cloud = run_stage(folder, "noisy", self._sgd(rate, size), landscape, self._start(landscape), seed, share=(0.0, 0.5))
        before = values(landscape, cloud)
        folder.tell(0.5, "down")
        if decay:
            cloud = lbfgs(landscape, cloud, self.polish_steps, lambda done: stop_if_asked())
        else:
            cloud = descend_to(landscape, self.descent, cloud, self.target, self.every, seed, stop_if_asked).cloud
        folder.tell(0.8, "curvature")
        points = enumerate(zip(cloud, before.tolist(), strict=True))
        rows = [{"point": p, "loss_before": was, **self._row(landscape, x, key(seed, "trace", p))} for p, (x, was) in points]
        folder.finish({"rows": rows}, {"minima": cloud})

    def _row(self, landscape: Any, theta: Tensor, seed: int) -> dict[str, Any]:
        loss = float(values(landscape, theta[None])[0])
        height = hessian_trace(landscape, theta, stream(seed), self.sketch, self.probes)
        return row_of({"loss": loss, "norm": float(theta.norm())}, trace=height)

    def _sgd(self, rate: float, size: int) -> SGD:
        return SGD(max(1, round(self.time / rate)), size, rate, Constant())

    def _start(self, landscape: Any) -> Cloud:
        cloud: Cloud = landscape.init(self.seeds, stream(self.seed, "init"))
        return cloud.to(getattr(torch, self.dtype))

    def finish(self, run: Run) -> Results:
        rows = []
        for decay, rate, size in self._cells():
            found = run.result(Unit("", self._science(run, (decay, rate, size)))) or {"rows": []}
            facts = {"weight_decay": decay, "learning_rate": rate, "batch_size": size}
            rows += [{**facts, **row} for row in found["rows"]]
        free, held = ([row for row in rows if bool(row["weight_decay"]) is decayed] for decayed in (False, True))
        return results(free, held, self.weight_decay)

    def estimate(self, unit: Unit) -> Estimate:
        """As the noisy stage, and about as long again for the descent and the traces (measured)."""
        decay, rate, size = unit.science["of"]
        landscape = self.network(weight_decay=decay)
        found = estimate_stage(landscape, self._sgd(rate, size), self._start(landscape))
        return found._replace(seconds=2 * found.seconds)


def _named(cell: tuple[Any, ...]) -> str:
    return f"decay-{in_full(cell[0])}-rate-{in_full(cell[1])}-batch-{cell[2]}"
