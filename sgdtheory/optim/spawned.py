"""SGD of pairs that are one point until a step, and two with different noise from then on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Batch, Cloud, Landscape


@dataclass(frozen=True)
class Spawned(SGD):
    """Points 2r and 2r + 1 of a cloud see the same mini-batches until step `spawn`, and their own
    after it: started at one point they are a network and its copy, spawned there with its velocity
    (Frankle et al. 2020, 1912.05671, Algorithm 1)."""

    spawn: NonNegativeInt = 0

    def _batches(
        self, landscape: Landscape, cloud: Cloud, shared: bool, first_step: int, seed: int
    ) -> Iterator[Batch | None]:
        batches = super()._batches(landscape, cloud, shared, first_step, seed)
        for step, batch in zip(count(first_step), batches, strict=False):
            yield batch if step >= self.spawn else tree_map(_in_pairs, batch)

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of a cloud [P, n]; two points that are one stay one to the bit, though on some
        processors two rows of one product are rounded differently."""
        super().step(cloud, velocity, force, rate, step)
        if step < self.spawn:
            cloud[1::2] = cloud[::2]
            velocity[1::2] = velocity[::2]


def spawned(sgd: SGD, step: int) -> Spawned:
    """A way to train, of pairs that are spawned at a step."""
    return Spawned(
        sgd.steps,
        sgd.batch_size,
        sgd.learning_rate,
        sgd.schedule,
        sgd.momentum,
        sgd.nesterov,
        sgd.sampling,
        step,
    )


def start_in_pairs(cloud: Cloud) -> Cloud:
    """Each point of a cloud [R, n] twice, [2R, n]."""
    return cloud.repeat_interleave(2, dim=0)


def _in_pairs(draws: object) -> object:
    """What the even points of a batch [P, …] have drawn, for the odd ones too."""
    if not isinstance(draws, Tensor) or len(draws) < 2:
        return draws
    even = 2 * torch.div(torch.arange(len(draws), device=draws.device), 2, rounding_mode="floor")
    return draws.index_select(0, even)
