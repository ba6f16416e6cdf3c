"""The losses along a path, with errors: every point scored on the same examples, un-augmented,
statistics recomputed."""

from collections.abc import Callable
from functools import lru_cache
from math import sqrt
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from scipy.special import gammaincinv, ndtri
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.protocol import Cloud, Landscape, values
from sgdtheory.roles.examples import is_scored
from sgdtheory.roles.facts import unit_of_loss
from sgdtheory.statistics.bootstrap import resample_counts
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row

Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]  # mean losses [R, T] → [R]
# examples, whose weights in all resamples are kept (32 MB): an edge asks for a dozen errors
FEW = 10_000
RESAMPLES = 400  # of the bootstrap: its error of a standard error is 1/√(2·400) = 3.5 %
# that pieces beside the highest point of a curve are halved: what a top lies above the highest
# point falls with the square of their width, from 4 % of 15 points of ResNet-8 to .06 %
HALVINGS = 3
FEWEST = 4  # examples that carry a barrier, for a bootstrap to tell its error


class Profile(NamedTuple):
    """Scores of the T points of a path on N examples; a formula has one example, its energy, and no
    errors or test set."""

    t: Tensor  # [T], arc positions, 0 at the first point and 1 at the last
    train_losses: Tensor  # [T, N], float64
    train_errors: Tensor | None
    test_losses: Tensor | None
    test_errors: Tensor | None
    unit: str = ""  # of the loss

    def joined(self, other: "Profile") -> "Profile":
        """This profile and one of other points of the same path, in the order of their t."""
        t = torch.cat([self.t, other.t])
        order = t.argsort()

        def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
            if first is None or second is None:
                return None
            return torch.cat([first, second])[order]

        train_losses = torch.cat([self.train_losses, other.train_losses])
        return Profile(
            t[order],
            train_losses[order],
            both(self.train_errors, other.train_errors),
            both(self.test_losses, other.test_losses),
            both(self.test_errors, other.test_errors),
            self.unit,
        )

    @property
    def train_means(self) -> Tensor:
        """The mean training loss of each point [T], summed point by point as `train_losses`
        does."""
        means = [losses.mean() for losses in self.train_losses]
        return torch.stack(means)

    @property
    def worst(self) -> int:
        """The point with the highest mean training loss."""
        means = self.train_losses.mean(1)
        return int(means.argmax())

    @property
    def saddle_at(self) -> float:
        return float(self.t[self.worst])

    def barrier(self) -> Measured:
        """max_t L(t) − max(L(0), L(1)); its error over examples as drawn from the population, all
        points on the same ones."""

        def rise(means: np.ndarray) -> np.ndarray:
            higher_end = means[:, [0, -1]].max(1)
            rises: np.ndarray = means.max(1) - higher_end
            return rises

        return self._statistic(rise)

    def barrier_from(self, end: int) -> Measured:
        """max_t L(t) − L(end), end 0 or −1: over the first, the energy difference that a formula
        states."""
        return self._statistic(lambda means: means.max(1) - means[:, end])

    def barrier_above_line(self) -> Measured:
        """max_t [L(t) − (1−t)L(0) − tL(1)] (Entezari et al. 2022, 2110.06296, Eq. 1, for any
        path)."""
        t = self.t.cpu().numpy()

        def rise(means: np.ndarray) -> np.ndarray:
            first = means[:, :1]
            last = means[:, -1:]
            above = means - (1 - t) * first - t * last
            highest: np.ndarray = above.max(1)
            return highest

        return self._statistic(rise)

    def highest(self) -> Measured:
        """max_t L(t)."""
        return self._statistic(lambda means: means.max(1))

    def _statistic(self, of: Statistic) -> Measured:
        """A function of the mean losses [R, T] → [R], piecewise linear in them, with its error by a
        bootstrap over examples.

        A maximum over noisy means is too high: the bias that the bootstrap sees is part of the
        error. The error is one to take 1.96 of for 95 %, though a few examples of high loss may
        carry it (`_widened`).
        """
        losses = self.train_losses.cpu().numpy()  # [T, N]
        means = losses.mean(1)
        value = float(of(means[None])[0])
        count = losses.shape[1]
        if count == 1:
            return Measured(value, 0.0, "")
        weights = _kept_weights(count) if count <= FEW else _weights(count)
        again = of(weights @ losses.T)
        bias = again.mean() - value
        spread = np.hypot(again.std(ddof=1), bias)
        error = spread * _widened(losses, means, of, weights)
        return Measured(value, float(error), self.unit)

    def test_error_rise(self) -> Measured:
        """The test error at the worst point over the worse end's; its error is of the difference on
        the same examples, and no less than one example makes."""
        if self.test_errors is None:
            return Measured.nothing("a formula has no examples")
        errors = self.test_errors.cpu()
        ends = errors[[0, -1]]
        worse = ends[int(ends.mean(1).argmax())]
        rise = Measured.mean(errors[self.worst] - worse)
        if rise.stderr is None:
            return rise
        return rise._replace(stderr=max(rise.stderr, 1 / len(worse)))

    def row(self, **facts: object) -> Row:
        """As it stands in results.json: what is at the worst point, and the barrier over the higher
        end.

        Raises RunError where a loss is not finite: the highest point of such a way is not known.

        """
        is_finite = torch.isfinite(self.train_losses.mean(1))
        lost = (~is_finite).nonzero()
        if len(lost):
            at = float(self.t[lost[0, 0]])
            raise RunError(f"the loss is not finite at t = {at:.3g}")
        barrier = self.barrier()
        row = self.highest().columns("train_loss")
        row["barrier"] = {"value": barrier.value, "stderr": barrier.stderr}
        tables = {
            "train_error": self.train_errors,
            "test_loss": self.test_losses,
            "test_error": self.test_errors,
        }
        for name, table in tables.items():
            mean = Measured.nothing("a formula has no examples")
            if table is not None:
                mean = Measured.mean(table[self.worst].cpu())
            row |= mean.columns(name)
        row |= self.test_error_rise().columns("test_error_rise")
        return {**row, **facts}

    def curves(self) -> dict[str, list[float] | None]:
        """Means along the path, for pictures."""
        return {
            "t": self.t.tolist(),
            "train_loss": _means(self.train_losses),
            "test_loss": _means(self.test_losses),
            "test_error": _means(self.test_errors),
        }


