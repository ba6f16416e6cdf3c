"""Roles of landscapes that state in closed form what is measured on others."""

from typing import Any, Protocol, Self

from torch import Tensor
from typing_extensions import TypeIs

from sgdtheory.errors import RunError
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.asking import has, of
from sgdtheory.roles.facts import title_of


class StatesMinima(Landscape, Protocol):
    """Minima that are known, [M, n]."""

    def minima(self) -> Cloud:
        """[M, n]."""
        ...


class StatesBarrier(Landscape, Protocol):
    """The lowest barrier between its end points, in the units of its losses."""

    def barrier(self) -> float: ...


class StatesNoise(Landscape, Protocol):
    """The covariance of one sample's gradient at each point, [P, n, n]."""

    def noise_covariance(self, cloud: Cloud) -> Tensor:
        """[P, n, n]."""
        ...


class StatesCovariance(Landscape, Protocol):
    """The covariance of SGD's stationary cloud, [n, n]."""

    def stationary_covariance(
        self, learning_rate: float, batch_size: int, momentum: float
    ) -> Tensor:
        """[n, n], float64."""
        ...


class StatesArea(StatesMinima, StatesCovariance, Protocol):
    """The stochastic area that a step of SGD sweeps in its steady state, [n, n]."""

    def stationary_area(self, learning_rate: float, batch_size: int) -> Tensor:
        """[n, n], float64."""
        ...


class StatesLearningCoefficient(StatesMinima, Protocol):
    """The learning coefficient of its first minimum is known."""

    def learning_coefficient(self) -> float: ...


class WithIsotropicNoise(Landscape, Protocol):
    """The covariance of one sample's gradient is `noise`·1 everywhere."""

    noise: float


class StatesRelaxation(WithIsotropicNoise, Protocol):
    """One parameter, whose Fokker–Planck equation is known."""

    def fokker_planck(self, temperature: float) -> Any:
        """A fokker_planck.generator.FokkerPlanck: that room stands above this one."""
        ...


class StatesEscape(StatesMinima, StatesBarrier, WithIsotropicNoise, Protocol):
    """The time that noise takes from the first minimum to the second is known."""

    def native(self, theta: Cloud) -> Cloud:
        """Native coordinates [P, k] of points [P, n]; the first one leads over the barrier."""
        ...

    def mean_first_passage(self, temperature: float) -> float: ...
    def kramers_rate(self, temperature: float) -> float: ...


class Smoothable(StatesMinima, WithIsotropicNoise, Protocol):
    """The mean over Gaussian steps of any width is known in closed form."""

    def threshold(self) -> float:
        """The width that leaves no minimum but the first one; 0 where there is no other."""
        ...

    def smoothed(self, width: float) -> Self: ...
    def with_noise(self, noise: float) -> Self: ...


class Isotropic(Landscape, Protocol):
    """A landscape of the distance r from the origin alone: ⟨r²⟩ of its steady cloud is known."""

    def mean_square_radius(self, temperature: float) -> float: ...


def states_minima(landscape: Landscape) -> TypeIs[StatesMinima]:
    """Whether some minimum of it is known."""
    stated = of(landscape, "minima")
    return stated is not None and len(stated()) > 0


def states_barrier(landscape: Landscape) -> TypeIs[StatesBarrier]:
    return has(landscape, "barrier")


def states_noise(landscape: Landscape) -> TypeIs[StatesNoise]:
    return has(landscape, "noise_covariance")


def states_covariance(landscape: Landscape) -> TypeIs[StatesCovariance]:
    return has(landscape, "stationary_covariance")


def states_area(landscape: Landscape) -> TypeIs[StatesArea]:
    return has(landscape, "stationary_area")


def states_learning_coefficient(landscape: Landscape) -> TypeIs[StatesLearningCoefficient]:
    return has(landscape, "learning_coefficient") and has(landscape, "minima")


def states_relaxation(landscape: Landscape) -> TypeIs[StatesRelaxation]:
    return has(landscape, "fokker_planck")


def states_escape(landscape: Landscape) -> TypeIs[StatesEscape]:
    names = ("mean_first_passage", "kramers_rate", "native", "minima")
    return all(has(landscape, name) for name in names)


def is_smoothable(landscape: Landscape) -> TypeIs[Smoothable]:
    return has(landscape, "smoothed") and has(landscape, "threshold")


def has_isotropic_noise(landscape: Landscape) -> TypeIs[WithIsotropicNoise]:
    return has(landscape, "noise")


def is_isotropic(landscape: Landscape) -> TypeIs[Isotropic]:
    return has(landscape, "mean_square_radius")


def barrier_of(landscape: Landscape) -> float:
    """The barrier that a landscape states; RunError where it states none."""
    if states_barrier(landscape):
        return landscape.barrier()
    raise RunError(f"{title_of(landscape)} states no barrier")
