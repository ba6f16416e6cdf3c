"""The flatness of SGD's end points against its temperature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated

from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.traces import hessian_trace
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.descent import lbfgs
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.string_sampling import descend_to
from sgdtheory.protocol import Cloud, Dtype, Landscape, values
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.roles.facts import title_of
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import row_of
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row
from sgdtheory.studies.flatnesses.claims import verdict_of
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, start_of

SAME_TIME = 0.1  # relative: what whole steps may be off of the time that all cells run for


@dataclass(frozen=True)
class FlatnessAgainstTemperature(Study):
    """The hotter SGD is, the flatter is where it ends: Tr H falls with η/b, at equal loss
    (Jastrzębski et al. 2017).

    Claim (Keskar et al. 2017, 1609.04836; Jastrzębski et al. 2017, 1711.04623): the noise of SGD,
    whose size is the temperature η/2b, chooses flat minima, so Tr H falls with η/b and depends on η
    and b in no other way. Refuted by a slope of log Tr H outside −0.4 … −0.15, or one of less than
    eight standard errors, or exponents of η and 1/b more than 0.1 apart.

    Exponents are those of a grid of η and b, without weight decay. All run for the same time
    ηt = `time`, each cell's seeds as one cloud, then `descent` takes them down to the loss
    `target`. The slope is that of this `time`: −.2 at 50, −.3 at 60, −.4 at 100 (measured), for
    noise goes on looking for flat ground. With weight decay and L-BFGS to the bottom instead, on
    the corners of the grid, hardly anything should be left of it.
    """

    axes = ("learning_rates", "batch_sizes", "weight_decay")

    network: Callable[..., NetworkLandscape]
    learning_rates: Annotated[tuple[PositiveFloat, ...], MinLen(1)]
    batch_sizes: Annotated[tuple[PositiveInt, ...], MinLen(1)]
    descent: SGD
    time: PositiveFloat = 60.0
    seeds: Annotated[int, Ge(2)] = 5
    target: PositiveFloat = 0.02
    every: PositiveInt = 5
    sketch: PositiveInt = 12
    probes: Annotated[int, Ge(2)] = 12
    weight_decay: PositiveFloat = 1e-3
    polish_steps: PositiveInt = 300
    dtype: Dtype = "float64"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if len(self._cells()) < len(self.learning_rates) * len(self.batch_sizes) + 1:
            raise UserError(
                "learning_rates, batch_sizes: the same value stands twice; leave one out"
            )
        landscape = self.network(weight_decay=0.0)
        refuse_augmented(landscape)
        refuse_batch(landscape, max(self.batch_sizes), "batch_sizes")
        for rate in self.learning_rates:
            run = rate * self._sgd(rate, 1).length
            if abs(run - self.time) > SAME_TIME * self.time:
                raise UserError(
                    f"time={self.time:g}: whole steps of learning_rates={rate:g} make {run:g}, and "
                    "all cells run for the same time; raise time or leave that rate out"
                )

    @property
    def landscape(self) -> Subject:
        network = self.network(weight_decay=0.0)
        return Subject(title_of(network), network.dim)

    def _cells(self) -> list[tuple[float, float, int]]:
        """(λ, η, b): the grid at λ = 0, its corners with weight decay."""
        rates = self.learning_rates
        sizes = self.batch_sizes
        grid = product([0.0], rates, sizes)
        extremes = (min(rates), max(rates)), (min(sizes), max(sizes))
        corners = product([self.weight_decay], *extremes)
        return list(dict.fromkeys([*grid, *corners]))

    def cases(self) -> list[Case]:
        cases = []
        for decay, rate, size in self._cells():
            name = f"decay-{in_full(decay)}-rate-{in_full(rate)}-batch-{size}"
            settings = {"weight_decay": decay, "learning_rate": rate, "batch_size": size}
            cases.append(Case(name, settings))
        return cases

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        decay, rate, size = case.settings.values()
        landscape = self.network(weight_decay=decay)
        seed = key(self.seed, "cell", decay, rate, size)
        sgd = self._sgd(rate, size)
        start = self._start(landscape)
        cloud = run_stage(
            folder,
            "noisy",
            sgd,
            landscape,
            start,
            seed,
            fraction=(0.0, 0.5),
        )
        before = values(landscape, cloud).tolist()
        folder.tell(0.5, "down")
        if decay:
            cloud = lbfgs(landscape, cloud, self.polish_steps, lambda done: stop_if_asked())
        else:
            cloud = descend_to(
                landscape, self.descent, cloud, self.target, self.every, seed, stop_if_asked
            ).cloud
        folder.tell(0.8, "curvature")
        rows = []
        for p, theta in enumerate(cloud):
            row = self._row(landscape, theta, key(seed, "trace", p))
            rows.append({"point": p, "loss_before": before[p], **row})
        return {"points": rows}, {"minima": cloud}

    def _row(self, landscape: Landscape, theta: Tensor, seed: int) -> Row:
        loss = float(values(landscape, theta[None])[0])
        trace = hessian_trace(landscape, theta, stream(seed), self.sketch, self.probes)
        return row_of({"loss": loss, "norm": float(theta.norm())}, trace=trace)

    def _sgd(self, rate: float, size: int) -> SGD:
        return SGD(max(1, round(self.time / rate)), size, rate, Constant())

    def _start(self, landscape: Landscape) -> Cloud:
        return start_of(landscape, self.seeds, stream(self.seed, "init"), self.dtype)

    def judge(self, tables: Tables) -> Verdict:
        free = [row for row in tables["points"] if not row["weight_decay"]]
        decayed = [row for row in tables["points"] if row["weight_decay"]]
        return verdict_of(free, decayed, self.weight_decay)

    def estimate(self, unit: Unit) -> Estimate:
        """As the noisy stage, and about as long again for the descent and the traces (measured)."""
        decay, rate, size = self.case_of(unit).settings.values()
        landscape = self.network(weight_decay=decay)
        noisy = estimate_stage(landscape, self._sgd(rate, size), self._start(landscape))
        return noisy._replace(seconds=2 * noisy.seconds)
