"""Critical points of any index, and the points of vanishing curvature at which a search for them
gets stuck."""

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.hessian import DIAGONALISED, hessian
from sgdtheory.optim.descent import quasi_newton
from sgdtheory.protocol import Landscape, hvp, value_and_grad
from sgdtheory.statistics.rows import Row

Kind: TypeAlias = Literal["critical", "gradient-flat", "neither"]
STATIONARY = 1e-8  # |∇L| of a critical point, float64
FLAT = 0.01  # of h_max: |H∇L|/|∇L| below which the loss counts as linear along its gradient
ZERO = 1e-8  # of h_max: a curvature below −this counts as negative
ROUNDED = 1e-12  # of h_max: a curvature that is rounding, in float64; ours
LEAST_GAIN = 1e-4  # of the predicted reduction: a step that gains less is not taken


@dataclass(frozen=True)
class CriticalPoint:
    """A point at the end of a search, float64."""

    theta: Tensor  # [n]
    loss: float
    gradient_norm: float
    gradient_curvature: float | None  # |H∇L|/|∇L|; None where the gradient is exactly 0
    spectrum: Tensor  # eigenvalues of H [n], ascending
    iterations: int  # of Levenberg–Marquardt

    @property
    def kind(self) -> Kind:
        """critical: |∇L| < 1e-8. gradient-flat: not so, but the gradient lies in the kernel of H
        (|H∇L| ≤ .01·h_max·|∇L|), so that |∇L| has a minimum there and no search by gradients
        gets on (Frye et al. 2021, 2003.10397)."""
        return kind_of(self.gradient_norm, self.gradient_curvature, self.top)

    @property
    def top(self) -> float:
        """h_max, the largest |curvature|."""
        return float(self.spectrum.abs().max())

    def data_loss(self, weight_decay: float) -> float:
        """The loss without ½λ|θ|², nats."""
        return self.loss - 0.5 * weight_decay * float(self.theta.square().sum())

    def columns(self, name: str, weight_decay: float) -> Row:
        """Its numbers as columns of a table, each under this name."""
        return {
            f"{name}_loss": self.data_loss(weight_decay),
            f"{name}_index": self.index,
            f"{name}_gradient_norm": self.gradient_norm,
            f"{name}_gradient_curvature": self.gradient_curvature,
            f"{name}_top_curvature": self.top,
            f"{name}_kind": self.kind,
        }

    @property
    def index(self) -> int:
        """The number of eigenvalues below −1e-8·h_max."""
        return int((self.spectrum < -ZERO * self.top).sum())

    @property
    def margin(self) -> float:
        """The smallest |eigenvalue| over h_max, but for those that are 0 to rounding, as along a
        symmetry: smaller errors of eigenvalues leave the index as it is. 0 where all are."""
        sizes = self.spectrum.abs() / self.top
        curved = sizes[sizes > ROUNDED]
        return float(curved.min()) if len(curved) else 0.0


