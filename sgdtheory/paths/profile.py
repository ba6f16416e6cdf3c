"""The losses along a path, with errors: every point scored on the same examples, un-augmented,
statistics recomputed."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.landscape import Cloud, Landscape, values
from sgdtheory.roles.examples import is_scored
from sgdtheory.statistics.measured import Measured, Row

Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]  # mean losses [R, T] → [R]
# examples, whose weights in all resamples are kept (32 MB): an edge asks for a dozen errors
FEW = 10_000
RESAMPLES = 400  # of the bootstrap: its error of a standard error is 1/√(2·400) = 3.5 %


class Profile(NamedTuple):
    """Scores of the T points of a path on N examples; a formula has one example, its energy, and no
    errors or test set."""

    t: Tensor  # [T], arc positions, 0 at the first point and 1 at the last
    train_losses: Tensor  # [T, N], float64
    train_errors: Tensor | None
    test_losses: Tensor | None
    test_errors: Tensor | None

    @property
    def train_means(self) -> Tensor:
        """The mean training loss of each point [T], summed point by point as `train_losses`
        does."""
        return torch.stack([losses.mean() for losses in self.train_losses])

    @property
    def worst(self) -> int:
        """The point with the highest mean training loss."""
        return int(self.train_losses.mean(1).argmax())

    @property
    def saddle_at(self) -> float:
        return float(self.t[self.worst])

    def barrier(self) -> Measured:
        """max_t L(t) − max(L(0), L(1)); its error over examples as drawn from the population, all
        points on the same ones."""
        return self._statistic(lambda means: means.max(1) - means[:, [0, -1]].max(1))

    def barrier_from(self, end: int) -> Measured:
        """max_t L(t) − L(end), end 0 or −1: over the first, the energy difference that a formula
        states."""
        return self._statistic(lambda means: means.max(1) - means[:, end])

    def barrier_above_line(self) -> Measured:
        """max_t [L(t) − (1−t)L(0) − tL(1)] (Entezari et al. 2022, 2110.06296, Eq. 1, for any
        path)."""
        t = self.t.cpu().numpy()

        return self._statistic(
            lambda means: (means - (1 - t) * means[:, :1] - t * means[:, -1:]).max(1)
        )

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
        weights = (_kept_weights if count <= FEW else _weights)(count)
        again = of(weights @ losses.T)
        spread = np.hypot(again.std(ddof=1), again.mean() - value)
        return Measured(value, float(spread * _widened(losses, means, of, weights)), "nats")

    def row(self, **facts: object) -> Row:
        """As it stands in results.json: what is at the worst point, and the barrier over the higher
        end.

        Raises RunError where a loss is not finite: the highest point of such a way is not known.

        """
        lost = (~torch.isfinite(self.train_losses.mean(1))).nonzero()
        if len(lost):
            raise RunError(f"the loss is not finite at t = {float(self.t[lost[0, 0]]):.3g}")
        barrier = self.barrier()
        found = self.highest().columns("train_loss") | {
            "barrier": {"value": barrier.value, "stderr": barrier.stderr}
        }
        tables = {
            "train_error": self.train_errors,
            "test_loss": self.test_losses,
            "test_error": self.test_errors,
        }
        for name, table in tables.items():
            nothing = Measured.nothing("a formula has no examples")
            found |= (nothing if table is None else Measured.mean(table[self.worst].cpu())).columns(
                name
            )
        return {**found, **facts}

    def curves(self) -> dict[str, list[float] | None]:
        """Means along the path, for pictures."""
        tables = (
            ("train_loss", self.train_losses),
            ("test_loss", self.test_losses),
            ("test_error", self.test_errors),
        )
        means = {name: None if table is None else table.mean(1).tolist() for name, table in tables}
        return {"t": self.t.tolist(), **means}


def _weights(count: int) -> np.ndarray:
    """The weights of so many examples in each resample [R, N]: the same ones whatever is asked of
    them."""
    generator = np.random.Generator(np.random.PCG64(0))
    weights: np.ndarray = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    return weights


_kept_weights = lru_cache(maxsize=1)(_weights)


def _widened(losses: np.ndarray, means: np.ndarray, of: Statistic, weights: np.ndarray) -> float:
    """What a standard error of a statistic of losses [T, N] is multiplied by, so that 1.96 of them
    hold in 95 % of cases.

    The 95 % quantile over resamples of |m|/s over 1.96, m and s a resample's mean and standard
    error of what the examples contribute, by weights [R, N] (the symmetric bootstrap-t; Hall 1988):
    1 where a mean is normal, 3 where 4 of 400 examples carry it, for a sample that lacks them has a
    low mean and a low error at once. At least 1.
    """
    small = 1e-6 * max(1e-300, float(np.abs(means).max()))
    slopes = (
        of(means + small * np.eye(len(means))) - of(means[None])
    ) / small  # [T]; a kink counts as one of its sides
    each = slopes @ (losses - means[:, None])  # what each example contributes [N]
    if not each.any():
        return 1.0
    again = weights @ np.stack([each, each**2], 1)  # [R, 2]
    spread = np.sqrt(np.maximum(again[:, 1] - again[:, 0] ** 2, np.finfo(float).tiny) / len(each))
    return max(1.0, float(np.quantile(np.abs(again[:, 0]) / spread, 0.95) / ndtri(0.975)))


def profile(landscape: Landscape, points: Cloud, t: Tensor) -> Profile:
    """Score the points [T, n] of a path that stand at arc positions t [T]."""
    if not is_scored(landscape):
        return Profile(t, values(landscape, points).double()[:, None], None, None, None)
    scores = [
        (landscape.score(theta[None], "train"), landscape.score(theta[None], "test"))
        for theta in points
    ]
    train, test = zip(*scores, strict=True)
    return Profile(
        t,
        torch.cat([score.losses for score in train]),
        torch.cat([score.errors for score in train]),
        torch.cat([score.losses for score in test]),
        torch.cat([score.errors for score in test]),
    )


def train_losses(landscape: Landscape, points: Cloud) -> Tensor:
    """What a path is judged by while it is being searched: mean training loss without L2,
    statistics recomputed, [T]."""
    if not is_scored(landscape):
        return values(landscape, points).double()
    return torch.stack([landscape.score(theta[None], "train").losses.mean() for theta in points])


def loss_difference_error(landscape: Landscape) -> Callable[[Cloud], float] | None:
    """A function of two points [2, n]: the standard error, over training examples, of the
    difference of their losses; None on a formula, which has no examples."""
    if not is_scored(landscape):
        return None

    def error(pair: Cloud) -> float:
        losses = landscape.score(pair, "train").losses.cpu()
        return Measured.mean(losses[0] - losses[1]).stderr or 0.0

    return error
