"""A cloud observed at every step of SGD; the observations are kept with its state, so that they go
on after a stop."""

from collections.abc import Callable

import torch

from sgdtheory.errors import RunError
from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, SGDState, non_finite
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.runs.unit import UnitFolder

Seen = TensorsByName  # what is observed, by name; tensors of a fixed size
LOOKS = 200  # how often it is checked that the cloud is finite


def watch(
    folder: UnitFolder,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    seen: Seen,
    observe: Callable[[SGDState, Seen], None],
    coupling: Coupling = UNCOUPLED,
    finished: Callable[[Seen], bool] | None = None,
) -> tuple[Cloud, Seen]:
    """Run SGD from `start` [P, n], or from the newest state on disk, and call observe(state, seen)
    after each step.

    `observe` writes into the tensors of `seen`. `finished`, asked now and then, ends the run early.
    Returns the last cloud [P, n] and what was seen. Points that have diverged are the caller's to
    count (`non_finite`); raises RunError when all have.
    """
    state, seen = _begin(folder, start, seen)
    cloud = state.cloud
    spacing = max(1, sgd.steps // LOOKS)
    for now in sgd.run(landscape, state, seed, coupling):
        observe(now, seen)
        cloud = now.cloud

        def checkpoint(now: SGDState = now) -> tuple[Seen, dict[str, object]]:
            return {**now.tensors(), **seen}, {"stage": "watch", "step": now.step}

        if now.step % spacing == 0:
            _refuse_divergence(now, sgd)
            if finished is not None and finished(seen):
                break
        folder.keep(checkpoint, now.step / sgd.steps, "watching")
    return cloud.clone(), seen


def _begin(folder: UnitFolder, start: Cloud, seen: Seen) -> tuple[SGDState, Seen]:
    """The newest state on disk and what had been seen by then; else the start [P, n]."""
    resumed = folder.resume("watch")
    if resumed is None:
        return SGDState(0, start, torch.zeros_like(start)), seen
    kept, facts = resumed
    tensors = {name: tensor.to(start.device) for name, tensor in kept.items()}
    cloud = tensors.pop("cloud")
    velocity = tensors.pop("velocity")
    return SGDState(facts["step"], cloud, velocity), tensors


def _refuse_divergence(state: SGDState, sgd: SGD) -> None:
    assert state.losses is not None
    if len(non_finite(state.losses)) == len(state.cloud):
        raise RunError(
            f"no point is finite any more at step {state.step}; lower "
            f"sgd.learning_rate ({sgd.learning_rate})"
        )