def _means(table: Tensor | None) -> list[float] | None:
    """Of each point over the examples of a table [T, N]; None where there is none, or nothing but
    NaN in it."""
    if table is None or bool(table.isnan().all()):
        return None
    means: list[float] = table.mean(1).tolist()
    return means


def _weights(count: int) -> np.ndarray:
    """The weights of so many examples in each resample [R, N]: the same ones whatever is asked of
    them."""
    weights: np.ndarray = resample_counts(count, RESAMPLES) / count
    return weights


_kept_weights = lru_cache(maxsize=1)(_weights)


def _widened(losses: np.ndarray, means: np.ndarray, of: Statistic, weights: np.ndarray) -> float:
    """What a standard error of a statistic of losses [T, N] is multiplied by, so that 1.96 of them
    hold in 95 % of cases.

    The 95 % quantile over resamples of |m|/s over 1.96, m and s a resample's mean and standard
    error of what the examples contribute, by weights [R, N] (the symmetric bootstrap-t; Hall 1988):
    1 where a mean is normal, 3 where 4 of 400 examples carry it, for a sample that lacks them has a
    low mean and a low error at once. At least 1. A resample may lack all that carry it, and has no
    error to speak of then: it is taken to have a quarter of what one of them makes. Where they are
    fewer than four resamples say little of how many there might be, and Poisson's law does.
    """
    size = float(np.abs(means).max())
    small = 1e-6 * max(1e-300, size)
    moved = means + small * np.eye(len(means))
    changes = of(moved) - of(means[None])
    slopes = changes / small  # [T]; a kink counts as one of its sides
    contributions = slopes @ (losses - means[:, None])  # of each example [N]
    if not contributions.any():
        return 1.0
    powers = np.stack([contributions, contributions**2], 1)
    again = weights @ powers  # [R, 2]
    m = again[:, 0]
    squares = contributions**2
    carriers = float(squares.sum() ** 2 / (squares**2).sum())  # how many carry it
    least = squares.mean() / (16 * carriers)
    variances = np.maximum(again[:, 1] - m**2, least)
    s = np.sqrt(variances / len(contributions))
    quantile = float(np.quantile(np.abs(m) / s, 0.95))
    if carriers < FEWEST:
        highest = float(gammaincinv(carriers + 1, 0.975))  # mean of Poisson's law, 97.5 % limit
        quantile = max(quantile, (highest - carriers) / sqrt(carriers))
    return max(1.0, quantile / float(ndtri(0.975)))


def profile(landscape: Landscape, points: Cloud, t: Tensor) -> Profile:
    """Score the points [T, n] of a path that stand at arc positions t [T]."""
    if not is_scored(landscape):
        energies = values(landscape, points).double()
        return Profile(t, energies[:, None], None, None, None)
    train = []
    test = []
    for theta in points:
        train.append(landscape.score(theta[None], "train"))
        test.append(landscape.score(theta[None], "test"))
    return Profile(
        t,
        torch.cat([score.losses for score in train]),
        torch.cat([score.errors for score in train]),
        torch.cat([score.losses for score in test]),
        torch.cat([score.errors for score in test]),
        unit_of_loss(landscape),
    )


def profile_to_the_top(landscape: Landscape, at: Callable[[Tensor], Cloud], t: Tensor) -> Profile:
    """Score the points at(t) [T, n] of a curve at positions t [T], and more of them about the
    highest: the two pieces beside it are halved, and again."""
    along = profile(landscape, at(t), t)
    for _ in range(HALVINGS):
        top = along.worst
        beside = along.t[max(0, top - 1) : top + 2]
        middles = (beside[:-1] + beside[1:]) / 2
        along = along.joined(profile(landscape, at(middles), middles))
    return along


def train_losses(landscape: Landscape, points: Cloud) -> Tensor:
    """What a path is judged by while it is being searched: mean training loss without L2,
    statistics recomputed, [T]."""
    if not is_scored(landscape):
        return values(landscape, points).double()
    means = []
    for theta in points:
        score = landscape.score(theta[None], "train")
        means.append(score.losses.mean())
    return torch.stack(means)


def loss_difference_error(landscape: Landscape) -> Callable[[Cloud], float] | None:
    """A function of two points [2, n]: the standard error, over training examples, of the
    difference of their losses; None on a formula, which has no examples."""
    if not is_scored(landscape):
        return None

    def error(pair: Cloud) -> float:
        losses = landscape.score(pair, "train").losses.cpu()
        difference = Measured.mean(losses[0] - losses[1])
        return difference.stderr or 0.0

    return error
