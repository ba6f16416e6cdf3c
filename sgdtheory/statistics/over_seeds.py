"""What repeated runs say together: mean and interquartile mean over seeds, with an interval."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sgdtheory.statistics.bootstrap import Array, resampled_rows, small_sample_correction
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row

LEAST = 3  # seeds of which an interval is told: two leave their resamples three values
DRAWS = 2000  # resamples; the ends of a 95 % interval lie between the 50th and the 1950th
CONFIDENCE = 95


class OverSeeds(NamedTuple):
    """Of one number, a value a seed."""

    mean: Measured  # with s/√n, the standard error over seeds
    interquartile: Measured  # the mean of the middle half, error by bootstrap over seeds
    interval: tuple[float, float] | None  # 95 %, of the interquartile mean; None of one or two

    def columns(self) -> Row:
        """As a row of a table: `mean`, `interquartile_mean`, `interval_low`, `interval_high`."""
        low, high = self.interval or (None, None)
        return {
            **self.mean.columns("mean"),
            **self.interquartile.columns("interquartile_mean"),
            "interval_low": low,
            "interval_high": high,
        }


def interquartile_mean(values: Array) -> Array:
    """Mean of the middle half of the last axis: n//4 values are left out at each end (Agarwal et
    al. 2021, arXiv 2108.13264).

    >>> float(interquartile_mean(np.array([0.0, 1.0, 2.0, 100.0])))
    1.5
    """
    count = values.shape[-1]
    left_out = count // 4
    ordered = np.sort(values, axis=-1)
    middle = ordered[..., left_out : count - left_out]
    return np.asarray(middle.mean(-1))


def shares_over_seeds(samples: ArrayLike) -> OverSeeds:
    """The same of shares [N]; within 0 and 1 as they are, the interval is stretched in arcsin √p,
    whose error does not depend on p (Anscombe 1948, 10.1093/biomet/35.3-4.246), and cut at the ends
    of that.

    >>> shares_over_seeds([0.0, 0.0, 0.004]).interval[0]
    0.0
    """
    return over_seeds(samples, is_bounded=True)


def over_seeds(samples: ArrayLike, is_bounded: bool = False) -> OverSeeds:
    """Mean, interquartile mean and its bootstrap interval of samples [N], a run's each.

    The interval is that of the percentiles of `DRAWS` resamples, stretched about the value by
    `small_sample_correction(N)`, without which it would cover 91 % at five seeds.

    >>> over_seeds([1.0, 2.0, 3.0, 4.0]).mean
    Measured(value=2.5, stderr=0.6454972243679028, unit='', why='')
    """
    values = np.asarray(samples, dtype=np.float64)
    mean = Measured.mean(values)
    count = len(values)
    if count == 0 or mean.value is None:
        return OverSeeds(mean, mean, None)
    middle = float(interquartile_mean(values))
    if count < LEAST:
        return OverSeeds(mean, Measured(middle), None)
    rows = resampled_rows(count, DRAWS)
    draws = interquartile_mean(values[rows])
    stretch = small_sample_correction(count)
    tails = (100 - CONFIDENCE) / 2
    ends = np.percentile(draws, [tails, 100 - tails])
    stretched = _stretched_shares if is_bounded else _stretched
    low, high = stretched(ends, middle, stretch).tolist()
    error = stretch * float(draws.std(ddof=1))
    return OverSeeds(mean, Measured(middle, error), (low, high))


def _stretched(ends: Array, middle: float, factor: float) -> Array:
    """The ends [2] of an interval, so much farther from its middle."""
    farther: Array = middle + factor * (ends - middle)
    return farther


def _stretched_shares(ends: Array, middle: float, factor: float) -> Array:
    """The same in φ = arcsin √p, within 0 and π/2."""
    angles = np.arcsin(np.sqrt(ends))
    centre = float(np.arcsin(np.sqrt(middle)))
    farther = _stretched(angles, centre, factor).clip(0, np.pi / 2)
    shares: Array = np.sin(farther) ** 2
    return shares
