"""Stochastic gradient descent: the one loop, over any landscape, any cloud, any coupling."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, repeat
from math import inf
from typing import ClassVar, Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from sgdtheory.annotations import BelowOne, NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import RunError
from sgdtheory.optim.learning_rate import is_measured, measured_rate
from sgdtheory.optim.sampling import Sampling, block_steps, indices
from sgdtheory.optim.schedule import Schedule
from sgdtheory.products import top_curvature
from sgdtheory.protocol import Batch, Cloud, Landscape, TensorsByName, value_and_grad
from sgdtheory.rng import key, stream
from sgdtheory.roles.closed_forms import states_minima
from sgdtheory.roles.examples import (
    Augmented,
    Sampled,
    WithExamples,
    has_examples,
    is_augmented,
    sampled_of,
)
from sgdtheory.roles.facts import states_rate
from sgdtheory.statistics.measured import Measured

MEASURED = 4  # points of a cloud, at most, that a learning rate is measured at


class Diverged(RunError):
    """A descent that had to be given up after `steps` steps: a lower learning rate may do
    better."""

    def __init__(self, message: str, steps: int = 0) -> None:
        super().__init__(message)
        self.steps = steps


class Coupling(Protocol):
    """How the points of a cloud feel one another; immutable within a stage."""

    @property
    def shared_batches(self) -> bool:
        """Whether all points see the same mini-batch at a step."""
        ...

    def project(self, cloud: Cloud) -> Cloud:
        """Where the points [P, n] stand before the step, e.g. reparametrized along a path."""
        ...

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        """What is descended instead of the gradients, [P, n]; not the cloud itself, which moves."""
        ...


@dataclass(frozen=True)
class Uncoupled:
    """No coupling: independent replicas."""

    shared_batches: bool = False

    def project(self, cloud: Cloud) -> Cloud:
        """The cloud [P, n] as it is."""
        return cloud

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        """The gradients [P, n] as they are."""
        return gradients


UNCOUPLED: Coupling = Uncoupled()


class SGDState(NamedTuple):
    """What the loop knows after `step` steps. The tensors live in its buffers: clone what you keep.

    `losses` [P] and `gradients` [P, n] are those of the mini-batch of the last step, taken where
    the step began (`SGD.look`); None before the first one. (step, cloud, velocity) are enough to go
    on from, exactly.
    """

    step: int
    cloud: Cloud  # [P, n]
    velocity: Tensor  # [P, n]; what else an optimiser remembers, it keeps here too
    losses: Tensor | None = None
    gradients: Tensor | None = None

    def tensors(self) -> TensorsByName:
        """Cloud and velocity [P, n]."""
        return {"cloud": self.cloud, "velocity": self.velocity}


@dataclass(frozen=True)
class SGD:
    """v ← μv + g, θ ← θ − η(t)·v, g the gradient on a mini-batch of b (torch's convention,
    dampening 0).

    Nesterov: θ ← θ − η(g + μv). Weight decay is the landscape's, not the optimiser's: estimators
    see the potential that was descended.

    `learning_rate` is the peak that `schedule` scales. "auto": the landscape's own number where it
    has one; of a network without, measured where it begins (`measured_rate`: half the stable limit
    of a mini-batch); of a formula a tenth of the limit 2(1+μ)/h_max, h_max the largest measured at
    the starting points and the stated minima. `batch_size` None: the whole
    objective, no noise. Sampling as in sgdtheory.optim.sampling; on formulas every draw is i.i.d.
    `steps` "auto": `usual_steps`; `sgdtheory train` does what does not fit its data then anew, with
    more.
    """

    usual_steps: ClassVar[int] = 400  # ResNet-8 on digits: training error 0 (measured)

    steps: NonNegativeInt | Literal["auto"]
    batch_size: PositiveInt | None
    learning_rate: PositiveFloat | Literal["auto"]
    schedule: Schedule
    momentum: BelowOne = 0.0
    nesterov: bool = False
    sampling: Sampling = "iid"

    @property
    def rate(self) -> float:
        """The learning rate, where it is a number already."""
        if isinstance(self.learning_rate, str):
            raise TypeError("the learning rate is not resolved")
        return self.learning_rate

    @property
    def length(self) -> int:
        """The number of steps."""
        return self.usual_steps if self.steps == "auto" else self.steps

    @property
    def size(self) -> int:
        """The batch size, where there are mini-batches."""
        if self.batch_size is None:
            raise TypeError("the whole objective has no mini-batches")
        return self.batch_size

    def resolve_learning_rate(self, landscape: Landscape, cloud: Cloud, seed: int) -> Self:
        """The same with a number for the learning rate: a pure function of seed and cloud [P,
        n]."""
        if self.learning_rate != "auto":
            return self
        if is_measured(landscape):
            measured = cloud[:MEASURED]
            batch = next(self._batches(landscape, measured, False, 0, key(seed, "learning rate")))
            rate = measured_rate(landscape, measured, batch, self.momentum)
            return replace(self, learning_rate=rate)
        stated = landscape.learning_rate() if states_rate(landscape) else None
        if stated is not None:
            return replace(self, learning_rate=float(stated))
        points = list(cloud[:MEASURED])
        if states_minima(landscape):
            points.extend(landscape.minima().to(cloud))
        curvatures = [
            top_curvature(landscape, theta, stream(seed, "curvature", i))
            for i, theta in enumerate(points)
        ]
        return replace(self, learning_rate=0.2 * (1 + self.momentum) / max([*curvatures, 1e-12]))

    def run(
        self,
        landscape: Landscape,
        start: Cloud | SGDState,
        seed: int,
        coupling: Coupling = UNCOUPLED,
    ) -> Iterator[SGDState]:
        """States after each of the steps that are left, from a cloud [P, n] or a state on. Resuming
        from a state gives the same bits as never having stopped.

        A coupling may state a `ceiling`: Diverged where the mean loss of the points is above it.

        """
        if isinstance(start, Tensor):
            start = self.begin(start)
        optimiser = self.resolve_learning_rate(landscape, start.cloud, seed)
        cloud, velocity = start.cloud.clone(), start.velocity.clone()
        batches = self._batches(landscape, cloud, coupling.shared_batches, start.step, seed)
        gradients: Tensor | None = None
        ceiling = getattr(coupling, "ceiling", inf)
        # then v = g, and to copy it takes a tenth of a step of a small network
        is_plain = not self.momentum and type(self).step is SGD.step
        for step in range(start.step, self.length):
            rate = optimiser.rate * self.schedule(step, self.length)
            cloud = coupling.project(cloud)
            losses, gradients = self.look(landscape, cloud, next(batches), gradients)
            if ceiling < inf and not float(losses.mean()) <= ceiling:
                raise Diverged(f"the mean loss is above {ceiling:.4g} at step {step}", step)
            force = coupling.force(cloud, losses, gradients)
            if is_plain:
                cloud.sub_(force, alpha=rate)
                velocity = force
            else:
                self.step(cloud, velocity, force, rate, step)
            yield SGDState(step + 1, cloud, velocity, losses, gradients)

    def begin(self, cloud: Cloud) -> SGDState:
        """The state of a cloud [P, n] before the first step."""
        return SGDState(0, cloud, self.init_state(cloud))

    def init_state(self, cloud: Cloud) -> Tensor:
        """The velocity [P, n] of a cloud [P, n] before the first step."""
        return torch.zeros_like(cloud)

    def look(
        self, landscape: Landscape, cloud: Cloud, batch: Batch | None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The losses [P] of a mini-batch at the points of a cloud [P, n], and the gradients [P, n]
        that a step is made of; `into` [P, n] is memory that may be taken for them."""
        return value_and_grad(landscape, cloud, batch, into)

    def edge(self, rate: float, gradient_norm: float) -> Measured:
        """The curvature above which full-batch steps grow on a quadratic: `edge_of_momentum`.

        None of an optimiser with a step of its own that states none. `gradient_norm` |∇L| matters
        to those whose step depends on it.
        """
        own = type(self)
        if own.step is not SGD.step or own.look is not SGD.look:
            return Measured.nothing(f"{own.__name__} states no edge of stability")
        return self.edge_of_momentum(rate)

    def edge_of_momentum(self, rate: float) -> Measured:
        """2(1+μ)/η, with Nesterov's momentum 2(1+μ)/(1+2μ)η (Cohen et al. 2021,
        2103.00065)."""
        if not rate > 0:
            return Measured.nothing("the learning rate is 0")
        edge = 2 * (1 + self.momentum) / rate
        if self.nesterov:
            edge = edge / (1 + 2 * self.momentum)
        return Measured(edge)

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of the cloud [P, n] and of its velocity, in place."""
        torch.add(force, velocity, alpha=self.momentum, out=velocity)
        ahead = force.add(velocity, alpha=self.momentum) if self.nesterov else velocity
        cloud.sub_(ahead, alpha=rate)

    @property
    def equivalent(self) -> "SGD":
        """The SGD whose noise this one has, near a minimum and in the coordinates of its cloud."""
        return self

    def velocity_of(self, state: SGDState) -> Tensor:
        """v [P, n] of the last step θ ← θ − ηv, η the learning rate of `equivalent`."""
        return state.velocity

    def _batches(
        self, landscape: Landscape, cloud: Cloud, shared: bool, first_step: int, seed: int
    ) -> Iterator[Batch | None]:
        """The mini-batch of each step from `first_step` on."""
        points = 1 if shared else cloud.shape[0]
        if self.batch_size is None:
            return repeat(None)
        if has_examples(landscape) or is_augmented(landscape):
            return self._drawn(landscape, points, self.batch_size, first_step, seed, cloud.device)
        return self._sampled(sampled_of(landscape), points, self.batch_size, first_step, seed)

    def _drawn(
        self,
        landscape: WithExamples | Augmented,
        points: int,
        size: int,
        first_step: int,
        seed: int,
        device: torch.device,
    ) -> Iterator[Batch]:
        """Batches of examples, their indices drawn block by block. What augments them is drawn for
        whole blocks: the beginning of fewer draws need not be the same numbers."""
        drawing = (self.sampling, landscape.count, points, size)
        blocks = indices(*drawing, first_step, seed, device, self.length)
        shape = (block_steps(*drawing), points, size)
        for block, begins in blocks:
            first = max(0, first_step - begins)
            rows = block[first:].unbind()
            if not is_augmented(landscape):
                yield from map(landscape.batch, rows)
                continue
            draws = landscape.augmentation(shape, stream(seed, "augmentation", begins))
            draws = repeat(None) if draws is None else draws.to(device)[first:]
            yield from map(landscape.batch, rows, draws)

    @staticmethod
    def _sampled(
        landscape: Sampled, points: int, size: int, first_step: int, seed: int
    ) -> Iterator[Batch]:
        for step in count(first_step):
            yield landscape.sample(points, size, stream(seed, "sample", step))


def non_finite(losses: Tensor) -> list[int]:
    """The points of a cloud whose loss, of losses [P], is not a number any more; once there, SGD
    never comes back."""
    return [int(p) for p in (~torch.isfinite(losses)).nonzero()[:, 0]]
