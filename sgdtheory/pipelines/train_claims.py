"""What a run of `train` says of the points that it found."""

from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from sgdtheory.optim.trained import untrained
from sgdtheory.paths.distinct_points import SAME, DistinctPoints
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import is_scored
from sgdtheory.roles.facts import error_of_loss, title_of
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of

STATIONARY = 1e-6  # |∇L| below which a polished point of a formula counts as stationary, float64


def claims_of(landscape: Landscape, rows: Rows, points: Sequence[Tensor]) -> list[Claim]:
    """A point is called a minimum where it is one: trained, or on a formula stationary. `points`:
    those of the rows [1, n]."""
    title = title_of(landscape)
    name = error_of_loss(landscape)
    if not rows:
        unknown = Measured.nothing("no unit finished")
        words = f"no minimum of {title}"
        return [Claim("minima", words, unknown, f"training {name} 0", None)]
    if not is_scored(landscape):
        return [_stationary(rows, title, DistinctPoints(torch.cat(list(points)), SAME))]
    doubts = _doubts(landscape, rows)
    training = column_of(rows, "train_error")
    if None in training:
        return [_of_unknown_errors(rows, title, doubts)]
    worst = max(training)
    test = _mean_over_minima(rows, "test_error")
    percent = test.in_units_of(0.01)._replace(unit="%")
    error = f"up to {100 * worst:.2f} %"
    if worst == 0:
        error = "0"
        if len(rows) > 1:
            error = "0 at all of them"
    counted = _counted(rows, bool(doubts))
    words = f"{counted} of {title}: training {name} {error}, test {name} {percent}{doubts}"
    fits = "0: a minimum fits its training data"
    holds = worst == 0 and not doubts
    mean = f"test {name} {percent}, mean over minima ± standard error over examples"
    return [
        Claim("training_error", words, Measured(worst), fits, holds),
        Claim("test_error", mean, test, "", None),
    ]


def _of_unknown_errors(rows: Rows, title: str, doubts: str) -> Claim:
    """Points by their losses, where the loss is all that is known: targets that are all alike, a
    loss of the user's whose outputs are no classes or numbers to be compared with targets."""
    losses = [row["train_loss"] for row in rows if row["train_loss"] is not None]
    largest = Measured.nothing("not finite")
    if losses:
        largest = Measured(max(losses))
    counted = _counted(rows, bool(doubts))
    words = f"{counted} of {title}: training loss up to {largest}; no error is known{doubts}"
    return Claim("training_loss", words, largest, "", None)


def _doubts(landscape: Landscape, rows: Rows) -> str:
    """Which points are no minima; empty where all are trained."""
    reasons = {}
    for row in rows:
        if why := untrained(landscape, row["train_loss"]):
            reasons[row["name"]] = why
    if not reasons:
        return ""
    first, *others = reasons
    words = f"; {first} is no minimum, it is not trained: {reasons[first]}"
    if others:
        words += f", and so for {len(others)} more"
    return words


def _mean_over_minima(rows: Rows, name: str) -> Measured:
    """The mean of a score and its error over examples: all minima are scored on the same ones, so
    that of their mean is that of one of them."""
    mean = Measured.mean(column_of(rows, name))
    errors = [row[f"{name}_stderr"] for row in rows if f"{name}_stderr" in row]
    stderr = None
    if len(errors) == len(rows):
        stderr = fmean(errors)
    return mean._replace(stderr=stderr)


def _stationary(rows: Rows, title: str, distinct: DistinctPoints) -> Claim:
    """Points of a formula are judged by the gradient there; of those that are one it is said."""
    norms = column_of(rows, "gradient_norm")
    objectives = column_of(rows, "objective")
    expected = f"|∇L| ≤ {STATIONARY:g}"
    if None in norms or None in objectives:
        lost = Measured.nothing("the objective or its gradient is not finite at some of them")
        counted = _counted(rows, True)
        words = f"{counted} of {title}: not finite"
        return Claim("stationary", words, lost, expected, False)
    largest = max(norms)
    holds = largest <= STATIONARY
    counted = _counted(rows, not holds)
    size = "= 0"
    if largest:
        size = f"≤ {in_short(largest, 2)}"
    words = f"{counted} of {title}: |∇L| {size} at all of them, lowest value {min(objectives):.6g}"
    if distinct.repeated:
        different = len(distinct.kept)
        words += (
            "; they are one point" if different == 1 else f"; {different} of them are different"
        )
    return Claim("stationary", words, Measured(largest), expected, holds)


def _counted(rows: Rows, points: bool) -> str:
    """4 minima; points, where they are none."""
    count = len(rows)
    if points:
        word = "point" if count == 1 else "points"
    else:
        word = "minimum" if count == 1 else "minima"
    return f"{count} {word}"
