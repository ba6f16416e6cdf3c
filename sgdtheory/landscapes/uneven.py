"""A landscape whose noise depends on where one stands, so that its steady state is not e^{−L/T}."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Generator, Tensor

from sgdtheory.annotations import NonNegative, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class Uneven(Formula):
    """L = ½Σ_i h_i x_i² + ¼·quartic·u⁴ of one or two coordinates, u the last; h is `curvatures`.

    A mini-batch of b adds Σ_k ξ_k G_k(x)/√b, ξ ~ N(0, noise), with G = level·u + ½·tilt·u²,
    ½·√growth·u², and of two coordinates (1 + steer·u)·cos x₁ and (1 + steer·u)·sin x₁. Each is a
    smooth function, so the gradients of mini-batches are gradients, and C = noise·diag(c) with c_u
    = (level + tilt·u)² + growth·u² (+ steer²) and c₁ = (1 + steer·u)²: the two last functions are a
    quarter of a turn apart, which leaves nothing off the diagonal.
    """

    curvatures: tuple[float, ...] = (1.0,)
    quartic: NonNegative = 0.0
    level: NonNegative = 1.0
    tilt: float = 0.0
    growth: NonNegative = 0.0
    steer: float = 0.0

    def __post_init__(self) -> None:
        if self.ambient is not None:
            raise UserError("Uneven: ambient must be null, for its noise is known axis by axis")
        if len(self.curvatures) not in (1, 2):
            raise UserError(
                f"Uneven: curvatures={list(self.curvatures)}: name one of a line or two of a plane"
            )
        if self.steer and not self.plane:
            raise UserError("Uneven: steer needs two curvatures; on a line use tilt")
        super().__post_init__()

    @property
    def native_dim(self) -> int:
        return len(self.curvatures)

    @property
    def plane(self) -> bool:
        """Whether there are two coordinates."""
        return len(self.curvatures) == 2

    def energy(self, x: Tensor) -> Tensor:
        curvatures = torch.tensor(self.curvatures, dtype=x.dtype, device=x.device)
        bowl = 0.5 * x.square() @ curvatures
        if not self.quartic:
            return bowl
        fourth = x[:, -1].square().square()
        return bowl + 0.25 * self.quartic * fourth

    def native_minima(self) -> Tensor:
        """[M, k]: 0, or ±√(−h/quartic) where h < 0; none where nothing holds the points."""
        last = self.curvatures[-1]
        places = [0.0]
        if last < 0:
            places = []
            if self.quartic:
                place = sqrt(-last / self.quartic)
                places = [-place, place]
        minima = torch.zeros(len(places), self.native_dim, dtype=torch.float64)
        minima[:, -1] = torch.tensor(places, dtype=torch.float64)
        return minima

    def sample(self, points: int, size: int, stream: Generator) -> Tensor:
        """ξ/√b of each function, [points, 2 or 4]."""
        functions = 4 if self.plane else 2
        draws = torch.randn(points, functions, generator=stream)
        return draws.to(self.device) * sqrt(self.noise / size)

    def losses(self, cloud: Tensor, batch: Tensor | None = None) -> Tensor:
        """[P], on a mini-batch ξ [P, functions] or whole."""
        losses = self.energy(cloud)
        if batch is None:
            return losses
        u = cloud[:, -1]
        half_square = 0.5 * u.square()
        of_tilt, of_growth, *of_waves = batch.to(cloud.dtype).unbind(1)
        tilted = self.level * u + self.tilt * half_square
        grown = sqrt(self.growth) * half_square
        losses = losses + of_tilt * tilted + of_growth * grown
        if not self.plane:
            return losses
        x = cloud[:, 0]
        of_cosine, of_sine = of_waves
        waves = of_cosine * x.cos() + of_sine * x.sin()
        strength = 1 + self.steer * u
        return losses + strength * waves

    def noise_covariance(self, cloud: Tensor) -> Tensor:
        """C(x) of one sample, diagonal, [P, k, k]."""
        u = cloud[:, -1]
        tilted = self.level + self.tilt * u
        own = tilted.square() + self.growth * u.square()
        if not self.plane:
            return self.noise * own[:, None, None]
        steered = (1 + self.steer * u).square()
        own = own + self.steer**2
        axes = torch.stack([steered, own], 1)
        return torch.diag_embed(self.noise * axes)

    def modes(self, temperature: PositiveFloat) -> Tensor:
        """Where ρ_ss is highest, near each minimum [M, k], to first order in T.

        On a line L′ + T·C′ = 0, a shift of −T·C′/L″. In a plane the noise of the other axis moves
        it too: u shifts by −(T/h_u)(C_u′ + C₁′·h₁/(2h₁ + h_u)·c_u/c₁), from the first correction to
        the Gaussian, an eigenfunction of the Ornstein–Uhlenbeck process with rate 2h₁ + h_u.
        """
        modes = self.native_minima()
        u = modes[:, -1]
        tilted = self.level + self.tilt * u
        of_tilt = 2 * self.tilt * tilted
        slope = of_tilt + 2 * self.growth * u
        steepening = 3 * self.quartic * u.square()
        curvature = self.curvatures[-1] + steepening
        if self.plane:
            first = self.curvatures[0]
            covariance = self.noise_covariance(modes) / self.noise
            steered, own = covariance.diagonal(dim1=1, dim2=2).unbind(1)
            steered_slope = 2 * self.steer * (1 + self.steer * u)
            share = first / (2 * first + curvature)
            of_other = steered_slope * share * own / steered
            slope = slope + of_other
        diffusion = temperature * self.noise
        shift = diffusion * slope / curvature
        modes[:, -1] = u - shift
        return modes
