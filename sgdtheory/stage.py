"""A stage of a unit: the one SGD loop with checkpoints, a record of the losses, progress, and an eye for what diverges."""

import torch
from torch import Tensor

from sgdtheory.faults import Failure
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.run import UnitFolder
from sgdtheory.sgd import FREE, SGD, Coupling, SGDState, non_finite

RECORDS = 200  # points on a curve of the losses, and looks at whether they are finite


def run_stage(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    coupling: Coupling = FREE,
    share: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
) -> Cloud:
    """Run a stage to its end, from the newest state on disk when that belongs to this stage; gives its last cloud [P, n].

    `share`: the part of the unit's progress that is this stage's. `snapshots`: steps after which the cloud is kept besides
    (`folder.snapshot`). Raises Failure when no point is finite any more; single
    points that are not are left to the caller, who finds them with `non_finite`.
    """
    done: Cloud | None = folder.stage(name)
    if done is not None:
        return done.to(start.device)
    state: Cloud | SGDState = start
    window: list[Tensor] = []  # losses [P] of the steps since the last record
    resumed = folder.resume(name)
    if resumed is not None:
        tensors, facts = resumed
        tensors = {key: value.to(start.device) for key, value in tensors.items()}
        window = list(tensors.pop("window"))
        state = SGDState(facts["step"], **tensors)
    sgd = sgd.settled(landscape, start, seed)
    every = max(1, sgd.steps // RECORDS)
    last = state if isinstance(state, SGDState) else SGDState(0, start, sgd.at_rest(start))
    if last.step == 0 and 0 in snapshots:
        folder.keep_snapshot(0, last.cloud)
    for last in sgd.run(landscape, state, seed, coupling):
        assert last.losses is not None
        if last.step in snapshots:
            folder.keep_snapshot(last.step, last.cloud)
        window.append(last.losses)
        if last.step % every == 0:
            _record(folder, name, sgd, last.step, window)

        def kept(now: SGDState = last) -> tuple[dict[str, Tensor], dict[str, object]]:
            record = torch.stack(window) if window else now.cloud.new_zeros((0, now.cloud.shape[0]))
            return {**now.tensors(), "window": record}, {"stage": name, "step": now.step}

        folder.keep(kept, share[0] + (share[1] - share[0]) * last.step / sgd.steps, name)
    if window:
        _record(folder, name, sgd, last.step, window)
    folder.end_stage(name, last.cloud)
    return last.cloud


def _record(folder: UnitFolder, name: str, sgd: SGD, step: int, window: list[Tensor]) -> None:
    """One row for the steps since the last one: the mean mini-batch loss of each point; one look at the device."""
    losses = torch.stack(window)  # [steps, P]
    window.clear()
    means = losses.mean(0)
    lost = non_finite(means)
    assert not isinstance(sgd.learning_rate, str)
    rate = sgd.learning_rate * sgd.schedule(step - 1, sgd.steps)
    folder.log(stage=name, step=step, learning_rate=rate, loss=means.tolist(), lost=lost)
    if len(lost) == len(means):
        first = step - len(losses) + int((~torch.isfinite(losses)).any(1).int().argmax()) + 1
        raise Failure(
            f"the loss is not finite from step {first} of {name} on; lower sgd.learning_rate (it was {sgd.learning_rate:.4g})"
        )
