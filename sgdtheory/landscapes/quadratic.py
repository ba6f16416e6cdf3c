"""The quadratic bowl: everything SGD does on it is known exactly, at any learning rate and
momentum."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import BelowOne, NonNegative, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.area import linear_area
from sgdtheory.fokker_planck.law import drag_of
from sgdtheory.landscapes.formula import Formula
from sgdtheory.rng import stream

AtLeastOne = Annotated[float, Ge(1)]


@dataclass(frozen=True)
class Quadratic(Formula):
    """½ Σ_i h_i x_i², one minimum at 0.

    The spectrum h is `curvatures`, or, where that is None, `directions` values evenly spaced in log
    h from 1 down to 1/condition. `noise_anisotropy` a > 1 makes C a matrix with eigenvalues spaced
    alike over a factor a, mean `noise`, in a random basis of its own, so that H and C do not
    commute (a = 1: C = noise·I).
    """

    curvatures: tuple[NonNegative, ...] | None = None
    directions: PositiveInt = 10
    condition: AtLeastOne = 10.0
    noise_anisotropy: AtLeastOne = 1.0

    def __post_init__(self) -> None:
        if self.curvatures is not None and not self.curvatures:
            raise UserError(
                "Quadratic: curvatures=[] is a bowl without directions; name at least one, or null"
            )
        super().__post_init__()

    @property
    def native_dim(self) -> int:
        if self.curvatures is None:
            return self.directions
        return len(self.curvatures)

    def energy(self, x: Tensor) -> Tensor:
        return x.square() @ self.constant("half_spectrum", x)

    def native_minima(self) -> Tensor:
        return torch.zeros(1, self.native_dim, dtype=torch.float64)

    def noise_shape(self) -> Tensor | None:
        if self.noise_anisotropy == 1:
            return None
        k = self.native_dim
        # not rotation_seed: how C stands to H is physics, and must not turn with the angle
        generator = stream(0, "noise")
        draws = torch.randn(k, k, generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(draws).Q  # [k, k]
        sizes = _log_spaced(k, self.noise_anisotropy)
        root: Tensor = basis * (sizes / sizes.mean()).sqrt()
        return root

    def stationary_covariance(
        self, learning_rate: PositiveFloat, batch_size: PositiveInt, momentum: BelowOne = 0.0
    ) -> Tensor:
        """Σ [n, n], float64, of θ at stationarity under torch's SGD (v ← μv + g, θ ← θ − ηv); exact
        at any η and μ.

        The fixed point of Σ_aug = AΣ_augAᵀ + B(C/b)Bᵀ with A = [[1−ηH, −ημ], [H, μ]], B = [−η; 1]
        for the state (θ, v). In H's eigenbasis it falls into four numbers a pair of directions, and
        eliminating three of them leaves Σ_ij = (C_ij/b) / [(1−μ)(h_i+h_j)/η +
        (μh_i−h_j)(h_i−μh_j)/(1−μ²)]; the diagonal is ηC_ii/(2bh(1−μ)) / (1 − ηh/(2(1+μ))), the
        off-diagonal is what C ∦ H adds. H and C need not commute.
        """
        h = self.spectrum
        lowest = float(h.min())
        highest = float(h.max())
        self._check_stable(lowest, highest, learning_rate, momentum)
        native = self._native_covariance()
        drag = drag_of(h[:, None], h, learning_rate, momentum)
        covariance = native / (batch_size * drag)  # [k, k]
        if self.ambient is None:
            return covariance
        rest = torch.full((), self.stiffness, dtype=torch.float64, device=self.device)
        rest_drag = drag_of(rest, rest, learning_rate, momentum)
        variance = self.noise / (batch_size * rest_drag)
        return self._embedded(variance, covariance)

    def _embedded(self, rest: float | Tensor, native: Tensor) -> Tensor:
        """A matrix [n, n] that is `native` [k, k] in the native coordinates and `rest` times the
        identity in the others."""
        eye = torch.eye(self.dim, dtype=torch.float64, device=self.device)
        others = eye - self.frame.T @ self.frame
        return rest * others + self.frame.T @ native @ self.frame

    def learning_coefficient(self) -> float:
        """λ: half the number of directions that are curved."""
        free = self.dim - self.native_dim
        return (int((self.spectrum > 0).sum()) + free) / 2

    def stationary_area(self, learning_rate: PositiveFloat, batch_size: PositiveInt) -> Tensor:
        """⟨θΔθᵀ − Δθθᵀ⟩ of a step at rest, −η(ΣH − HΣ) [n, n], float64, without momentum: zero
        where H and C commute."""
        hessian = torch.diag(self.spectrum)
        if self.ambient is not None:
            hessian = self._embedded(self.stiffness, hessian)
        covariance = self.stationary_covariance(learning_rate, batch_size)
        return linear_area(hessian, covariance, learning_rate)

    def _native_covariance(self) -> Tensor:
        root = self.noise_shape()
        if root is None:
            root = torch.eye(self.native_dim, dtype=torch.float64)
        covariance = self.noise * root @ root.T
        return covariance.to(self.device)

    def _check_stable(
        self, lowest: float, highest: float, learning_rate: float, momentum: float
    ) -> None:
        if self.dim > self.native_dim:
            lowest = min(lowest, self.stiffness)
            highest = max(highest, self.stiffness)
        if lowest == 0:
            raise UserError(
                "Quadratic: nothing holds the cloud in a direction of curvature 0; make "
                "every curvature positive"
            )
        limit = 2 * (1 + momentum) / highest
        if learning_rate >= limit:
            raise UserError(
                f"Quadratic: learning_rate={learning_rate:g} with momentum={momentum:g} has "
                f"no stationary state at "
                f"curvature {highest:g}; stay below 2(1+momentum)/curvature = {limit:g}"
            )

    @cached_property
    def spectrum(self) -> Tensor:
        """h [k], float64."""
        given = self.curvatures
        if given is None:
            return _log_spaced(self.directions, self.condition).to(self.device)
        return torch.tensor(given, dtype=torch.float64, device=self.device)

    @cached_property
    def half_spectrum(self) -> Tensor:
        """h/2 [k]: with it the energy is one product of x² and a vector."""
        return self.spectrum / 2


def _log_spaced(count: int, factor: float) -> Tensor:
    """1 … 1/factor [count], evenly spaced in the logarithm."""
    return factor ** -torch.linspace(0, 1, count, dtype=torch.float64)
