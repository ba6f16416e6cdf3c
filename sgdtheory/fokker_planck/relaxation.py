"""A relaxing cloud compared with the Fokker–Planck equation, look by look."""

from typing import NamedTuple

import numpy as np

from sgdtheory.fokker_planck.density import Array, Binned
from sgdtheory.fokker_planck.generator import FokkerPlanck
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of, grouped

MOMENTS = 4  # looks at which the density itself is shown


class Course(NamedTuple):
    """The equation that a cloud is compared with, from a uniform start, and the looks at it."""

    reference: FokkerPlanck
    start: tuple[float, float]
    steps: list[int]  # K looks
    time_step: float

    def states(self, steps: list[int]) -> Array:
        """p [len(steps), cells] of the equation after each of these steps."""
        first = self.reference.uniform(*self.start)
        return self.reference.at(first, steps, self.time_step)

    @property
    def drop(self) -> float:
        """How far F falls from the start to the steady state."""
        first = self.reference.uniform(*self.start)
        nats = float(self.reference.divergence(first))
        return self.reference.diffusion * nats


class Relaxation(NamedTuple):
    """Clouds that relax, pooled, at each of K looks."""

    counts: Array  # of the histogram, summed over clouds, [K, bins]
    energies: Array  # F of each cloud and its standard error, [clouds, K, 2]

    @classmethod
    def of(cls, moments: Rows) -> "Relaxation":
        """From one row for each cloud and look."""
        counts = []
        energies = []
        for _, rows in sorted(grouped(moments, "cloud").items()):
            counts.append(column_of(rows, "counts"))
            energies.append(column_of(rows, "free_energy"))
        pooled = np.array(counts).sum(axis=0)
        return cls(pooled, np.array(energies))

    def against(self, course: Course) -> Rows:
        """One row for each look: KL and F of all clouds together, with errors, and the
        equation's."""
        reference = course.reference
        bins = self.counts.shape[1]
        p = course.states(course.steps)  # [K, cells]
        coarse = _coarse(p, bins)
        steady = _coarse(reference.steady, bins)
        rows = []
        for k, step in enumerate(course.steps):
            counts = self.counts[k]
            cloud = Binned(counts, steady)
            facts = {
                "step": step,
                "time": step * course.time_step,
                "points": int(counts.sum()),
                "divergence_exact": cloud.divergence_of(coarse[k]),
                "free_energy_exact": float(reference.free_energy(p[k])),
                "drop": course.drop,
            }
            energy = self._energy(k)
            row = row_of(facts, divergence=cloud.divergence, free_energy=energy)
            rows.append(row)
        return rows

    def _energy(self, k: int) -> Measured:
        """F at one look, the mean over clouds."""
        values = self.energies[:, k, 0]
        errors = self.energies[:, k, 1]
        squares = errors**2
        error = np.sqrt(squares.sum()) / len(errors)
        return Measured(float(values.mean()), float(error))

    def densities(self, course: Course) -> Rows:
        """The density at a few looks, two bins taken together, and the equation's."""
        reference = course.reference
        bins = self.counts.shape[1] // 2
        last = len(course.steps) - 1
        spaced = np.linspace(0, last, MOMENTS)
        chosen = sorted({round(k) for k in spaced})
        steps = [course.steps[k] for k in chosen]
        p = _coarse(course.states(steps), bins)
        width = (reference.high - reference.low) / bins
        rows = []
        for exact, k in zip(p, chosen, strict=True):
            counts = _coarse(self.counts[k], bins)
            points = self.counts[k].sum()
            time = course.steps[k] * course.time_step
            for i in range(bins):
                value = counts[i] / points / width
                error = np.sqrt(counts[i]) / points / width
                density = Measured(float(value), float(error))
                facts = {
                    "moment": f"t = {time:.3g}",
                    "x": reference.low + (i + 0.5) * width,
                    "density_exact": float(exact[i] / width),
                }
                rows.append(row_of(facts, density=density))
        return rows


def _coarse(p: Array, bins: int) -> Array:
    """Shares of bins [..., bins] from shares of cells [..., cells]."""
    lead = p.shape[:-1]
    shares: Array = p.reshape(*lead, bins, -1).sum(-1)
    return shares
