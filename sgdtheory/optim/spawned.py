"""Training of pairs that are one point until a step, and two with different noise from then on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.errors import UserError
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Batch, Cloud, Landscape


@dataclass(frozen=True)
class Spawned(SGD):
    """Points 2r and 2r + 1 of a cloud see the same mini-batches until step `spawn`, and their own
    after it: started at one point they are a network and its copy, spawned there with all that its
    optimiser remembers (Frankle et al. 2020, 1912.05671, Algorithm 1)."""

    spawn: NonNegativeInt = 0

    def _batches(
        self, landscape: Landscape, cloud: Cloud, shared: bool, first_step: int, seed: int
    ) -> Iterator[Batch | None]:
        batches = super()._batches(landscape, cloud, shared, first_step, seed)
        for step, batch in zip(count(first_step), batches, strict=False):
            yield batch if step >= self.spawn else tree_map(_in_pairs, batch)

    def init_state(self, cloud: Cloud) -> Tensor:
        """What the optimiser remembers at first, [..., P, n], the same of both points of a pair."""
        state = super().init_state(cloud)
        _make_pairs(state)
        return state

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of a cloud [P, n]; two points that are one stay one to the bit, though on some
        processors two rows of one product are rounded differently."""
        super().step(cloud, velocity, force, rate, step)
        if step < self.spawn:
            _make_pairs(cloud)
            _make_pairs(velocity)


def spawned(sgd: SGD, step: int) -> Spawned:
    """A way to train, by whatever optimiser, of pairs that are spawned at a step."""
    kind = _spawned_kind(type(sgd))
    # not by its constructor: that of someone else's optimiser may ask for other things
    pairs = object.__new__(kind)
    vars(pairs).update(vars(sgd), spawn=step)
    return pairs


def refuse_unspawned(sgd: SGD, spawn: list[int]) -> None:
    """Raise UserError where copies could not part, or would not be the network until they do."""
    if sgd.batch_size is None:
        raise UserError("sgd.batch_size=null is without noise, by which copies part; give a number")
    late = [step for step in spawn if step >= sgd.length]
    if late:
        raise UserError(
            f"spawn={late[0]}: copies need steps of their own, and training ends at "
            f"sgd.steps={sgd.length}; spawn them before"
        )
    cloud = torch.zeros(4, 3)
    remembered = sgd.init_state(cloud)
    if remembered.dim() < 2 or remembered.shape[-2] != len(cloud):
        raise UserError(
            f"sgd: what {type(sgd).__name__} remembers is not [..., P, n], and a copy could not be "
            "given it; shape it so"
        )


def _spawned_kind(kind: type[SGD]) -> type[Spawned]:
    """Spawned over another optimiser: its own steps, with Spawned's before and after them."""
    if kind is SGD:
        return Spawned
    both = type(f"Spawned{kind.__name__}", (Spawned, kind), {"__module__": __name__})
    return dataclass(frozen=True)(both)


def start_in_pairs(cloud: Cloud) -> Cloud:
    """Each point of a cloud [R, n] twice, [2R, n]."""
    return cloud.repeat_interleave(2, dim=0)


def _make_pairs(rows: Tensor) -> None:
    """The odd rows of [..., P, n] become the even ones before them, in place."""
    rows[..., 1::2, :] = rows[..., ::2, :]


def _in_pairs(draws: object) -> object:
    """What the even points of a batch [P, …] have drawn, for the odd ones too."""
    if not isinstance(draws, Tensor) or len(draws) < 2:
        return draws
    even = 2 * torch.div(torch.arange(len(draws), device=draws.device), 2, rounding_mode="floor")
    return draws.index_select(0, even)
