"""Roles of landscapes that are means over examples, and of networks."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn
from typing_extensions import TypeIs

from sgdtheory.annotations import Shape
from sgdtheory.data.examples import Examples
from sgdtheory.errors import RunError
from sgdtheory.losses.loss import Loss
from sgdtheory.protocol import Batch, Cloud, Landscape, TensorsByName
from sgdtheory.roles.asking import has
from sgdtheory.roles.facts import title_of
from sgdtheory.runs.tensors import Tensors

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
    def augmentation(self, shape: Shape, stream: torch.Generator) -> Any:
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


class WithOutputs(Landscape, Protocol):
    """The mean loss of outputs that are functions of θ."""

    @property
    def loss(self) -> Loss: ...
    def parts(self) -> Iterator[tuple[Batch, float]]: ...
    def twice_differentiable_outputs(self, cloud: Cloud, batch: Batch) -> Tensor:
        """Outputs [P, b, …] of a cloud [P, n], of operations that have a second derivative."""
        ...


class WithPrecision(Landscape, Protocol):
    """A landscape that may be trained in another precision than it is scored in."""

    def in_training(self, dtype: torch.dtype) -> Landscape: ...


class NetworkLandscape(Scored, WithExamples, Protocol):
    """The landscape of a module on a data set (landscapes/network.py)."""

    data: Examples
    loss: Loss
    weight_decay: float

    @property
    def module(self) -> nn.Module: ...
    @property
    def shapes(self) -> dict[str, torch.Size]: ...
    @property
    def constants(self) -> TensorsByName:
        """Frozen parameters and buffers by name, […] each."""
        ...

    def outputs_of(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Outputs [b, …] of another module of this architecture for inputs [b, …]."""
        ...

    @property
    def scored(self) -> int: ...
    def with_constants(self, constants: Tensors) -> Self:
        """The same landscape with other constants, […] each."""
        ...

    def scored_on(self, most: int) -> Self: ...
    def score(self, cloud: Cloud, split: Split, buffers: TensorsByName | None = None) -> Score: ...
    def examples(self, split: Split) -> tuple[Tensor, Tensor]:
        """The inputs [N, …] that scores are of, and their targets [N, …]."""
        ...

    def outputs_with(self, theta: Tensor, buffers: TensorsByName, inputs: Tensor) -> Tensor:
        """Outputs [b, …] at one point θ [n] for inputs [b, …], batch norms using `buffers`."""
        ...

    def loss_with(self, theta: Tensor, buffers: TensorsByName, batch: Batch) -> Tensor:
        """The mean loss [] of a shared mini-batch at θ [n] without L2, batch norms using `buffers`
        [channels]."""
        ...

    def statistics(self, theta: Tensor) -> TensorsByName:
        """Batch-norm buffers [channels] of the training set at one point θ [n]."""
        ...

    def model_at(self, theta: Tensor) -> nn.Module:
        """An ordinary module whose weights are one point θ [n]."""
        ...

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] that the weights of a module are."""
        ...


def has_examples(landscape: Landscape) -> TypeIs[WithExamples]:
    return has(landscape, "count")


def is_augmented(landscape: Landscape) -> TypeIs[Augmented]:
    return has(landscape, "augmentation") and has(landscape, "count")


def is_sampled(landscape: Landscape) -> TypeIs[Sampled]:
    return has(landscape, "sample")


def is_scored(landscape: Landscape) -> TypeIs[Scored]:
    return has(landscape, "score")


def has_outputs(landscape: Landscape) -> TypeIs[WithOutputs]:
    return has(landscape, "twice_differentiable_outputs")


def in_training(landscape: Landscape, dtype: torch.dtype) -> Landscape:
    """The landscape in the precision that `train` descends by, of clouds of a dtype."""
    return landscape.in_training(dtype) if _has_precision(landscape) else landscape


def _has_precision(landscape: Landscape) -> TypeIs[WithPrecision]:
    return has(landscape, "in_training")


def is_network(landscape: Landscape) -> TypeIs[NetworkLandscape]:
    return has(landscape, "module") and has(landscape, "shapes")


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


def count_of(landscape: Landscape) -> int | None:
    """How many examples a landscape is a mean over; None where it has none."""
    return landscape.count if has_examples(landscape) else None
