"""The double well: two minima, and the exact time that noise takes from one to the other."""

from dataclasses import dataclass
from math import exp, pi, sqrt

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.generator import Array, FokkerPlanck
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class DoubleWell(Formula):
    """V = height·(x² − 1)², minima x = ±1, barrier `height` at x = 0; further `directions` are a
    bowl ½·stiffness·y².

    Temperature T is η/(2b(1−μ)), time is η·step/(1−μ); dθ = −∇V dt + √(2D) dW with D = T·noise
    (Chaudhari & Soatto 2018, 1710.11029, Eq. 3), which SGD follows as ηh → 0. The other directions
    do not depend on x: every answer is x's.
    """

    height: PositiveFloat = 0.25
    directions: PositiveInt = 1

    @property
    def native_dim(self) -> int:
        return self.directions

    def energy(self, x: Tensor) -> Tensor:
        first = x[:, 0].square()
        well = self.height * (first - 1).square()
        if self.directions == 1:
            return well
        others = x[:, 1:].square().sum(1)
        return well + 0.5 * self.stiffness * others

    def native_minima(self) -> Tensor:
        minima = torch.zeros(2, self.directions, dtype=torch.float64)
        minima[:, 0] = torch.tensor([-1.0, 1.0])
        return minima

    def native_saddles(self) -> Tensor:
        return torch.zeros(1, self.directions, dtype=torch.float64)

    def barrier(self) -> float:
        return self.height

    def length_ratio(self) -> float:
        """The lowest path is the straight line."""
        return 1.0

    def kramers_rate(self, temperature: PositiveFloat) -> float:
        """√(V″(1)·|V″(0)|)/2π · e^{−height/D}, escapes per unit time; for D ≪ height (Kramers 1940,
        Eq. 17).

        = .9003·height·e^{−height/D}; 5–18 % off at temperatures one can wait for, where
        `mean_first_passage` is exact.
        """
        diffusion = self._diffusion(temperature)
        attempts = sqrt(32) * self.height / (2 * pi)
        return attempts * exp(-self.height / diffusion)

    def mean_first_passage(
        self, temperature: PositiveFloat, start: float = -1.0, end: float = 1.0
    ) -> float:
        """Mean time from x = start to x = end > start: (1/D) ∫_start^end e^{V(y)/D} ∫_{−∞}^y
        e^{−V(z)/D} dz dy.

        Gardiner, Handbook of Stochastic Methods, Eq. 5.2.157. Nested adaptive quadrature, relative
        error ≲ 1e-9.
        """
        if end <= start:
            raise UserError(
                f"DoubleWell: mean_first_passage goes upwards in x, not from {start:g} to "
                f"{end:g}; swap signs"
            )
        from scipy.integrate import quad  # here, because importing it takes its time

        diffusion = self._diffusion(temperature)
        far = min(self._far(diffusion), start - 1)

        def inner(y: float) -> float:
            def weight(z: float) -> float:
                # one exponential: neither factor overflows
                climb = self._well(y) - self._well(z)
                return exp(climb / diffusion)

            at = _inside(-1.0, far, y)
            integral, *_ = quad(weight, far, y, points=at, epsabs=0, epsrel=1e-10, limit=200)
            return float(integral)

        at = _inside(0.0, start, end)
        total, *_ = quad(inner, start, end, points=at, epsabs=0, epsrel=1e-9, limit=200)
        return float(total) / diffusion

    def fokker_planck(self, temperature: PositiveFloat, cells: PositiveInt = 400) -> FokkerPlanck:
        """How ρ of the first native coordinate spreads in time, exactly, where V/D < 60: beyond
        that there is nothing."""
        diffusion = self._diffusion(temperature)
        far = self._far(diffusion)

        def well(x: Array) -> Array:
            energies: Array = self.height * (x * x - 1) ** 2
            return energies

        return FokkerPlanck(well, far, -far, diffusion, cells)

    def stationary_density(self, x: Tensor, temperature: PositiveFloat) -> Tensor:
        """ρ(x) = e^{−V(x)/D}/Z of the first native coordinate, […] like x, float64."""
        from scipy.integrate import quad  # here, because importing it takes its time

        diffusion = self._diffusion(temperature)
        far = self._far(diffusion)

        def weight(z: float) -> float:
            return exp(-self._well(z) / diffusion)

        half, *_ = quad(weight, far, 0.0, points=[-1.0], epsabs=0, epsrel=1e-11, limit=200)
        normal = 2 * float(half)
        squares = x.double().square()
        well = self.height * (squares - 1).square()
        return torch.exp(-well / diffusion) / normal

    def _well(self, x: float) -> float:
        return self.height * (x * x - 1) ** 2

    def _diffusion(self, temperature: float) -> float:
        diffusion = temperature * self.noise
        if diffusion <= 0:
            raise UserError(
                f"DoubleWell: nothing escapes at temperature={temperature:g}, "
                f"noise={self.noise:g}; both above 0"
            )
        return diffusion

    def _far(self, diffusion: float) -> float:
        """An x < −1 below which e^{−V/D} < e^{−60}: what lies beyond is nothing in float64."""
        rise = sqrt(60 * diffusion / self.height)
        return -sqrt(1 + rise)


def _inside(point: float, low: float, high: float) -> list[float] | None:
    if low < point < high:
        return [point]
    return None
