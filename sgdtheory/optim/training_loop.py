"""A stage of a unit: the one SGD loop with checkpoints, a record of the losses, progress, and an
eye for what diverges."""

from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor

from sgdtheory.optim.checkpointed import Beside, checkpointed, resume
from sgdtheory.optim.learning_rate import LOWER, MOST_TRIES, has_risen, is_measured, look_steps
from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, Diverged
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.runs.unit import UnitFolder

RECORDS = 200  # points on a curve of the losses, and looks at whether they are finite


def run_measured(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    fraction: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
    watched: bool = False,
) -> tuple[Cloud, SGD]:
    """`run_stage` of a training from a cloud [P, n] on: its last cloud [P, n], and the SGD with the
    learning rate that it was done with.

    A rate that is measured holds where training begins; curvature may grow on the way. Where the
    loss has risen by its first looks (`LOOKS`), or is not finite, `run_lowering` begins anew. A
    number that was given is kept to, but where it is `watched`: it was measured too, earlier.
    """
    if watched or (sgd.learning_rate == "auto" and is_measured(landscape)):
        return run_lowering(
            folder, name, sgd, landscape, start, seed, fraction, snapshots, watched=True
        )
    resolved = sgd.resolve_learning_rate(landscape, start, seed)
    cloud = run_stage(
        folder, name, resolved, landscape, start, seed, UNCOUPLED, fraction, snapshots
    )
    return cloud, resolved


def run_lowering(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    fraction: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
    watched: bool = False,
) -> tuple[Cloud, SGD]:
    """`run_stage` from a cloud [P, n] on, and the SGD that got to its end: of one that diverged
    `LOWER` of the rate.

    Each try is a stage of its own, and the rate is kept with the number of tries, so that resuming
    gives the same bits.
    """
    at = f"{name}-rate"
    kept = folder.load_checkpoint(at)
    if kept is None:
        folder.resume(name)  # a unit that is done again forgets what it had logged before it marks
        tries, rate = 0, sgd.resolve_learning_rate(landscape, start, seed).rate
    else:
        tries, rate = int(kept[1]["tries"]), float(kept[0]["rate"])
    while True:
        if kept is None:
            folder.save_checkpoint(
                at, {"rate": torch.tensor(rate, dtype=torch.float64)}, {"tries": tries}
            )
        resolved, is_last = replace(sgd, learning_rate=rate), tries == MOST_TRIES - 1
        stage = f"{name}-lower-{tries}" if tries else name
        try:
            cloud = run_stage(
                folder,
                stage,
                resolved,
                landscape,
                start,
                seed,
                UNCOUPLED,
                fraction,
                snapshots,
                watched and not is_last,
            )
        except Diverged:
            if is_last:
                raise
        else:
            return cloud, resolved
        kept, tries, rate = None, tries + 1, LOWER * rate


def snapshot_name(sgd: SGD, step: int) -> str:
    """What a step of a training is kept as: a unit may train anew, with other steps or at another
    rate."""
    return f"{sgd.length}-steps-at-{sgd.rate!r}-{step}"


def run_stage(
    folder: UnitFolder,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    start: Cloud,
    seed: int,
    coupling: Coupling = UNCOUPLED,
    fraction: tuple[float, float] = (0.0, 1.0),
    snapshots: tuple[int, ...] = (),
    watched: bool = False,
) -> Cloud:
    """Run a stage to its end, from the newest state on disk when that belongs to this stage; gives
    its last cloud [P, n].

    `fraction`: the part of the unit's progress that is this stage's. `snapshots`: steps after which
    the cloud is kept besides (`folder.snapshot`). Raises Diverged when no point is finite any more,
    and where it is `watched` when the recorded loss has risen at one of its first looks; single
    points that are not finite are left to the caller, who finds them with `non_finite`.
    """
    done: Cloud | None = folder.stage(name)
    if done is not None:
        return done.to(start.device)
    window: list[Tensor] = []  # losses [P] of the steps since the last record
    resumed = resume(folder, name, start.device)
    sgd = sgd.resolve_learning_rate(landscape, start, seed)
    last = sgd.begin(start)
    if resumed is not None:
        last = resumed.state
        window = list(resumed.tensors["window"])
    every = max(1, sgd.length // RECORDS)
    looks = dict(look_steps(sgd.length)) if watched else {}
    if last.step == 0 and 0 in snapshots:
        folder.keep_snapshot(snapshot_name(sgd, 0), last.cloud)

    def gathered() -> Beside:
        empty = start.new_zeros((0, start.shape[0]))
        return Beside({"window": torch.stack(window) if window else empty})

    def progress(step: int) -> tuple[float, str]:
        return fraction[0] + (fraction[1] - fraction[0]) * step / sgd.length, name

    states = checkpointed(folder, name, sgd, landscape, last, seed, gathered, progress, coupling)
    for last in states:
        assert last.losses is not None
        if last.step in snapshots:
            folder.keep_snapshot(snapshot_name(sgd, last.step), last.cloud)
        window.append(last.losses)
        if last.step % every == 0 or (watched and last.step == 1):  # what a rise is measured from
            _record(folder, name, sgd, last.step, window)
        if last.step in looks:
            _look(folder, name, last.step, looks[last.step])
    if window:
        _record(folder, name, sgd, last.step, window)
    folder.end_stage(name, last.cloud)
    return last.cloud


def _record(folder: UnitFolder, name: str, sgd: SGD, step: int, window: list[Tensor]) -> None:
    """One row for the steps since the last one: the mean mini-batch loss of each point; one look at
    the device."""
    losses = torch.stack(window)  # [steps, P]
    window.clear()
    means = losses.mean(0).tolist()
    lost = [point for point, mean in enumerate(means) if not isfinite(mean)]
    rate = sgd.rate * sgd.schedule(step - 1, sgd.length)
    folder.log(stage=name, step=step, learning_rate=rate, loss=means, lost=lost)
    if len(lost) == len(means):
        is_lost = ~torch.isfinite(losses).all(1)
        first = step - len(losses) + int(is_lost.int().argmax()) + 1
        raise Diverged(
            f"the loss is not finite from step {first} of {name} on; lower sgd.learning_rate "
            f"(it was {sgd.learning_rate:.4g})",
            first,
        )


def _look(folder: UnitFolder, name: str, step: int, fraction: float) -> None:
    """Diverged where the mean loss recorded in the second half of the steps so far is not below
    `fraction` of its first."""
    folder.flush()
    rows = [
        row for row in folder.rows("metrics.jsonl") if row.get("stage") == name and "loss" in row
    ]
    means = {int(row["step"]): _mean(row["loss"]) for row in rows}
    recent = [mean for at, mean in means.items() if at > step // 2]
    if recent and has_risen(next(iter(means.values())), recent, fraction):
        raise Diverged(
            f"the loss has risen in the first {step} steps of {name}; lower sgd.learning_rate", step
        )


def _mean(losses: list[float | None]) -> float:
    """Of all points; infinite where one is not finite."""
    return sum(float("inf") if loss is None else loss for loss in losses) / len(losses)
