"""How many steps a training takes until it fits its data."""

from dataclasses import replace
from math import inf

from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.pipelines.snapshots import snapshot_steps
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.examples import is_scored
from sgdtheory.runs.unit import UnitFolder

FITTED = 0.01  # a training error below this is that of a minimum, or nearly
WORTH = 0.9  # of the training loss before: above it twice the steps have not helped
MOST = 16  # times the usual number of steps


def run_until_fitted(
    folder: UnitFolder,
    sgd: SGD,
    landscape: Landscape,
    descended: Landscape,
    start: Cloud,
    seed: int,
    fraction: tuple[float, float],
    snapshots: int,
) -> tuple[Cloud, SGD]:
    """A training from a cloud [P, n] on: its last cloud [P, n], and the SGD that it was done with,
    with the number of steps and the learning rate.

    `sgd.steps` "auto": the usual number. A training whose error on the training set is `FITTED` or
    more then is done anew from the same start with twice the steps, as long as that makes the loss
    less than `WORTH` of what it was, and up to `MOST` times the usual number. What comes out has
    the bits of `sgd.steps` = the number that was found. `landscape` has the examples, `descended`
    is what SGD sees of it; so many `snapshots` are kept of the last training.
    """
    loss = inf
    most = most_steps(sgd, landscape)
    steps, stage = sgd.length, "train"
    while True:
        tried = replace(sgd, steps=steps)
        kept = snapshot_steps(steps, snapshots)
        cloud, done = run_measured(folder, stage, tried, descended, start, seed, fraction, kept)
        if 2 * steps > most:
            return cloud, done
        before, (loss, error) = loss, _training_score(landscape, cloud)
        if not (error >= FITTED and loss < WORTH * before):
            return cloud, done
        steps *= 2
        stage = f"train-{steps}"


def most_steps(sgd: SGD, landscape: Landscape) -> int:
    """How many steps the last training may have."""
    return MOST * sgd.length if sgd.steps == "auto" and is_scored(landscape) else sgd.length


def longer_in_words(sgd: SGD) -> str:
    """What may come after the usual number of steps."""
    return (
        f"trainings with a training error of {100 * FITTED:g} % or more after {sgd.length:,} "
        f"steps are done anew with twice as many, up to {MOST * sgd.length:,}"
    )


def _training_score(landscape: Landscape, cloud: Cloud) -> tuple[float, float]:
    """Mean loss and error on the training set, of a cloud [P, n]."""
    assert is_scored(landscape)
    score = landscape.score(cloud, "train")
    return float(score.losses.mean()), float(score.errors.mean())
