"""The Fokker–Planck equation on a line, solved to rounding, to be compared with clouds of SGD."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.linalg import expm, solve_banded
from scipy.sparse import csc_array, diags_array
from scipy.special import exprel, rel_entr, xlogy

from sgdtheory.errors import UserError

Array = np.ndarray


@dataclass(frozen=True)
class FokkerPlanck:
    """∂ρ/∂t = ∂/∂x(ρ·V′ + D·∂ρ/∂x) on [low, high], both ends reflecting, cut into M equal cells.

    The fluxes are those of Scharfetter & Gummel 1969 (10.1109/T-ED.1969.16566): a chain of jumps i
    → i+1 with rate (D/w²)·B((V_{i+1} − V_i)/D), B(u) = u/(eᵘ − 1), and back with B(−…), w the width
    of a cell. It conserves mass, its detailed balance is exactly e^{−V/D}, and it is of second
    order in w elsewhere. For SGD D = T·c, T = η/2b(1−μ), c the variance of one sample's gradient, t
    = η·step/(1−μ) (Chaudhari & Soatto 2018, 1710.11029, Eq. 3).

    >>> free = FokkerPlanck(lambda x: 0 * x, low=0.0, high=1.0, diffusion=0.5, cells=4)
    >>> free.steady
    array([0.25, 0.25, 0.25, 0.25])
    >>> float(free.divergence(free.uniform(0.0, 0.5)))  # log 2
    0.6931471805599453
    """

    energy: Callable[[Array], Array]  # V, of x [M]
    low: float
    high: float
    diffusion: float  # D
    cells: int = 400

    def __post_init__(self) -> None:
        is_line = self.high > self.low and self.cells > 1
        if not is_line or not self.diffusion > 0:
            raise UserError(
                "FokkerPlanck: needs low < high, two cells or more, and a diffusion above 0"
            )

    @property
    def width(self) -> float:
        return (self.high - self.low) / self.cells

    @property
    def edges(self) -> Array:
        """Of the cells, [M + 1]."""
        return np.linspace(self.low, self.high, self.cells + 1)

    @cached_property
    def potential(self) -> Array:
        """V [M] at the centres."""
        energies: Array = self.energy(self.centres)
        return energies

    @property
    def centres(self) -> Array:
        """Of the cells, [M]."""
        edges = self.edges
        centres: Array = (edges[1:] + edges[:-1]) / 2
        return centres

    @cached_property
    def jumps(self) -> tuple[Array, Array]:
        """Rates up i → i+1 and down i+1 → i, each [M − 1]."""
        climb = np.diff(self.potential) / self.diffusion
        scale = self.diffusion / self.width**2
        up = scale / exprel(climb)
        down = scale / exprel(-climb)
        return up, down

    @cached_property
    def generator(self) -> csc_array:
        """G [M, M], dp/dt = Gp; its columns sum to zero."""
        up, down = self.jumps
        leave = np.append(up, 0.0) + np.append(0.0, down)
        diagonals = [up, -leave, down]
        return csc_array(diags_array(diagonals, offsets=[-1, 0, 1]))

    @cached_property
    def steady(self) -> Array:
        """p_ss [M] = e^{−V/D}/Z, the share of each cell."""
        depths = self.potential.min() - self.potential
        weights = np.exp(depths / self.diffusion)
        fractions: Array = weights / weights.sum()
        return fractions

    def uniform(self, low: float, high: float) -> Array:
        """p [M] of a cloud that is spread evenly over [low, high]."""
        covered = np.diff(np.clip(self.edges, low, high))
        fractions: Array = covered / (high - low)
        if abs(fractions.sum() - 1) > 1e-9:
            raise UserError(
                f"FokkerPlanck: [{low:g}, {high:g}] is not inside [{self.low:.3g}, "
                f"{self.high:.3g}], where all that counts is"
            )
        return fractions

    def at(self, start: Array, ticks: Sequence[int], tick: float) -> Array:
        """p [K, M] at the times ticks·tick, ticks rising, from p [M] at 0: p(t) = e^{Gt}p(0).

        One exponential of G·tick (Al-Mohy & Higham 2010, scipy's) and its powers 2ʲ: no step in
        time, so no error of one.
        """
        one_tick = expm(self.generator.toarray() * tick)
        powers = [one_tick]
        states = []
        p = start
        for before, after in pairwise([0, *ticks]):
            passed = after - before
            for j in range(passed.bit_length()):
                if j == len(powers):
                    newest = powers[-1]
                    powers.append(newest @ newest)
                if passed >> j & 1:
                    p = powers[j] @ p
                    p = np.clip(p, 0.0, None)  # rounding leaves −1e-20
            states.append(p)
        return np.stack(states)

    def free_energy(self, p: Array) -> Array:
        """F = E[V] − D·S [...] with S = −Σ p log(p/w), of p [..., M]; D·KL(p‖p_ss) above its lowest
        value −D·log(Z·w)."""
        energy: Array = (p * self.potential).sum(-1)
        densities = p / self.width
        negative_entropy: Array = xlogy(p, densities).sum(-1)
        return energy + self.diffusion * negative_entropy

    def divergence(self, p: Array) -> Array:
        """KL(p‖p_ss) [...] of p [..., M], in nats."""
        nats: Array = rel_entr(p, self.steady).sum(-1)
        return nats

    def mean_first_passage(self, start: float, end: float) -> float:
        """Mean time from x = start up to x = end, from Gᵀu = −1 below `end`, where u is 0; linear
        between centres.

        >>> free = FokkerPlanck(lambda x: 0 * x, low=0.0, high=1.0, diffusion=0.5, cells=400)
        >>> round(free.mean_first_passage(1e-9, 1 - 1e-9), 3)  # (end² − start²)/2D
        1.0
        """
        if not self.low < start < end < self.high:
            raise UserError(
                f"FokkerPlanck: first passage goes upwards and inside [{self.low:.3g}, "
                f"{self.high:.3g}]"
            )
        centres = self.centres
        # cells below `end`; the jump out of the last one ends at `end` itself
        k = int(np.searchsorted(centres, end))
        last = k - 1
        up, down = self.jumps
        up = up[:last]
        down = down[:last]
        (at_end,) = self.energy(np.array([end]))
        rise = float(at_end) - self.potential[last]
        climb = rise / self.diffusion
        gap = end - centres[last]
        scale = self.diffusion / (self.width * gap)
        last_rate = scale / exprel(climb)
        out = np.append(up, last_rate)
        back = np.append(0.0, down)
        bands = np.zeros((3, k))
        bands[0, 1:] = up
        bands[1] = -out - back
        bands[2, :-1] = down
        times = solve_banded((1, 1), bands, -np.ones(k))
        times = np.append(times, 0.0)
        places = np.append(centres[:k], end)
        return float(np.interp(start, places, times))