def kind_of(gradient_norm: float, gradient_curvature: float | None, top: float) -> Kind:
    """The kind of a point by |∇L|, |H∇L|/|∇L| and h_max; see `CriticalPoint.kind`.

    >>> kind_of(1e-9, 1.0, 1.0), kind_of(0.1, 1e-3, 1.0), kind_of(0.1, 0.5, 1.0)
    ('critical', 'gradient-flat', 'neither')
    """
    if gradient_norm < STATIONARY or gradient_curvature is None:
        return "critical"
    if gradient_curvature <= FLAT * top:
        return "gradient-flat"
    return "neither"


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Levenberg–Marquardt on ∇L = 0: θ ← θ − (H² + μ)⁻¹H∇L, which minimises |∇L|² and is Newton's
    step where μ ≪ h².

    It is drawn to saddles as well as to minima. H is written down and diagonalised at every
    accepted step; μ falls by 10 when |∇L|² falls as the linear model says (by more than ¾ of it),
    rises by 4 when by less than ¼ (Moré 1978). It ends at |∇L| < 1e-8, after `iterations`, or where
    |∇L| has fallen by less than a share `least` in `patience` of them. There, in a bent valley of
    |∇L| without a zero, its steps go from side to side; `polish_iterations` of L-BFGS on ½|∇L|²,
    whose gradient is H∇L, bring the search down to the floor, where it shows what kind of point it
    is.
    """

    iterations: PositiveInt = 100
    patience: PositiveInt = 10
    least: PositiveFloat = 0.02
    polish_iterations: NonNegativeInt = 150

    def find(self, landscape: Landscape, start: Tensor) -> CriticalPoint:
        """From one point [n], taken to float64. Raises UserError beyond 2,000 parameters, whose
        Hessian is too large."""
        theta = start.double()
        gradient = _gradient(landscape, theta)
        norms = [float(gradient.norm())]
        values, vectors = torch.linalg.eigh(_hessian(landscape, theta))
        damping = 1e-3 * float(values.abs().max()) ** 2
        while not self._is_over(norms):
            along = vectors.T @ gradient
            moved = theta - vectors @ (values / (values.square() + damping) * along)
            new_gradient = _gradient(landscape, moved)
            left = (damping / (values.square() + damping) * along).square().sum()
            predicted_reduction = norms[-1] ** 2 - float(left)
            reduction = norms[-1] ** 2 - float(new_gradient.square().sum())
            gain = reduction / max(predicted_reduction, 1e-300)
            if gain > LEAST_GAIN:  # NaN is not
                theta = moved
                gradient = new_gradient
                values, vectors = torch.linalg.eigh(_hessian(landscape, theta))
            damping *= _damping_factor(gain)
            norms.append(float(gradient.norm()))
        if norms[-1] >= STATIONARY and self.polish_iterations:
            polished = quasi_newton(partial(_half_square, landscape), theta, self.polish_iterations)
            return critical_point_at(landscape, polished, len(norms) - 1)
        return _described(
            landscape,
            theta,
            gradient,
            values,
            vectors,
            len(norms) - 1,
        )

    def _is_over(self, norms: list[float]) -> bool:
        """Whether |∇L| is zero, the iterations are used up, or the search is stuck."""
        if not norms[-1] >= STATIONARY or len(norms) > self.iterations:  # NaN ends it too
            return True
        return self._is_stuck(norms)

    def _is_stuck(self, norms: list[float]) -> bool:
        if len(norms) <= self.patience:
            return False
        return norms[-1] > (1 - self.least) * norms[-1 - self.patience]


def _damping_factor(gain: float) -> float:
    """What μ is multiplied by after a step that reduced |∇L|² by `gain` times what was predicted
    (Moré 1978)."""
    if gain > 0.75:
        return 0.1
    if gain >= 0.25:
        return 1.0
    return 4.0


def critical_point_at(landscape: Landscape, theta: Tensor, iterations: int = 0) -> CriticalPoint:
    """The description of a point [n] itself, without a search or after `iterations` of one.

    >>> from sgdtheory.landscapes.ring import Ring
    >>> saddle = critical_point_at(Ring(), Ring().native_saddles()[0])
    >>> saddle.kind, saddle.index, saddle.spectrum.shape
    ('critical', 1, torch.Size([2]))
    """
    theta = theta.double()
    values, vectors = torch.linalg.eigh(_hessian(landscape, theta))
    return _described(
        landscape,
        theta,
        _gradient(landscape, theta),
        values,
        vectors,
        iterations,
    )


def _hessian(landscape: Landscape, theta: Tensor) -> Tensor:
    if theta.numel() > DIAGONALISED:
        raise UserError(
            f"the Hessian of {theta.numel():,} parameters is too large to write down; take a "
            f"model of at most {DIAGONALISED:,}"
        )
    return hessian(landscape, theta)


def _gradient(landscape: Landscape, theta: Tensor) -> Tensor:
    return value_and_grad(landscape, theta[None])[1][0]


def _half_square(landscape: Landscape, point: Tensor) -> tuple[Tensor, Tensor]:
    """½|∇L|² [1] of a point [1, n], and its gradient H∇L."""
    gradient = value_and_grad(landscape, point)[1]
    return 0.5 * gradient.square().sum(1), hvp(landscape, point, gradient)


def _described(
    landscape: Landscape,
    theta: Tensor,
    gradient: Tensor,
    values: Tensor,
    vectors: Tensor,
    iterations: int,
) -> CriticalPoint:
    norm = float(gradient.norm())
    along = None
    if norm:
        along = float((values * (vectors.T @ gradient)).norm()) / norm
    loss = float(value_and_grad(landscape, theta[None])[0][0])
    return CriticalPoint(
        theta,
        loss,
        norm,
        along,
        values,
        iterations,
    )
