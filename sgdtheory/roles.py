"""What a landscape can do besides giving losses: each role a type, and the one place that asks.

A landscape plays a role by having its methods; it names none of these classes. Asking looks for
names alone, so that a landscape which hands on all that it does not have itself
(`GhostBatchObjective`) plays the roles of the one inside.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn
from typing_extensions import TypeIs

from sgdtheory.errors import RunError
from sgdtheory.landscape import Batch, Cloud, Landscape
from sgdtheory.statistics.measured import Measured

Split = Literal["train", "test"]


class Score(NamedTuple):
    """Data loss (without L2, nats for cross_entropy) and error (0 or 1) of examples at points."""

    losses: Tensor  # float64 [P, N]
    errors: Tensor  # float64 [P, N]


class WithExamples(Landscape, Protocol):
    """A mean over N = `count` examples: mini-batches are indices of them."""

    @property
    def count(self) -> int: ...

    def batch(self, indices: Tensor) -> Batch:
        """The examples of indices [P or 1, b]."""
        ...


class Augmented(Landscape, Protocol):
    """Examples whose mini-batches need random draws besides indices."""

    @property
    def count(self) -> int: ...
    def augmentation(self, shape: tuple[int, ...], stream: torch.Generator) -> Any:
        """What an index each of `shape` needs, its leading axes that shape."""
        ...

    def batch(self, indices: Tensor, draws: Any) -> Batch:
        """The examples of indices [P or 1, b]."""
        ...


class Sampled(Landscape, Protocol):
    """Mini-batches of i.i.d. draws."""

    def sample(self, points: int, size: int, stream: torch.Generator) -> Batch: ...


class Scored(Landscape, Protocol):
    """Every example of a training and a test set has a loss and an error at every point."""

    def score(self, cloud: Cloud, split: Split) -> Score:
        """Losses and errors [P, N] of a cloud [P, n]."""
        ...


class NetworkLandscape(Scored, WithExamples, Protocol):
    """The landscape of a module on a data set (landscapes/network.py)."""

    data: Any
    weight_decay: float

    @property
    def module(self) -> nn.Module: ...
    @property
    def shapes(self) -> dict[str, torch.Size]: ...
    @property
    def constants(self) -> dict[str, Tensor]:
        """Frozen parameters and buffers by name, […] each."""
        ...

    @property
    def scored(self) -> int: ...
    def with_constants(self, constants: Mapping[str, Tensor]) -> Self:
        """The same landscape with other constants, […] each."""
        ...

    def scored_on(self, most: int) -> Self: ...
    def score(
        self, cloud: Cloud, split: Split, buffers: dict[str, Tensor] | None = None
    ) -> Score: ...
    def examples(self, split: Split) -> tuple[Tensor, Tensor]:
        """The examples [N, C, H, W] that scores are of, and their labels [N]."""
        ...

    def outputs_with(self, theta: Tensor, buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        """Outputs [b, K] at one point θ [n], batch norms using `buffers`."""
        ...

    def statistics(self, theta: Tensor) -> dict[str, Tensor]:
        """Batch-norm buffers [channels] of the training set at one point θ [n]."""
        ...

    def model_at(self, theta: Tensor) -> nn.Module:
        """An ordinary module whose weights are one point θ [n]."""
        ...

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] that the weights of a module are."""
        ...


class StatesRate(Landscape, Protocol):
    """A learning rate that is known to work; None: it is to be measured."""

    def learning_rate(self) -> float | None: ...


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


def has_examples(landscape: Landscape) -> TypeIs[WithExamples]:
    return _has(landscape, "count")


def is_augmented(landscape: Landscape) -> TypeIs[Augmented]:
    return _has(landscape, "augmentation") and _has(landscape, "count")


def is_sampled(landscape: Landscape) -> TypeIs[Sampled]:
    return _has(landscape, "sample")


def is_scored(landscape: Landscape) -> TypeIs[Scored]:
    return _has(landscape, "score")


def is_network(landscape: Landscape) -> TypeIs[NetworkLandscape]:
    return _has(landscape, "module") and _has(landscape, "shapes")


def states_rate(landscape: Landscape) -> TypeIs[StatesRate]:
    return _has(landscape, "learning_rate")


def states_minima(landscape: Landscape) -> TypeIs[StatesMinima]:
    return _has(landscape, "minima")


def states_barrier(landscape: Landscape) -> TypeIs[StatesBarrier]:
    return _has(landscape, "barrier")


