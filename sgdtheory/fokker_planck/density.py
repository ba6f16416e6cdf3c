"""The density of a cloud from its points: entropy from their spacings, distance to a known density
from a histogram."""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, rel_entr

from sgdtheory.statistics.measured import Measured

Array = np.ndarray
FINE = 8  # midpoints per bin and direction over which a known density is summed
# expected points in a bin; emptier ones are merged, or the bias would not be (bins−1)/2P
LEAST = 5.0
# of a known density in merged bins, where no difference is seen: a cloud that is off everywhere
# alike is then told four fifths of its distance at least
LOST = 0.2


def shares(
    energy: Callable[[Array], Array],
    diffusion: float,
    reach: float,
    bins: int,
) -> Array:
    """The shares [bins²] of e^{−V/D} in bins × bins equal squares of [−reach, reach]², by 8 × 8
    midpoints a square.

    `energy`: V [M] of points [M, 2]. The density outside is neglected: choose a reach beyond which
    there is none.

    >>> shares(lambda points: 0 * points[:, 0], diffusion=1.0, reach=1.0, bins=2)
    array([0.25, 0.25, 0.25, 0.25])
    """
    fine = bins * FINE
    spacing = 2 * reach / fine
    centres = (np.arange(fine) + 0.5) * spacing - reach
    grid = np.meshgrid(centres, centres, indexing="ij")
    coordinates = np.stack(grid, -1)
    points = coordinates.reshape(-1, 2)
    energies = energy(points)
    depths = energies.min() - energies
    densities = np.exp(depths / diffusion)
    squares = densities.reshape(bins, FINE, bins, FINE)
    weights = squares.sum((1, 3))
    fractions: Array = weights / weights.sum()
    return fractions.ravel()


class Binned(NamedTuple):
    """Counts [bins] of P points, and the shares [bins] that a known density puts there."""

    counts: Array
    expected: Array

    @property
    def divergence(self) -> Measured:
        """KL(cloud‖known) in nats, less the histogram's bias (bins − 1)/2P (Miller 1955), ± √(2KL/P
        + bins/2P²).

        The error's first part is the spread of log(ρ/ρ_ss) over the points, ≈ 2KL near the known
        density; the second is what is left at KL = 0, where 2P·KL is χ² distributed with bins − 1
        degrees of freedom. No number where more than LOST of the known density is in bins that are
        too thin: merged into one they are alike whatever the cloud is.
        """
        points = float(self.counts.sum())
        lost = float(self.expected[self._thin].sum())
        if not points or lost > LOST:
            return Measured.nothing(
                f"{100 * lost:.0f} % of the density is in bins that should hold fewer than "
                f"{LEAST:g} of the {points:,.0f} points: raise replicas or lower bins"
            )
        counts = self._merged(self.counts)
        expected = self._merged(self.expected) * points
        nats = rel_entr(counts, expected).sum()
        bins = len(counts)
        bias = (bins - 1) / (2 * points)
        unbiased = float(nats / points) - bias
        error = divergence_error(max(unbiased, 0.0), points, bins)
        return Measured(unbiased, error, "nats")

    def divergence_of(self, shares: Array) -> float:
        """KL(shares‖known) of other shares [bins] on the same merged bins, to be compared with the
        cloud's."""
        merged = self._merged(shares)
        expected = self._merged(self.expected)
        return float(rel_entr(merged, expected).sum())

    @property
    def _thin(self) -> Array:
        """Which bins [bins] should hold fewer than LEAST points."""
        thin: Array = self.expected * self.counts.sum() < LEAST
        return thin

    def _merged(self, bins: Array) -> Array:
        """Values [bins] with all thin bins merged into one."""
        thin = self._thin
        if not thin.any():
            return bins
        rest = bins[thin].sum()
        return np.append(bins[~thin], rest)


def divergence_error(divergence: float, points: float, bins: int) -> float:
    """√(2KL/P + bins/2P²).

    >>> divergence_error(0.08, points=100, bins=0)
    0.04
    """
    of_points = 2 * divergence / points
    of_bins = bins / (2 * points**2)
    return sqrt(of_points + of_bins)


def log_density(points: Array, window: int | None = None) -> tuple[Array, Array]:
    """The points in order [P] and log ρ there [P] from the spacing of neighbours m to either side
    (Vasicek 1976).

    log ρ(x_i) = ψ(k) − log(P + 1) − log(x_{i+m} − x_{i−m}), k the number of gaps between them: 2m,
    fewer at both ends. With ψ(k) for log k there is no bias where ρ is constant over the window. m:
    ∛P/2 unless given: on a Gaussian the bias that is left, of the window's width and at both ends,
    is then below the error (√P makes it ten times as large, measured).
    """
    ordered = np.sort(np.asarray(points, np.float64))
    count = len(ordered)
    if window is None:
        root = count ** (1 / 3)
        window = max(1, round(root / 2))
    i = np.arange(count)
    above = np.minimum(i + window, count - 1)
    below = np.maximum(i - window, 0)
    smallest = np.finfo(np.float64).tiny
    distances = ordered[above] - ordered[below]
    gaps = np.maximum(distances, smallest)
    neighbours = digamma(above - below)
    counted = neighbours - np.log(count + 1)
    logs = counted - np.log(gaps)
    return ordered, logs


def entropy(points: Array, window: int | None = None) -> Measured:
    """S = −⟨log ρ⟩ in nats of points [P] on a line, its error that of a mean over the points.

    >>> round(entropy(np.linspace(0.0, 1.0, 100_001)).value, 1)
    0.0
    """
    _, logs = log_density(points, window)
    return Measured.mean(-logs, "nats")
