"""How often something happened, with an error that is not zero even at none or all."""

from math import sqrt

from sgdtheory.statistics.measured import Measured

CONFIDENCE = 0.95


def share(count: int, total: int) -> Measured:
    """count/total; its error is half of Wilson's interval of one standard error: √(count(total −
    count)/total + ¼)/(total + 1) (Wilson 1927), which is not 0 at 0 and at 1.

    >>> share(1, 2)
    Measured(value=0.5, stderr=0.28867513459481287, unit='', why='')
    """
    if total == 0:
        return Measured.nothing("nothing was counted")
    variance = count * (total - count) / total + 0.25
    error = sqrt(variance) / (total + 1)
    return Measured(count / total, error)


def at_most(count: int, total: int) -> float:
    """The highest probability that a count is compatible with, 95 %, one-sided (Clopper & Pearson
    1934).

    >>> round(at_most(0, 100), 4)
    0.0295
    """
    from scipy.stats import beta  # here, because importing it costs half a second

    if count == total:
        return 1.0
    bound = beta.ppf(CONFIDENCE, count + 1, total - count)
    return float(bound)


def interval(count: int, total: int) -> tuple[float, float]:
    """The probabilities that a count is compatible with, 95 %, two-sided and exact (Clopper &
    Pearson 1934, 10.1093/biomet/26.4.404).

    >>> low, high = interval(20, 20)
    >>> round(low, 4), high
    (0.8316, 1.0)
    """
    from scipy.stats import binomtest  # here, because importing it costs half a second

    found = binomtest(count, total).proportion_ci(CONFIDENCE, "exact")
    return float(found.low), float(found.high)