def states_noise(landscape: Landscape) -> TypeIs[StatesNoise]:
    return _has(landscape, "noise_covariance")


def states_covariance(landscape: Landscape) -> TypeIs[StatesCovariance]:
    return _has(landscape, "stationary_covariance")


def examples_of(landscape: Landscape) -> WithExamples:
    """The landscape as a mean over examples; RunError where it is none."""
    if has_examples(landscape):
        return landscape
    raise RunError(f"{title_of(landscape)} has no examples")


def sampled_of(landscape: Landscape) -> Sampled:
    """The landscape as one that draws mini-batches; RunError where it does not."""
    if is_sampled(landscape):
        return landscape
    raise RunError(f"{title_of(landscape)} has neither examples nor `sample`: no mini-batches")


def network_of(landscape: Landscape) -> NetworkLandscape:
    """The landscape as that of a network; RunError where it is none."""
    if is_network(landscape):
        return landscape
    raise RunError(f"{title_of(landscape)} is no landscape of a network")


def states_area(landscape: Landscape) -> TypeIs[StatesArea]:
    return _has(landscape, "stationary_area")


def states_relaxation(landscape: Landscape) -> TypeIs[StatesRelaxation]:
    return _has(landscape, "fokker_planck")


def states_escape(landscape: Landscape) -> TypeIs[StatesEscape]:
    names = ("mean_first_passage", "kramers_rate", "native", "minima")
    return all(_has(landscape, name) for name in names)


def is_smoothable(landscape: Landscape) -> TypeIs[Smoothable]:
    return _has(landscape, "smoothed") and _has(landscape, "threshold")


def has_isotropic_noise(landscape: Landscape) -> TypeIs[WithIsotropicNoise]:
    return _has(landscape, "noise")


def is_isotropic(landscape: Landscape) -> TypeIs[Isotropic]:
    return _has(landscape, "mean_square_radius")


def count_of(landscape: Landscape) -> int | None:
    """How many examples a landscape is a mean over; None where it has none."""
    return landscape.count if has_examples(landscape) else None


def scored_count_of(landscape: Landscape) -> int | None:
    """How many training examples a score is of; None where that is not stated."""
    scored: int | None = _of(landscape, "scored")
    return scored


def barrier_of(landscape: Landscape) -> float:
    """The barrier that a landscape states; RunError where it states none."""
    if states_barrier(landscape):
        return landscape.barrier()
    raise RunError(f"{title_of(landscape)} states no barrier")


def rows_at_once_of(landscape: Landscape) -> int | None:
    """How many points a call may take together; None: all."""
    rows: int | None = _of(landscape, "rows_at_once")
    return rows


def device_of(landscape: Landscape) -> torch.device:
    """Where a landscape computes."""
    return torch.device(_of(landscape, "device", "cpu"))


def title_of(landscape: object, default: str | None = None) -> str:
    """What a landscape is called in words that people read; by default the name of its class."""
    return str(_of(landscape, "title", default or type(landscape).__name__))


def weight_decay_of(landscape: Landscape) -> float:
    """λ of ½λ|θ|²; 0 where none is stated."""
    return float(_of(landscape, "weight_decay", 0.0))


def augmentation_of(landscape: Landscape) -> str:
    """What is done to the examples of mini-batches; none where there are none."""
    return str(_of(_of(landscape, "data"), "augment", "none"))


def constants_of(landscape: Landscape) -> dict[str, Tensor]:
    """Frozen parameters and buffers […] that a network computes with; empty for most."""
    return dict(_of(landscape, "constants", {}))


def constant_loss_of(landscape: Landscape) -> float | None:
    """The training loss of the best prediction that is the same for all examples."""
    asked = _of(landscape, "constant_loss")
    return None if asked is None else float(asked())


def objective_gap(landscape: Landscape, theta: Tensor) -> Measured:
    """|loss descended − loss scored| at one point θ [n] on one part of the data, nats: rounding
    alone, where a landscape is one function of its parameters; a formula has no examples."""
    gap = _of(landscape, "gap")
    if gap is None:
        return Measured.nothing("a formula has no examples")
    found: Measured = gap(theta)
    return found


def self_check_of(landscape: object, dtype: str) -> str | None:
    """What the self-check of a landscape found; None where it has none. UserError where it
    fails."""
    check = _of(landscape, "check")
    return None if check is None else str(check(dtype))


def _has(thing: object, name: str) -> bool:
    return hasattr(thing, name)


def _of(thing: object, name: str, default: Any = None) -> Any:
    return getattr(thing, name, default)
