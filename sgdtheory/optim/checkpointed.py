"""The one SGD loop with checkpoints: whatever is gathered beside the cloud is kept with it, so that
stopping at any moment changes no bit."""

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import NamedTuple

import torch

from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, SGDState
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.tensors import State
from sgdtheory.runs.unit import UnitFolder


class Beside(NamedTuple):
    """What is gathered beside a cloud: tensors by name, of any shape, and plain facts."""

    tensors: TensorsByName
    facts: Facts = MappingProxyType({})


class Resumed(NamedTuple):
    """Where a stage that was stopped goes on."""

    state: SGDState
    tensors: TensorsByName  # what had been gathered by then
    facts: Json


def resume(folder: UnitFolder, stage: str, device: torch.device) -> Resumed | None:
    """The newest state of a stage, on the device; None where it begins."""
    kept = folder.resume(stage)
    if kept is None:
        return None
    tensors = {name: tensor.to(device) for name, tensor in kept[0].items()}
    cloud = tensors.pop("cloud")
    velocity = tensors.pop("velocity")
    return Resumed(SGDState(kept[1]["step"], cloud, velocity), tensors, kept[1])


def checkpointed(
    folder: UnitFolder,
    stage: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud | SGDState,
    seed: int,
    gathered: Callable[[], Beside],
    progress: Callable[[int], tuple[float, str]],
    coupling: Coupling = UNCOUPLED,
) -> Iterator[SGDState]:
    """The states after each step of SGD from a cloud [P, n] or a state on. When the caller has done
    with one, it and what is `gathered` are kept now and then, and a stop that was asked for is
    made.

    `progress`: of a step, (the part of the work that is done, what is being done).
    """
    for state in sgd.run(landscape, start, seed, coupling):
        yield state

        def to_keep(state: SGDState = state) -> State:
            tensors, facts = gathered()
            known = {"stage": stage, "step": state.step}
            return {**state.tensors(), **tensors}, {**known, **facts}

        folder.keep(to_keep, *progress(state.step))
