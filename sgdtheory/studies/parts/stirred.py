"""A landscape whose cloud is turned by something, watched for its current and its density."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.faults import Mistake
from sgdtheory.fokker_planck.area import area_rate, largest_plane, swept
from sgdtheory.fokker_planck.density import Array, Binned, shares
from sgdtheory.fokker_planck.law import temperature, time_step
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.kinds import Positive, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.measured import Measured
from sgdtheory.run import UnitFolder
from sgdtheory.sgd import FREE, SGD, Coupling, SGDState
from sgdtheory.streams import stream
from sgdtheory.studies.study import row_of

MOMENTS = 20  # at which the density is looked at


@runtime_checkable
class Stirring(Coupling, Protocol):
    """A coupling that turns a cloud, known by its strength."""

    @property
    def strength(self) -> float: ...

    def area_rate(self, landscape: Any, temperature: float) -> float:
        """What the stochastic area grows by in a unit of time, in theory."""
        ...


@dataclass(frozen=True)
class Stirred:
    """What is stirred and how: `coupling` at each of `strengths`; without one, the noise's own current at strength 1.

    `replicas` points take `burn` steps and are then watched to the end of `sgd.steps`; without a coupling they start in the
    steady state's second moments exactly, and the plane is that in which theory's area is largest. `bins` > 0: the density on
    bins × bins squares of [−reach, reach]² is compared with e^{−L/D}.
    """

    landscape: Landscape
    sgd: SGD
    coupling: Stirring | None
    strengths: Annotated[list[float], MinLen(1)]
    replicas: Annotated[int, Ge(2)]
    burn: Whole
    bins: Whole
    reach: Positive
    within: Positive  # of theory, relative, that the claim asks for
    clear: Positive  # standard errors from zero that the claim asks for where there is a current

    def __post_init__(self) -> None:
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto" or self.sgd.momentum:
            raise Mistake("sgd: a current needs a learning_rate and a batch_size as numbers, and momentum=0")
        if self.burn >= self.sgd.steps:
            raise Mistake(f"burn={self.burn} leaves nothing of the {self.sgd.steps} steps; make it smaller")
        if self.coupling is None and not hasattr(self.landscape, "stationary_area"):
            raise Mistake(
                "coupling: null needs a landscape that states its stationary_area; use linear_regression or quadratic"
            )

    def watch(self, folder: UnitFolder, strength: float, seed: int, dtype: torch.dtype) -> dict[str, Any]:
        """One row: the area's rate, theory's, z; and the distance of the density from e^{−L/D}."""
        coupling = FREE if self.coupling is None else replace(self.coupling, strength=strength)  # type: ignore[type-var]
        start, plane, origin = self._start(seed, dtype)
        every = max(1, (self.sgd.steps - self.burn) // MOMENTS)
        seen = {"areas": torch.zeros(self.replicas, dtype=torch.float64, device=start.device)}
        seen["counts"] = torch.zeros(MOMENTS, self.bins**2, dtype=torch.float64)
        assert not isinstance(self.sgd.learning_rate, str)
        rate = self.sgd.learning_rate

        def look(state: SGDState, seen: Seen) -> None:
            if state.step > self.burn:
                seen["areas"] += swept(state, rate, plane, origin)
                moment, over = divmod(state.step - self.burn, every)
                if self.bins and not over and moment <= MOMENTS:
                    seen["counts"][moment - 1] = self._histogram(state.cloud)

        _, seen = watch(folder, self.sgd, self.landscape, start, seed, seen, look, coupling)
        time = (self.sgd.steps - self.burn) * time_step(self.sgd)
        facts = {"strength": strength, "area_exact": self._expected(coupling, plane), "time": time}
        facts["lost"] = int((~torch.isfinite(seen["areas"])).sum())
        return row_of(facts, area=area_rate(seen["areas"], time), divergence=self._divergence(seen["counts"]))

    def _start(self, seed: int, dtype: torch.dtype) -> tuple[Cloud, Tensor, Tensor]:
        """Points [P, n], the plane [2, n] and the origin [n]."""
        landscape: Any = self.landscape
        if self.coupling is not None:
            start = landscape.init(self.replicas, stream(seed, "init")).to(dtype)
            plane = torch.eye(2, landscape.dim, dtype=dtype, device=start.device)
            return start, plane, torch.zeros_like(start[0])
        origin = landscape.minima()[0]
        sizes, basis = torch.linalg.eigh(landscape.stationary_covariance(self.sgd.learning_rate, self.sgd.batch_size))
        root = basis * sizes.clamp_min(0).sqrt()  # pixels that are always black have no noise at all
        draws = torch.randn(self.replicas, landscape.dim, generator=stream(seed, "init"), dtype=torch.float64)
        start = (origin + draws.to(root.device) @ root.T).to(dtype)
        return start, largest_plane(self._areas()).to(start), origin.to(start)

    def _areas(self) -> Tensor:
        areas: Tensor = self.landscape.stationary_area(self.sgd.learning_rate, self.sgd.batch_size)  # type: ignore[attr-defined]
        return areas

    def _expected(self, coupling: Any, plane: Tensor) -> float:
        if self.coupling is not None:
            return float(coupling.area_rate(self.landscape, temperature(self.sgd)))
        u, v = plane.double()
        return float(u @ self._areas() @ v) / time_step(self.sgd)

    def _histogram(self, cloud: Cloud) -> Tensor:
        """Counts [bins²]; what is outside counts as at the edge."""
        at = (
            ((cloud[:, :2].double() + self.reach) * (self.bins / (2 * self.reach))).nan_to_num(0).long().clamp(0, self.bins - 1)
        )
        return torch.bincount(at[:, 0] * self.bins + at[:, 1], minlength=self.bins**2).double().cpu()

    def _divergence(self, counts: Tensor) -> Measured:
        """Mean over the moments; their spread is the error, as of MOMENTS independent looks."""
        if not self.bins:
            return Measured.nothing("its density is not looked at")
        landscape: Any = self.landscape

        def energy(points: Array) -> Array:
            found: Array = landscape.losses(torch.from_numpy(points).to(getattr(landscape, "device", "cpu"))).cpu().numpy()
            return found

        expected = shares(energy, temperature(self.sgd) * landscape.noise, self.reach, self.bins)
        each = [Binned(row.numpy(), expected).divergence.value for row in counts]
        return Measured.mean(each, "nats")
