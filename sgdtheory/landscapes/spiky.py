"""A bowl full of spikes: gradient descent is stuck where it starts, and what noise smooths away is
known exactly."""

from dataclasses import dataclass, replace
from math import cos, exp, hypot, log, pi, sin, sqrt

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegative, PositiveFloat, PositiveInt
from sgdtheory.landscapes.formula import Formula

# A spike leaves no stationary point but the centre when 2x + ak·sin kx = 0 has no other root, that
# is when sin u/u with u = kx never reaches −2/(ak²). Its lowest value is where tan u = u: u =
# 4.49341, sin u/u = −.21723.
LOWEST_SINC = 0.21723362821122166


@dataclass(frozen=True)
class Spiky(Formula):
    """Σ_i x_i² + s² − a·e^{−k²s²/2} cos kx_i: a bowl with spikes every 2π/k, seen through a
    Gaussian of width s.

    That is E_ω L(x + sω), ω ~ N(0, 1), of the bare x² − a·cos kx (`smoothing` s = 0), the picture
    that Kleinberg, Li & Yuan (2018, 1802.06175, Figure 1) draw of what SGD sees. There is no
    minimum but the centre once s ≥ `threshold`. Minima are stated along the first axis (the others
    at 0): the centre, then outwards in pairs.
    """

    spikes: NonNegative = 0.5
    frequency: PositiveFloat = 10.0
    directions: PositiveInt = 1
    smoothing: NonNegative = 0.0

    @property
    def native_dim(self) -> int:
        return self.directions

    @property
    def seen(self) -> float:
        """a·e^{−k²s²/2}, the height that is left of a spike."""
        phase = self.frequency * self.smoothing
        return self.spikes * exp(-(phase**2) / 2)

    def energy(self, x: Tensor) -> Tensor:
        squares = x.square()
        waves = torch.cos(self.frequency * x)
        bare = (squares - self.seen * waves).sum(1)
        if not self.smoothing:
            return bare
        others = self.dim - self.directions
        lifted = self.directions + 0.5 * self.stiffness * others  # what smoothing adds to the bowls
        return bare + lifted * self.smoothing**2

    def smoothed(self, width: NonNegative) -> "Spiky":
        """E_ω L(θ + width·ω), ω ~ N(0, 1) in all of R^n: the same formula, for Gaussians add their
        squares."""
        return replace(self, smoothing=hypot(self.smoothing, width))

    def with_noise(self, noise: NonNegative) -> "Spiky":
        """The same formula with C = noise·1."""
        return replace(self, noise=noise)

    def threshold(self) -> float:
        """s* = √(2 ln(.21723·ak²/2))/k, the width of a Gaussian that leaves no minimum but the
        centre; 0: there is none."""
        height = LOWEST_SINC * self.spikes * self.frequency**2 / 2
        if height > 1:
            return sqrt(2 * log(height)) / self.frequency
        return 0.0

    def native_minima(self) -> Tensor:
        places = [0.0]
        for _, low in self._pairs():
            places += [low, -low]
        return self._along_first(places)

    def native_saddles(self) -> Tensor:
        places: list[float] = []
        for high, _ in self._pairs():
            places += [high, -high]
        return self._along_first(places)

    def barrier(self) -> float:
        """From the centre to the next minimum; 0 where no other minimum is left."""
        pairs = self._pairs()
        if not pairs:
            return 0.0
        high, _ = pairs[0]
        return self._line(high)

    def length_ratio(self) -> float:
        """The directions do not know of one another: the lowest path is the straight line."""
        return 1.0

    def box(self) -> Tensor:
        """|x_i| < ak/2, [2, k]: beyond, the bowl is steeper than any spike."""
        size = max(1.0, self.spikes * self.frequency / 2)
        high = torch.full((self.directions,), size, dtype=torch.float64)
        return torch.stack([-high, high])

    def _line(self, x: float) -> float:
        """The height over the centre."""
        wave = cos(self.frequency * x)
        return x * x + self.seen * (1 - wave)

    def _pairs(self) -> list[tuple[float, float]]:
        """(maximum, minimum) of x² − a·cos kx right of the centre, outwards: sin u/u = −2/(ak²) on
        both sides of tan u = u."""
        if self.seen == 0:
            return []
        from scipy.optimize import brentq  # here, because importing it takes its time

        level = 2 / (self.seen * self.frequency**2)

        def above(u: float) -> float:
            return sin(u) + level * u

        def root(low: float, high: float) -> float:
            zero = float(brentq(above, low, high, xtol=1e-15, rtol=1e-15))
            return zero / self.frequency

        def pole_free(u: float) -> float:
            """tan u = u, written without the pole of the tangent."""
            return sin(u) - u * cos(u)

        pairs = []
        most = int(1 / level / (2 * pi)) + 1
        for m in range(1, most + 1):
            first = (2 * m - 1) * pi
            last = 2 * m * pi
            lowest = float(brentq(pole_free, first, (2 * m - 0.5) * pi))
            if above(lowest) >= 0:
                break
            maximum = root(first, lowest)
            minimum = root(lowest, last)
            pairs.append((maximum, minimum))
        return pairs

    def _along_first(self, places: list[float]) -> Tensor:
        points = torch.zeros(len(places), self.directions, dtype=torch.float64)
        points[:, 0] = torch.tensor(places, dtype=torch.float64)
        return points
