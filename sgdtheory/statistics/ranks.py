"""Samples by their ranks: whether some are above others, and what goes with what."""

from collections.abc import Sequence
from math import nan

from sgdtheory.statistics.rows import Row
from sgdtheory.statistics.tables import column_of, grouped

UNLIKELY = 0.05  # a probability at which what is tested by ranks counts as seen


def ranked_above(first: Sequence[float], second: Sequence[float]) -> bool | None:
    """Whether samples are above others by their ranks: the one-sided test of Mann & Whitney (1947,
    10.1214/aoms/1177730491) at 5 %, either way, exact without ties; None where neither can be
    said.

    >>> ranked_above([0.3, 0.9, 40.0], [0.0, 0.1, 0.2]), ranked_above([0.0, 0.1], [0.0, 0.1])
    (True, None)
    """
    if not len(first) or not len(second):
        return None
    if _rank_test(first, second) <= UNLIKELY:
        return True
    return False if _rank_test(second, first) <= UNLIKELY else None


def _rank_test(first: Sequence[float], second: Sequence[float]) -> float:
    """The probability of ranks as high as the first have, were all alike; 1 where all are one
    number."""
    from scipy.stats import mannwhitneyu  # here, because importing it costs half a second

    different = len({*first, *second})
    if different == 1:
        return 1.0
    tied = different < len(first) + len(second)
    method = "asymptotic" if tied else "exact"
    found = mannwhitneyu(first, second, alternative="greater", method=method)
    return float(found.pvalue)


def rank_correlations(
    rows: Sequence[Row],
    x: str,
    y: str,
    group: str,
) -> list[float]:
    """Spearman's rank correlation of two columns in each group of three rows or more; NaN where one
    of them is the same in all rows.

    >>> rows = [{"decay": 0.1, "loss": loss, "index": loss**3} for loss in (0.1, 0.2, 0.4)]
    >>> rank_correlations(rows, "loss", "index", "decay")
    [1.0]
    """
    from scipy.stats import spearmanr  # here, because importing it costs half a second

    correlations = []
    for members in grouped(rows, group).values():
        if len(members) > 2:
            xs = column_of(members, x)
            ys = column_of(members, y)
            correlation = nan
            if len(set(xs)) > 1 and len(set(ys)) > 1:
                correlation = float(spearmanr(xs, ys).statistic)
            correlations.append(correlation)
    return correlations
