"""A cloud watched at every step of SGD: what is seen is kept with its state, so that watching goes
on after a stop."""

from collections.abc import Callable

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, SGDState, non_finite
from sgdtheory.runs.unit import UnitFolder

Seen = dict[str, Tensor]
LOOKS = 200  # at whether the cloud is finite


def watch(
    folder: UnitFolder,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    seen: Seen,
    look: Callable[[SGDState, Seen], None],
    coupling: Coupling = UNCOUPLED,
    enough: Callable[[Seen], bool] | None = None,
) -> tuple[Cloud, Seen]:
    """Run SGD from `start`, or from the newest state on disk, and call look(state, seen) after each
    step.

    `look` writes into the tensors of `seen`; their size does not grow. `enough`, asked now and
    then, ends it early. Gives the last cloud and what was seen. Points that are not finite any more
    are the caller's to count (`non_finite`); raises RunError when no point is.
    """
    state, cloud = SGDState(0, start, torch.zeros_like(start)), start
    if (resumed := folder.resume("watch")) is not None:
        tensors, facts = resumed
        tensors = {name: tensor.to(start.device) for name, tensor in tensors.items()}
        state = SGDState(facts["step"], tensors.pop("cloud"), tensors.pop("velocity"))
        seen, cloud = tensors, state.cloud
    every = max(1, sgd.steps // LOOKS)
    for now in sgd.run(landscape, state, seed, coupling):
        look(now, seen)
        cloud = now.cloud

        def kept(now: SGDState = now) -> tuple[Seen, dict[str, object]]:
            return {**now.tensors(), **seen}, {"stage": "watch", "step": now.step}

        if now.step % every == 0:
            assert now.losses is not None
            if len(non_finite(now.losses)) == len(cloud):
                raise RunError(
                    f"no point is finite any more at step {now.step}; lower "
                    f"sgd.learning_rate ({sgd.learning_rate})"
                )
            if enough is not None and enough(seen):
                break
        folder.keep(kept, now.step / sgd.steps, "watching")
    return cloud.clone(), seen
