"""A cloud observed at every step of SGD; the observations are kept with its state, so that they go
on after a stop."""

from collections.abc import Callable

from sgdtheory.errors import RunError
from sgdtheory.optim.checkpointed import Beside, checkpointed, resume
from sgdtheory.optim.sgd import SGD, UNCOUPLED, Coupling, SGDState, non_finite
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.runs.unit import UnitFolder

Seen = TensorsByName  # what is observed, by name; tensors of a fixed size
STAGE = "watch"
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
    last = sgd.begin(start)
    resumed = resume(folder, STAGE, start.device)
    if resumed is not None:
        last = resumed.state
        seen = resumed.tensors
    spacing = max(1, sgd.length // LOOKS)

    def gathered() -> Beside:
        return Beside(seen)

    def progress(step: int) -> tuple[float, str]:
        return step / sgd.length, "watching"

    states = checkpointed(folder, STAGE, sgd, landscape, last, seed, gathered, progress, coupling)
    for last in states:
        observe(last, seen)
        if last.step % spacing == 0:
            _refuse_divergence(last, sgd)
            if finished is not None and finished(seen):
                break
    return last.cloud.clone(), seen


def _refuse_divergence(state: SGDState, sgd: SGD) -> None:
    assert state.losses is not None
    if len(non_finite(state.losses)) == len(state.cloud):
        raise RunError(
            f"no point is finite any more at step {state.step}; lower "
            f"sgd.learning_rate ({sgd.learning_rate})"
        )
