"""A stage of a unit: the one SGD loop with checkpoints, a record of the losses, progress, and an
eye for what diverges."""

from dataclasses import replace

import torch
from torch import Tensor

from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.learning_rate import LOWER, MOST_TRIES, has_risen, is_measured, look_steps
from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, Diverged, SGDState, non_finite
from sgdtheory.runs.unit import UnitFolder

RECORDS = 200  # points on a curve of the losses, and looks at whether they are finite


def run_measured(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    share: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
) -> tuple[Cloud, SGD]:
    """`run_stage` of a training, and the SGD with the learning rate that it was done with.

    A rate that is measured holds where training begins; curvature may grow on the way. Where the
    loss has risen by its first looks (`LOOKS`), or is not finite, `run_lowering` begins anew. A
    number that was given is kept to.
    """
    if sgd.learning_rate == "auto" and is_measured(landscape):
        return run_lowering(
            folder, name, sgd, landscape, start, seed, share, snapshots, watched=True
        )
    settled = sgd.settled(landscape, start, seed)
    return run_stage(
        folder, name, settled, landscape, start, seed, share=share, snapshots=snapshots
    ), settled


def run_lowering(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    share: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
    watched: bool = False,
) -> tuple[Cloud, SGD]:
    """`run_stage`, and the SGD that got to its end: of one that diverged `LOWER` of the rate.

    Each try is a stage of its own, and the rate is kept with the number of tries, so that resuming
    gives the same bits.
    """
    at = f"{name}-rate"
    found = folder.marked(at)
    if found is None:
        folder.resume(name)  # a unit that is done again forgets what it had logged before it marks
    tries = 0 if found is None else int(found[1]["tries"])
    rate = (
        sgd.settled(landscape, start, seed).learning_rate
        if found is None
        else float(found[0]["rate"])
    )
    while True:
        assert not isinstance(rate, str)
        if found is None:
            folder.mark(at, {"rate": torch.tensor(rate, dtype=torch.float64)}, {"tries": tries})
        settled, last = replace(sgd, learning_rate=rate), tries == MOST_TRIES - 1
        own, looks = f"{name}-lower-{tries}" if tries else name, watched and not last
        try:
            return run_stage(
                folder, own, settled, landscape, start, seed, UNCOUPLED, share, snapshots, looks
            ), settled
        except Diverged:
            if last:
                raise
        found, tries, rate = None, tries + 1, LOWER * rate


def run_stage(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    coupling: Coupling = UNCOUPLED,
    share: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
    watched: bool = False,
) -> Cloud:
    """Run a stage to its end, from the newest state on disk when that belongs to this stage; gives
    its last cloud [P, n].

    `share`: the part of the unit's progress that is this stage's. `snapshots`: steps after which
    the cloud is kept besides (`folder.snapshot`). Raises Diverged when no point is finite any more,
    and where it is `watched` when the recorded loss has risen at one of its first looks; single
    points that are not finite are left to the caller, who finds them with `non_finite`.
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
    looks = dict(look_steps(sgd.steps)) if watched else {}
    last = state if isinstance(state, SGDState) else SGDState(0, start, sgd.init_state(start))
    if last.step == 0 and 0 in snapshots:
        folder.keep_snapshot(0, last.cloud)
    for last in sgd.run(landscape, state, seed, coupling):
        assert last.losses is not None
        if last.step in snapshots:
            folder.keep_snapshot(last.step, last.cloud)
        window.append(last.losses)
        if last.step % every == 0 or (watched and last.step == 1):  # what a rise is measured from
            _record(folder, name, sgd, last.step, window)
        if last.step in looks:
            _look(folder, name, last.step, looks[last.step])

        def kept(now: SGDState = last) -> tuple[dict[str, Tensor], dict[str, object]]:
            record = torch.stack(window) if window else now.cloud.new_zeros((0, now.cloud.shape[0]))
            return {**now.tensors(), "window": record}, {"stage": name, "step": now.step}

        folder.keep(kept, share[0] + (share[1] - share[0]) * last.step / sgd.steps, name)
    if window:
        _record(folder, name, sgd, last.step, window)
    folder.end_stage(name, last.cloud)
    return last.cloud


def _record(folder: UnitFolder, name: str, sgd: SGD, step: int, window: list[Tensor]) -> None:
    """One row for the steps since the last one: the mean mini-batch loss of each point; one look at
    the device."""
    losses = torch.stack(window)  # [steps, P]
    window.clear()
    means = losses.mean(0)
    lost = non_finite(means)
    assert not isinstance(sgd.learning_rate, str)
    rate = sgd.learning_rate * sgd.schedule(step - 1, sgd.steps)
    folder.log(stage=name, step=step, learning_rate=rate, loss=means.tolist(), lost=lost)
    if len(lost) == len(means):
        first = step - len(losses) + int((~torch.isfinite(losses)).any(1).int().argmax()) + 1
        raise Diverged(
            f"the loss is not finite from step {first} of {name} on; lower sgd.learning_rate "
            f"(it was {sgd.learning_rate:.4g})",
            first,
        )


def _look(folder: UnitFolder, name: str, step: int, share: float) -> None:
    """Diverged where the mean loss recorded in the second half of the steps so far is not below
    `share` of its first."""
    folder.flush()
    rows = [
        row for row in folder.rows("metrics.jsonl") if row.get("stage") == name and "loss" in row
    ]
    means = {int(row["step"]): _mean(row["loss"]) for row in rows}
    recent = [mean for at, mean in means.items() if at > step // 2]
    if recent and has_risen(next(iter(means.values())), recent, share):
        raise Diverged(
            f"the loss has risen in the first {step} steps of {name}; lower sgd.learning_rate", step
        )


def _mean(losses: list[float | None]) -> float:
    """Of all points; infinite where one is not finite."""
    return sum(float("inf") if loss is None else loss for loss in losses) / len(losses)
