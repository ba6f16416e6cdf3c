"""The density of a cloud whose noise depends on the place, beside the exact one and e^{−L/T}."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import TypeIs

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.density import Array, Binned
from sgdtheory.fokker_planck.grid import GridFokkerPlanck
from sgdtheory.fokker_planck.law import temperature, time_step
from sgdtheory.fokker_planck.modes import mode_of
from sgdtheory.fokker_planck.watch import Seen as Observed
from sgdtheory.fokker_planck.watch import watch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.asking import has
from sgdtheory.roles.closed_forms import StatesMinima, StatesNoise, WithIsotropicNoise
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.trends import difference
from sgdtheory.studies.potentials.uneven_claims import claims_of, plot_of
from sgdtheory.studies.shared.curvatures import flattest
from sgdtheory.studies.shared.parts import Found, Seen, Settings

FINE = 8  # cells of the equation in a bin, along each axis
NEAR = 0.9  # of a minimum: where its mode is looked for
FEW = 30  # points of a bin; log ρ of fewer has no Gaussian error


class StatesModes(StatesMinima, StatesNoise, WithIsotropicNoise, Protocol):
    """Where the steady state is highest near each minimum, to first order in T."""

    def modes(self, temperature: float) -> Tensor:
        """[M, k]."""
        ...


def states_modes(landscape: Landscape) -> TypeIs[StatesModes]:
    return has(landscape, "modes") and has(landscape, "noise_covariance")


@dataclass(frozen=True)
class UnevenCloud:
    """`replicas` points burn in for `burn_in` steps and are then looked at every `spacing` steps;
    their histogram on `bins` (along each axis) of [−reach, reach] is pooled over the looks.

    Errors take the looks as independent, so nothing is said where the spacing is less than two
    relaxation times in the flattest well.
    """

    landscape: Landscape
    sgd: SGD
    replicas: Annotated[int, Ge(2)]
    burn_in: NonNegativeInt
    spacing: PositiveInt
    bins: PositiveInt
    reach: PositiveFloat

    def __post_init__(self) -> None:
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto" or self.sgd.momentum:
            raise UserError(
                "sgd: a potential needs a learning_rate and a batch_size as numbers, and momentum=0"
            )
        if self.burn_in + self.spacing > self.sgd.length:
            raise UserError(
                f"burn_in={self.burn_in} and spacing={self.spacing} leave no look in "
                f"{self.sgd.length} steps; make them smaller"
            )
        self._stated()

    def _stated(self) -> StatesModes:
        if not states_modes(self.landscape) or self.landscape.dim > 2:
            raise UserError("landscape: a density needs noise that is known; use landscape=uneven")
        return self.landscape

    @cached_property
    def reference(self) -> GridFokkerPlanck:
        """The equation, in units in which the noise at 0 is about one."""
        landscape = self._stated()

        def energy(points: Array) -> Array:
            energies: Array = landscape.losses(torch.from_numpy(points)).numpy()
            return energies

        def noise(points: Array) -> Array:
            covariance = landscape.noise_covariance(torch.from_numpy(points))
            axes: Array = covariance.diagonal(dim1=1, dim2=2).numpy()
            return axes

        walls = (self.reach,) * landscape.dim
        low = tuple(-wall for wall in walls)
        return GridFokkerPlanck(energy, noise, low, walls, temperature(self.sgd), FINE * self.bins)

    @property
    def diffusion(self) -> float:
        """T in units in which the noise is about one: T·noise."""
        return temperature(self.sgd) * self._stated().noise

    def settings(self) -> list[Settings]:
        return [{}]

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        start = self.landscape.init(self.replicas, stream(seed, "init")).to(dtype)
        squares = self.bins**self.landscape.dim
        nothing = torch.zeros(squares, dtype=torch.float64)
        zeros = {"counts": nothing, "late": nothing.clone(), "lost": torch.zeros(1)}
        half = self._looks // 2

        def observe(state: SGDState, seen: Observed) -> None:
            looks, over = divmod(state.step - self.burn_in, self.spacing)
            if looks > 0 and not over:
                counts, lost = self._histogram(state.cloud)
                seen["counts"] += counts
                if looks > half:
                    seen["late"] += counts
                seen["lost"] += lost

        _, seen = watch(folder, self.sgd, self.landscape, start, seed, zeros, observe)
        counts = seen["counts"].numpy()
        facts: Row = {"points": int(counts.sum()), "lost": int(seen["lost"])}
        if half:
            apart = self.spacing * time_step(self.sgd) * flattest(self.landscape)
            late = seen["late"].numpy()
            facts |= {"relaxations_apart": apart, **self._change(counts - late, late)}
        tables = {
            "distances": [self._distances(counts, facts)],
            "modes": self._modes(counts),
            "drawn": self._drawn(counts),
        }
        return tables, {"counts": seen["counts"]}

    @property
    def _looks(self) -> int:
        return (self.sgd.length - self.burn_in) // self.spacing

    def _change(self, early: Array, late: Array) -> Row:
        """By how much the distance from the exact density changes from the first half of the looks
        to the second."""
        halves = [Binned(counts, self.exact).divergence for counts in (late, early)]
        return difference(*halves).columns("divergence_change")

    def _histogram(self, cloud: Tensor) -> tuple[Tensor, int]:
        """Counts [bins^k] of a cloud [P, k], and how many points are outside."""
        bins_a_unit = self.bins / (2 * self.reach)
        scaled = (cloud.double() + self.reach) * bins_a_unit
        at = scaled.floor()
        inside = ((at >= 0) & (at < self.bins)).all(1)
        kept = at[inside].long()
        square = kept[:, 0]
        for axis in range(1, cloud.shape[1]):
            square = square * self.bins + kept[:, axis]
        counts = torch.bincount(square, minlength=self.bins ** cloud.shape[1])
        return counts.double().cpu(), int((~inside).sum())

    @cached_property
    def centres(self) -> Array:
        """Of the bins, [bins^k, k]."""
        grid = self.reference
        coarse = GridFokkerPlanck(
            grid.energy, grid.noise, grid.low, grid.high, grid.temperature, self.bins
        )
        return coarse.centres

    @cached_property
    def exact(self) -> Array:
        """Shares of the bins [bins^k]."""
        return self.reference.binned(self.reference.steady, self.bins)

    def _distances(self, counts: Array, facts: Row) -> Row:
        """KL to the exact density, and to the nearest of all e^{−L/T}."""
        grid = self.reference
        shares = counts / counts.sum()
        cells = FINE ** len(grid.low)  # of the equation in a bin
        potential = grid.binned(grid.potential, self.bins) / cells
        mean_potential = (shares * potential).sum()
        nearest = grid.gibbs_of(float(mean_potential))
        gibbs = grid.binned(grid.gibbs(nearest), self.bins)
        to_exact = Binned(counts, self.exact).divergence
        to_gibbs = Binned(counts, gibbs).divergence
        facts = {**facts, "diffusion": self.diffusion, "nearest": nearest}
        return row_of(facts, divergence=to_exact, from_gibbs=to_gibbs)

    def _modes(self, counts: Array) -> Rows:
        """Of each minimum, along the last axis."""
        landscape = self._stated()
        minima = landscape.minima().cpu().numpy()
        predicted = landscape.modes(temperature(self.sgd)).cpu().numpy()

        rows = []
        for minimum, mode in zip(minima, predicted, strict=True):
            found = mode_of(counts, self.centres, minimum, NEAR)[-1]
            exact = mode_of(self.exact * counts.sum(), self.centres, minimum, NEAR)[-1]
            place = float(minimum[-1])
            facts = {
                "minimum": place,
                "shift_first_order": float(mode[-1] - minimum[-1]),
                "shift_exact": None,
            }
            if exact.value is not None:
                facts["shift_exact"] = exact.value - place
            shift = found
            if found.value is not None:
                shift = found._replace(value=found.value - place)
            rows.append(row_of(facts, shift=shift))
        return rows

    def _drawn(self, counts: Array) -> Rows:
        """Φ = −D·log ρ of the cloud and of the equation, and L, along the last axis at the middle
        of the other one."""
        where = self._middle()
        points = counts.sum()
        volume = (2 * self.reach / self.bins) ** len(self.reference.low)
        exact = self.exact[where]
        floor = -self.diffusion * np.log(exact.max() / volume)
        centres = self.centres[where]
        losses = self.reference.energy(centres)
        counts_there = counts[where]
        rows = []
        for k, u in enumerate(centres[:, -1]):
            count = counts_there[k]
            if count < FEW:
                continue
            density = count / points / volume
            known_density = exact[k] / volume
            potential = -self.diffusion * np.log(density) - floor
            known = -self.diffusion * np.log(known_density) - floor
            error = self.diffusion / np.sqrt(count)
            facts = {"curve": "Φ = −T log ρ", "u": float(u), "exact": float(known)}
            rows.append(row_of(facts, height=Measured(float(potential), float(error))))
            loss = float(losses[k] - losses.min())
            rows.append({"curve": "L", "u": float(u), "exact": loss, "height": None})
        return rows

    def _middle(self) -> Array:
        """The bins on a line along the last axis through 0, of a line all."""
        count = self.bins ** len(self.reference.low)
        bins: Array = np.arange(count)
        if len(self.reference.low) == 1:
            return bins
        first = bins // self.bins
        middle: Array = bins[first == self.bins // 2]
        return middle

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        start = self.landscape.init(self.replicas, torch.Generator()).to(dtype)
        return estimate_stage(self.landscape, self.sgd, start)

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        if not tables["distances"]:
            return Found([], {})
        (row,) = tables["distances"]
        claims = claims_of(name, row, tables["modes"])
        plot = plot_of(name)
        modes = [{"system": name, **part} for part in tables["modes"]]
        distances = [{"system": name, **row}]
        shown = {"distances": distances, "modes": modes, plot.table: tables["drawn"]}
        return Found(claims, shown, [plot])
