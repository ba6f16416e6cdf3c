"""How a cloud relaxes beside the Fokker–Planck equation, moment by moment."""

from typing import NamedTuple

import numpy as np

from sgdtheory.fokker_planck.density import Array, Binned
from sgdtheory.fokker_planck.generator import FokkerPlanck
from sgdtheory.statistics.measured import Measured, Rows, row_of

MOMENTS = 4  # at which the density itself is shown


class Relaxation(NamedTuple):
    """A cloud that relaxes, at every moment at which it was looked at: several pooled."""

    counts: Array  # of the histogram, summed over clouds, [K, bins]
    energies: Array  # F of each cloud and its standard error, [clouds, K, 2]

    @classmethod
    def of(cls, moments: Rows) -> "Relaxation":
        """From a row a cloud and moment."""
        counts, energies = [], []
        for cloud in sorted({row["cloud"] for row in moments}):
            rows = [row for row in moments if row["cloud"] == cloud]
            counts.append([row["counts"] for row in rows])
            energies.append([row["free_energy"] for row in rows])
        return cls(np.sum(np.array(counts), axis=0), np.array(energies))

    def beside(
        self,
        reference: FokkerPlanck,
        start: tuple[float, float],
        steps: list[int],
        time_step: float,
    ) -> Rows:
        """One row a moment: KL and F of all clouds together, with errors, and the equation's."""
        counts, energies = self
        bins = counts.shape[1]
        p = reference.at(reference.uniform(*start), steps, time_step)  # [K, cells]
        coarse, steady = _coarse(p, bins), _coarse(reference.steady, bins)
        rows = []
        for k, step in enumerate(steps):
            cloud = Binned(counts[k], steady)
            exact = cloud.divergence_of(coarse[k])
            error = float(np.sqrt((energies[:, k, 1] ** 2).sum()) / len(energies))
            free = Measured(float(energies[:, k, 0].mean()), error)
            facts = {
                "step": step,
                "time": step * time_step,
                "points": int(counts[k].sum()),
                "divergence_exact": exact,
            }
            facts |= {
                "free_energy_exact": float(reference.free_energy(p[k])),
                "drop": _drop(reference, start),
            }
            rows.append(row_of(facts, divergence=cloud.divergence, free_energy=free))
        return rows

    def densities(
        self,
        reference: FokkerPlanck,
        start: tuple[float, float],
        steps: list[int],
        time_step: float,
    ) -> Rows:
        """The density at a few moments, two bins taken together, and the equation's."""
        counts = self.counts
        bins = counts.shape[1] // 2
        chosen = sorted({round(k) for k in np.linspace(0, len(steps) - 1, MOMENTS)})
        moments = [steps[k] for k in chosen]
        p = _coarse(reference.at(reference.uniform(*start), moments, time_step), bins)
        width = (reference.high - reference.low) / bins
        rows = []
        for shares, k in zip(p, chosen, strict=True):
            merged, points = _coarse(counts[k], bins), counts[k].sum()
            for i, (n, share) in enumerate(zip(merged, shares, strict=True)):
                density = Measured(float(n / points / width), float(np.sqrt(n) / points / width))
                facts = {
                    "moment": f"t = {steps[k] * time_step:.3g}",
                    "x": reference.low + (i + 0.5) * width,
                    "density_exact": float(share / width),
                }
                rows.append(row_of(facts, density=density))
        return rows


def _drop(reference: FokkerPlanck, start: tuple[float, float]) -> float:
    return reference.diffusion * float(reference.divergence(reference.uniform(*start)))


def _coarse(p: Array, bins: int) -> Array:
    """Shares of bins [..., bins] from shares of cells [..., cells]."""
    shares: Array = p.reshape(*p.shape[:-1], bins, -1).sum(-1)
    return shares
