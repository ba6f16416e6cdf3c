"""A free energy falls while SGD's cloud relaxes, as fast as the Fokker–Planck equation says."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.fokker_planck.density import log_density
from sgdtheory.fokker_planck.generator import FokkerPlanck
from sgdtheory.fokker_planck.law import temperature
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.kinds import Count, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Results
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.sgd import SGD, SGDState
from sgdtheory.streams import key, stream
from sgdtheory.studies.verdicts.relaxation import PLOTS, claims, density_rows, relaxation_rows


@dataclass(frozen=True)
class FreeEnergy:
    """KL(ρ‖ρ_ss) and F = E[Φ] − T·S of a cloud that starts in one well, against the Fokker–Planck equation.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Theorem 5): F = T·KL(ρ‖ρ_ss) + const falls until ρ = ρ_ss ∝ e^{−Φ/T}. Refuted
    by a rise of F beyond its error, or by a KL(t) that is not within 5 % of the equation's while above .02.

    The landscape has one parameter and states `fokker_planck(temperature)`; its noise is c·1, and what is called T above is
    D = c·η/2b(1−μ). `clouds` of `replicas` points each start evenly spread over `start`, and are pooled. KL is that of a
    histogram of `bins`, its bias subtracted, and compared with the equation's on the same bins; S is Vasicek's, which knows
    nothing of ρ_ss.
    """

    landscape: Landscape
    sgd: SGD
    start: tuple[float, float] = (-1.5, -0.5)
    clouds: Count = 4
    replicas: Annotated[int, Ge(1000)] = 100_000
    bins: Annotated[int, Ge(2)] = 100
    moments: Annotated[int, Ge(2)] = 48
    dtype: Dtype = "float32"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if self.landscape.dim != 1 or not hasattr(self.landscape, "fokker_planck"):
            raise Mistake(
                "landscape: a density is compared on a line; use landscape=double_well with directions=1, ambient=null"
            )
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto":
            raise Mistake("sgd: give a batch_size and a learning_rate as numbers, for they say what the temperature is")
        if self.reference.cells % self.bins:
            raise Mistake(f"bins={self.bins}: must divide the {self.reference.cells} cells of the reference; use 100")
        self.reference.uniform(*self.start)

    @property
    def reference(self) -> FokkerPlanck:
        found: FokkerPlanck = self.landscape.fokker_planck(temperature(self.sgd))  # type: ignore[attr-defined]
        return found

    @property
    def steps(self) -> list[int]:
        """Those after which the cloud is looked at, evenly spaced in the logarithm."""
        return [int(step) for step in np.unique(np.geomspace(1, self.sgd.steps, self.moments).round())]

    def units(self, run: Run) -> list[Unit]:
        shared = {name: value for name, value in run.science.items() if name != "clouds"}
        return [Unit(f"cloud-{k}", shared | {"cloud": k}) for k in range(self.clouds)]

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        seed = key(self.seed, "cloud", unit.science["cloud"])
        low, high, row = self.reference.low, self.reference.high, {step: i for i, step in enumerate(self.steps)}
        sizes = {"counts": (len(row), self.bins), "free_energy": (len(row), 2), "lost": (1,)}
        seen = {name: torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}

        def look(state: SGDState, seen: Seen) -> None:
            if (i := row.get(state.step)) is not None:
                x = state.cloud[:, 0].double().cpu()
                x = x[torch.isfinite(x)]
                seen["counts"][i] = torch.histc(x.clamp(low, high), self.bins, low, high)
                seen["free_energy"][i] = self._free_energy(x)
                seen["lost"][0] = self.replicas - len(x)

        _, seen = watch(folder, self.sgd, self.landscape, self._start(seed), seed, seen, look)
        folder.finish({}, seen)

    def _start(self, seed: int) -> Cloud:
        low, high = self.start
        share = torch.rand(self.replicas, 1, generator=stream(seed, "init"), dtype=torch.float64)
        like = self.landscape.init(1, stream(seed, "device"))
        return (low + (high - low) * share).to(like.device, getattr(torch, self.dtype))

    def _free_energy(self, x: Tensor) -> Tensor:
        """F = ⟨Φ + D·log ρ⟩ of points [P] and its standard error, [2]."""
        ordered, logs = log_density(x.numpy())
        each = self.reference.energy(ordered) + self.reference.diffusion * logs
        return torch.tensor([each.mean(), each.std(ddof=1) / len(each) ** 0.5])

    def finish(self, run: Run) -> Results:
        done = [run.folder(unit).clouds() for unit in self.units(run) if run.result(unit) is not None]
        how = (done, self.reference, self.start, self.steps, self.sgd)
        rows = relaxation_rows(*how)
        tables: dict[str, Any] = {"relaxation": rows, "densities": density_rows(*how)}
        return Results(claims(rows), {}, {"tables": tables, "plots": [plot.as_dict() for plot in PLOTS]})

    def estimate(self, unit: Unit) -> Estimate:
        return estimate_stage(self.landscape, self.sgd, self._start(0))
