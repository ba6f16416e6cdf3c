"""A cloud that a force or its own noise makes circle, watched in its steady state."""

from dataclasses import dataclass
from math import sqrt
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.area import area_rate, largest_plane, swept
from sgdtheory.fokker_planck.density import LOST, Array, Binned, shares
from sgdtheory.fokker_planck.law import temperature, time_step
from sgdtheory.fokker_planck.rotation import Turning
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, SGDState
from sgdtheory.optim.theory import refuse_others
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.closed_forms import StatesArea, has_isotropic_noise, states_area
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row

MOMENTS = 20  # looks at the density


@dataclass(frozen=True)
class Stirred:
    """A landscape, the `coupling` that makes its cloud circle, at each of `strengths`; without one,
    the noise's own current at strength 1.

    `replicas` points take `burn_in` steps and are then watched to the end of `sgd.steps`; without a
    coupling they start in the steady state's second moments exactly, and the plane is that in which
    theory's area is largest. `bins` > 0: the density on bins × bins squares of [−reach, reach]² is
    compared with e^{−L/D} there; points outside are left out of both.
    """

    landscape: Landscape
    sgd: SGD
    coupling: Turning | None
    strengths: Annotated[list[float], MinLen(1)]
    replicas: Annotated[int, Ge(2)]
    burn_in: NonNegativeInt
    bins: NonNegativeInt
    reach: PositiveFloat
    within: PositiveFloat  # of theory, relative, that the claim asks for
    # standard errors from zero that the claim asks for where there is a current
    clear: PositiveFloat

    def __post_init__(self) -> None:
        refuse_others(self.sgd)
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto" or self.sgd.momentum:
            raise UserError(
                "sgd: a current needs a learning_rate and a batch_size as numbers, and momentum=0"
            )
        if self.burn_in >= self.sgd.length:
            raise UserError(
                f"burn_in={self.burn_in} leaves nothing of the {self.sgd.length} steps; "
                "make it smaller"
            )
        if self.coupling is None:
            self._stated()

    def _stated(self) -> StatesArea:
        """The landscape as one whose own current is known."""
        if not states_area(self.landscape):
            raise UserError(
                "coupling: null needs a landscape that states its stationary_area; use "
                "linear_regression or quadratic"
            )
        return self.landscape

    def watch(
        self,
        folder: UnitFolder,
        strength: float,
        seed: int,
        dtype: torch.dtype,
    ) -> Row:
        """One row: the rate of the area, theory's, and the distance of the density from e^{−L/D};
        of both, by how much the second half of the time is above the first."""
        turning = None
        coupling: Coupling = UNCOUPLED
        if self.coupling is not None:
            turning = self.coupling.with_strength(strength)
            coupling = turning
        start, plane, origin = self._start(seed, dtype)
        spacing = max(1, (self.sgd.length - self.burn_in) // MOMENTS)
        swept_nothing = torch.zeros(self.replicas, dtype=torch.float64, device=start.device)
        nothing_yet = {
            "areas": swept_nothing,
            "late": swept_nothing.clone(),  # what of it in the second half of the time
            "counts": torch.zeros(MOMENTS, self.bins**2, dtype=torch.float64),
        }
        rate, _ = self._rate_and_size

        def observe(state: SGDState, seen: Seen) -> None:
            if state.step <= self.burn_in:
                return
            areas = swept(state, rate, plane, origin)
            seen["areas"] += areas
            if state.step > self._middle:
                seen["late"] += areas
            moment, over = divmod(state.step - self.burn_in, spacing)
            if self.bins and not over and moment <= MOMENTS:
                seen["counts"][moment - 1] = self._histogram(state.cloud)

        _, seen = watch(
            folder,
            self.sgd,
            self.landscape,
            start,
            seed,
            nothing_yet,
            observe,
            coupling,
        )
        is_lost = ~torch.isfinite(seen["areas"])
        facts = {
            "strength": strength,
            "area_exact": self._expected(turning, plane),
            "time": self._time(self.burn_in),
            "lost": int(is_lost.sum()),
        }
        rates = self._area_rates(seen["areas"], seen["late"])
        counts = seen["counts"][: self._looks]
        if self.bins:
            facts["outside"] = self._outside(counts)
        return row_of(facts, **rates, **self._divergences(counts))

    @property
    def _middle(self) -> int:
        """The step after which the second half of the time begins."""
        return (self.burn_in + self.sgd.length) // 2

    @property
    def _looks(self) -> int:
        return min(MOMENTS, self.sgd.length - self.burn_in)

    def _time(self, since: int) -> float:
        """From a step to the last."""
        return (self.sgd.length - since) * time_step(self.sgd)

    def _area_rates(self, areas: Tensor, late: Tensor) -> dict[str, Measured]:
        """Of areas [P], and what of them was swept in the second half of the time: the rate, and
        late − early of the same replicas, which is 0 at rest."""
        time, time_late = self._time(self.burn_in), self._time(self._middle)
        change = Measured.nothing("one step has no halves")
        if time_late < time:
            changes = late / time_late - (areas - late) / (time - time_late)
            change = area_rate(changes, 1.0)
        return {"area": area_rate(areas, time), "area_change": change}

    def _start(self, seed: int, dtype: torch.dtype) -> tuple[Cloud, Tensor, Tensor]:
        """Points [P, n], the plane [2, n] and the origin [n]."""
        if self.coupling is not None:
            start = self.landscape.init(self.replicas, stream(seed, "init"))
            start = start.to(dtype)
            plane = torch.eye(2, self.landscape.dim, dtype=dtype, device=start.device)
            return start, plane, torch.zeros_like(start[0])
        landscape = self._stated()
        rate, batch_size = self._rate_and_size
        origin = landscape.minima()[0]
        covariance = landscape.stationary_covariance(rate, batch_size, 0.0)
        sizes, basis = torch.linalg.eigh(covariance)
        root = basis * sizes.clamp_min(0).sqrt()  # a pixel that is always black has no noise
        shape = (self.replicas, landscape.dim)
        source = stream(seed, "init")
        draws = torch.randn(shape, generator=source, dtype=torch.float64)
        start = origin + draws.to(root.device) @ root.T
        start = start.to(dtype)
        plane = largest_plane(self._areas())
        return start, plane.to(start), origin.to(start)

    def _areas(self) -> Tensor:
        """Theory's area of a step in each plane, [n, n]."""
        return self._stated().stationary_area(*self._rate_and_size)

    @property
    def _rate_and_size(self) -> tuple[float, int]:
        return self.sgd.rate, self.sgd.size

    def _expected(self, turning: Turning | None, plane: Tensor) -> float:
        """Theory's rate of the area in a plane [2, n]."""
        if turning is not None:
            return turning.area_rate(self.landscape, temperature(self.sgd))
        u, v = plane.double()
        area = float(u @ self._areas() @ v)
        return area / time_step(self.sgd)

    def _histogram(self, cloud: Cloud) -> Tensor:
        """Counts [bins²] of a cloud [P, n]; points outside are in none, nor are those that are not
        finite."""
        per_length = self.bins / (2 * self.reach)
        places = cloud[:, :2].double()
        at = ((places + self.reach) * per_length).floor()
        is_inside = ((at >= 0) & (at < self.bins)).all(1)
        x, y = at[is_inside].long().unbind(1)
        squares = x * self.bins + y
        counts = torch.bincount(squares, minlength=self.bins**2)
        return counts.double().cpu()

    def _divergences(self, counts: Tensor) -> dict[str, Measured]:
        """The mean over the looks [K, bins²], and late − early.

        All looks are at the same replicas, few or many relaxation times apart: the error is that of
        one look, and that of a mean is no larger, however alike the looks are.
        """
        if not self.bins:
            return {"divergence": Measured.nothing("its density is not looked at")}
        outside = self._outside(counts)
        if outside > LOST:
            why = f"{100 * outside:.0f} % of the points are beyond reach={self.reach:g}: raise it"
            return {"divergence": Measured.nothing(why)}
        expected = self._shares()
        found = [Binned(row.numpy(), expected).divergence for row in counts]
        unknown = next((each for each in found if each.value is None), None)
        if unknown is not None:
            return {"divergence": unknown}
        nats = np.array([each.value for each in found])
        error = float(np.mean([each.stderr for each in found]))
        mean = Measured(float(nats.mean()), error, "nats")
        half = len(nats) // 2
        if not half:
            return {"divergence": mean}
        change = float(nats[half:].mean() - nats[:half].mean())
        return {"divergence": mean, "divergence_change": Measured(change, sqrt(2) * error)}

    def _outside(self, counts: Tensor) -> float:
        """The share of the points that the squares have not caught, of looks [K, bins²]."""
        return 1 - float(counts.sum()) / (len(counts) * self.replicas)

    def _shares(self) -> Array:
        """Of e^{−L/D} in the squares [bins²]."""
        landscape = self.landscape
        assert has_isotropic_noise(landscape)

        def energy(points: Array) -> Array:
            cloud = torch.from_numpy(points).to(device_of(landscape))
            energies: Array = landscape.losses(cloud).cpu().numpy()
            return energies

        diffusion = temperature(self.sgd) * landscape.noise
        return shares(energy, diffusion, self.reach, self.bins)
