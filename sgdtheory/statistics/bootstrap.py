"""Standard errors by resampling: of any statistic, and of a ratio of means over replicas."""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri, stdtrit

from sgdtheory.statistics.measured import Measured

Array = np.ndarray
RESAMPLES = 200  # the error of a standard error is then 1/√(2·200) = 5 %


def resampled_rows(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Indices of `count` rows drawn with replacement [resamples, count] (Efron 1979).

    >>> resampled_rows(4, resamples=2).shape
    (2, 4)
    """
    return _generator(seed).integers(0, count, (resamples, count))


def resample_counts(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """How often each of `count` rows is drawn in each resample [resamples, count]; each sums to
    `count`.

    >>> resample_counts(5, resamples=3).sum(1)
    array([5, 5, 5])
    """
    chances = np.full(count, 1 / count)
    return _generator(seed).multinomial(count, chances, resamples)


def of_resamples(values: Array) -> Measured:
    """The first of values [1 + R], of the sample, with the standard deviation of those of its
    resamples.

    >>> of_resamples(np.array([2.0, 1.0, 3.0])).value
    2.0
    """
    first = float(values[0])
    if len(values) == 1:
        return Measured(first)
    error = values[1:].std(ddof=1)
    return Measured(first, float(error))


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def bootstrap(
    statistic: Callable[[Array], float],
    count: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Measured:
    """Value and standard error of `statistic(rows)`; `rows` are indices [count], of the value all
    in order.

    >>> squares = np.arange(10.0) ** 2
    >>> bootstrap(lambda rows: squares[rows].mean(), 10).value
    28.5
    """
    value = float(statistic(np.arange(count)))
    samples = resampled_rows(count, resamples, seed)
    draws = [float(statistic(rows)) for rows in samples]
    stderr = float(np.std(draws, ddof=1))
    return Measured(value, stderr)


def ratio_of_means(above: Array, below: Array, unit: str = "") -> Measured:
    """⟨above⟩/⟨below⟩ of two tables [S, P]; the standard error is a bootstrap over the P replicas,
    because the S records of one replica are correlated.

    The error is multiplied by `small_sample_correction(P)`, so that ± 1.96 of it is a 95 % interval
    even for few replicas.

    >>> ratio_of_means(np.full((3, 4), 6.0), np.full((3, 4), 2.0))
    Measured(value=3.0, stderr=0.0, unit='', why='')
    """
    if above.size == 0:
        return Measured.nothing("nothing was recorded")
    if above.shape[1] < 2:
        return Measured.nothing("fewer than two replicas have stayed finite")
    top = above.mean(0)  # [P]
    bottom = below.mean(0)
    scale = bottom.mean()
    if not np.isfinite(top).all() or not scale > 0:
        return Measured.nothing("not finite")
    draws = _resampled_ratios(top, bottom)
    spread = float(draws.std(ddof=1))
    error = small_sample_correction(len(top)) * spread
    ratio = float(top.mean() / scale)
    return Measured(ratio, error, unit)


def ratio_draws(above: Array, below: Array) -> Array:
    """⟨above⟩/⟨below⟩ of two tables [S, P] in each resample of the P replicas, [R], as far from
    its value as the error of `ratio_of_means` says: where the true ratio stands among them is
    uniform.

    >>> ratio_draws(np.full((3, 4), 6.0), np.full((3, 4), 2.0)).shape
    (200,)
    """
    top = above.mean(0)
    bottom = below.mean(0)
    ratio = float(top.mean() / bottom.mean())
    away = _resampled_ratios(top, bottom) - ratio
    return ratio + small_sample_correction(len(top)) * away


def _resampled_ratios(top: Array, bottom: Array) -> Array:
    """The ratio of the means of two columns [P] in each resample, [R]."""
    rows = resampled_rows(len(top))
    tops = top[rows].mean(1)
    bottoms = bottom[rows].mean(1)
    ratios: Array = tops / bottoms
    return ratios


def small_sample_correction(count: int) -> float:
    """√(P/(P−1))·t/z: a bootstrap of P values has the biased variance, and Student's quantile
    replaces the normal one.

    >>> round(small_sample_correction(5), 3)
    1.584
    """
    freedom = count - 1
    student = stdtrit(freedom, 0.975)
    normal = ndtri(0.975)
    unbiased = np.sqrt(count / freedom)
    return float(unbiased * student / normal)
