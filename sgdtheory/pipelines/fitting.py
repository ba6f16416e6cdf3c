"""How many steps a training takes until it fits its data, and at which learning rate."""

from dataclasses import dataclass, replace
from math import isfinite, isnan
from typing import NamedTuple

from sgdtheory.optim.learning_rate import LOWER, is_measured
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.pipelines.snapshots import snapshot_steps
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.examples import is_scored
from sgdtheory.runs.unit import UnitFolder

FITTED = 0.01  # a training error below this is that of a minimum, or nearly
WORTH = 0.9  # of the training loss before: above it another training has not helped
MOST = 16  # times the usual number of steps
SLOWER = 3  # times that a measured learning rate is lowered for what does not fit


class _Trained(NamedTuple):
    """A training, and what it has come to on the training set."""

    cloud: Cloud  # [P, n]
    sgd: SGD  # with its number of steps and its learning rate
    loss: float
    error: float


@dataclass(frozen=True)
class Trainings:
    """Trainings from a start [P, n] on, until one fits the data.

    `landscape` has the examples, `descended` is what SGD sees of it; so many `snapshots` are kept
    of each training.
    """

    folder: UnitFolder
    landscape: Landscape
    descended: Landscape
    start: Cloud
    seed: int
    fraction: tuple[float, float]
    snapshots: int

    def until_fitted(self, sgd: SGD) -> tuple[Cloud, SGD]:
        """The last cloud [P, n] of a training, and the SGD that it was done with, with the number
        of steps and the learning rate.

        `sgd.steps` "auto": the usual number. A training whose error on the training set is `FITTED`
        or more then is done anew from the same start with twice the steps, as long as that makes
        the loss less than `WORTH` of what it was, and up to `MOST` times the usual number. What
        does not fit by more steps is done anew at `LOWER` of the rate where that was measured,
        where training begins: units that die on the way do not come back. What comes out is the
        training of the lowest loss among these, and has the bits of `sgd.steps` and
        `sgd.learning_rate` = the numbers that were found.
        """
        if not _goes_on(sgd, self.landscape):
            return self._once("train", sgd, watched=False)
        best = last = self._longer("train", sgd)
        tries = SLOWER if _may_be_lower(sgd, self.landscape) else 0
        for k in range(1, tries + 1):
            if best.error < FITTED:
                break
            slower = replace(sgd, learning_rate=LOWER * last.sgd.rate)
            last = self._longer(f"train-slower-{k}", slower, watched=True)
            has_helped = last.loss < WORTH * best.loss
            best = _lower(best, last)
            if not (has_helped or untrained(self.landscape, best.loss)):
                break
        return best.cloud, best.sgd

    def _longer(self, name: str, sgd: SGD, watched: bool = False) -> _Trained:
        """The best of trainings with more and more steps, as long as that helps."""
        steps, most = sgd.length, MOST * sgd.length
        best = self._scored(name, replace(sgd, steps=steps), watched)
        has_helped = isfinite(best.loss)
        while has_helped and best.error >= FITTED and 2 * steps <= most:
            steps *= 2
            last = self._scored(f"{name}-{steps}", replace(sgd, steps=steps), watched)
            has_helped = last.loss < WORTH * best.loss
            best = _lower(best, last)
        return best

    def _scored(self, name: str, sgd: SGD, watched: bool) -> _Trained:
        cloud, done = self._once(name, sgd, watched)
        return _Trained(cloud, done, *_training_score(self.landscape, cloud))

    def _once(self, name: str, sgd: SGD, watched: bool) -> tuple[Cloud, SGD]:
        return run_measured(
            self.folder,
            name,
            sgd,
            self.descended,
            self.start,
            self.seed,
            self.fraction,
            snapshot_steps(sgd.length, self.snapshots),
            watched,
        )


def _lower(best: _Trained, last: _Trained) -> _Trained:
    return last if last.loss < best.loss or isnan(best.loss) else best


def longer_in_words(sgd: SGD, landscape: Landscape) -> str:
    """What may come after the usual number of steps; empty where nothing does."""
    if not _goes_on(sgd, landscape):
        return ""
    words = (
        f"with sgd.steps=auto trainings with a training error of {100 * FITTED:g} % or more after "
        f"{sgd.length:,} steps are done anew with twice as many, up to {MOST * sgd.length:,}"
    )
    if _may_be_lower(sgd, landscape):
        words += ", then at lower rates"
    return words


def _goes_on(sgd: SGD, landscape: Landscape) -> bool:
    """Whether a training may be followed by another: formulas have nothing to fit."""
    return sgd.steps == "auto" and is_scored(landscape)


def _may_be_lower(sgd: SGD, landscape: Landscape) -> bool:
    return sgd.learning_rate == "auto" and is_measured(landscape)


def _training_score(landscape: Landscape, cloud: Cloud) -> tuple[float, float]:
    """Mean loss and error on the training set, of a cloud [P, n]."""
    assert is_scored(landscape)
    score = landscape.score(cloud, "train")
    return float(score.losses.mean()), float(score.errors.mean())
