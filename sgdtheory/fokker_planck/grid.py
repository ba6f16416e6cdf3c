"""The steady state of the Fokker–Planck equation on a line or in a plane where the noise depends on
the place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import exp, log

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import spsolve
from scipy.special import exprel

from sgdtheory.annotations import Shape
from sgdtheory.errors import UserError

Array = np.ndarray
SEARCHED = 7.0  # e-folds of T to either side
Field = Callable[[Array], Array]  # of points [M, k]


@dataclass(frozen=True)
class GridFokkerPlanck:
    """∂ρ/∂t = Σ_i ∂_i(ρ·∂_iL + T·∂_i(C_ii ρ)) in a box with reflecting walls, cut into equal cells.

    Itô's equation, as SGD is: the noise of a step is that of where it begins (Chaudhari & Soatto
    2018, 1710.11029, Eq. 3). Along each axis the flux is that of Scharfetter & Gummel 1969
    (10.1109/T-ED.1969.16566): jumps i → j between neighbours at the rate (T·C/w²)·B(ψ_j − ψ_i),
    B(u) = u/(eᵘ − 1), with ψ_j − ψ_i = (L_j − L_i)/(T·C) + log(C_j/C_i), C taken halfway and w the
    width of a cell. Mass is conserved; on a line its steady state is ρ ∝ C⁻¹exp(−∫L′/(T·C)), the
    integral by midpoints, so of second order in w. C is diagonal.

    >>> level = GridFokkerPlanck(lambda x: 0 * x[:, 0], lambda x: 1 + x**2, (0.0,), (1.0,), 1.0, 2)
    >>> level.steady.round(3)  # ∝ 1/C
    array([0.595, 0.405])
    """

    energy: Field  # L [M]
    noise: Field  # the diagonal of C, [M, k]
    low: tuple[float, ...]
    high: tuple[float, ...]
    temperature: float
    cells: int  # along each axis

    def __post_init__(self) -> None:
        sides = np.subtract(self.high, self.low)
        if not (sides > 0).all() or self.cells < 2 or not self.temperature > 0:
            raise UserError(
                "GridFokkerPlanck: needs low < high along each axis, two cells or more, and a "
                "temperature above 0"
            )

    @property
    def shape(self) -> Shape:
        """Of the cells, one number an axis."""
        return (self.cells,) * len(self.low)

    @property
    def widths(self) -> Array:
        """Of a cell along each axis, [k]."""
        sides: Array = np.subtract(self.high, self.low)
        return sides / self.cells

    @cached_property
    def centres(self) -> Array:
        """Of the cells, [M, k], the last axis fastest."""
        steps = np.arange(self.cells) + 0.5
        axes = []
        for low, width in zip(self.low, self.widths, strict=True):
            axes.append(low + width * steps)
        grid = np.meshgrid(*axes, indexing="ij")
        centres = np.stack(grid, -1)
        return centres.reshape(-1, len(axes))

    @cached_property
    def potential(self) -> Array:
        """L [M] at the centres."""
        energies: Array = self.energy(self.centres)
        return energies

    def _jumps(self, axis: int) -> tuple[Array, Array, Array, Array]:
        """Between neighbours along an axis: where from and where to, and the rates there and
        back."""
        cells = np.arange(len(self.centres)).reshape(self.shape)
        all_but_last = range(self.cells - 1)
        all_but_first = range(1, self.cells)
        here = cells.take(all_but_last, axis).ravel()
        there = cells.take(all_but_first, axis).ravel()
        halfway = (self.centres[here] + self.centres[there]) / 2
        noise = self.noise(self.centres)[:, axis]
        between = self.noise(halfway)[:, axis]
        diffusion = self.temperature * between
        rise = self.potential[there] - self.potential[here]
        louder = np.log(noise[there] / noise[here])
        climb = rise / diffusion + louder
        scale = diffusion / self.widths[axis] ** 2
        up = scale / exprel(climb)
        down = scale / exprel(-climb)
        return here, there, up, down

    @cached_property
    def generator(self) -> csc_array:
        """G [M, M], dp/dt = Gp; its columns sum to zero."""
        rows: list[Array] = []
        columns: list[Array] = []
        rates: list[Array] = []
        for axis in range(len(self.low)):
            here, there, up, down = self._jumps(axis)
            rows += [there, here, here, there]
            columns += [here, here, there, there]
            rates += [up, -up, down, -down]
        places = (np.concatenate(rows), np.concatenate(columns))
        entries = (np.concatenate(rates), places)
        count = len(self.centres)
        matrix = coo_array(entries, shape=(count, count))
        return csc_array(matrix)

    @cached_property
    def steady(self) -> Array:
        """p_ss [M], the share of each cell: Gp = 0, solved with the lowest cell's p held at one."""
        held = int(self.potential.argmin())
        others = np.delete(np.arange(len(self.centres)), held)
        rates = self.generator[others]
        inflow = rates[:, [held]].toarray().ravel()
        inside = csc_array(rates[:, others])
        p = np.ones(len(self.centres))
        p[others] = spsolve(inside, -inflow)
        p = p.clip(0.0)  # rounding leaves −1e-20
        shares: Array = p / p.sum()
        return shares

    def gibbs(self, temperature: float) -> Array:
        """e^{−L/T}/Z [M], which the steady state would be if C were 1 everywhere."""
        depths = self.potential.min() - self.potential
        weights = np.exp(depths / temperature)
        shares: Array = weights / weights.sum()
        return shares

    def gibbs_of(self, mean: float) -> float:
        """The T at which e^{−L/T} has this mean of L: of all of them it is the nearest, in
        KL(ρ‖e^{−L/T}/Z), to every density ρ that has it."""

        def excess(logarithm: float) -> float:
            shares = self.gibbs(exp(logarithm))
            energies = shares * self.potential
            return float(energies.sum()) - mean

        noise = float(self.noise(self.centres).mean())
        middle = log(self.temperature * noise)
        return exp(brentq(excess, middle - SEARCHED, middle + SEARCHED))

    def binned(self, shares: Array, bins: int) -> Array:
        """Shares [bins^k] of larger cells, of shares [M]; `bins` along each axis divides
        `cells`."""
        fine = self.cells // bins
        axes = len(self.low)
        split = [bins, fine] * axes
        within = tuple(range(1, 2 * axes, 2))
        sums: Array = shares.reshape(split).sum(within)
        return sums.ravel()
