"""Errors that are known from a few samples: Student's quantile in place of the Gaussian's."""

from scipy.special import ndtr, stdtrit

from sgdtheory.statistics.measured import Measured

SIGMAS = 2.0  # standard errors by which numbers must differ to count as different


def student(freedom: int) -> float:
    """t/2 of ν degrees of freedom: by how much two standard errors must be longer for a mean to be
    beyond them no more often than a Gaussian is (4.6 %).

    Of two samples, ν = 1, an error is no more than one difference.

    >>> [round(student(freedom), 2) for freedom in (1, 5, 1000)]
    [6.98, 1.32, 1.0]
    """
    beyond = stdtrit(freedom, ndtr(SIGMAS))
    return float(beyond / SIGMAS)


def of_few(number: Measured, samples: int, why: str = "one sample has no error") -> Measured:
    """The mean of a few samples, ready to be judged by two of its errors: these are then Student's
    bound of ν = samples − 1. Nothing is said of a single sample, for this reason.

    >>> print(of_few(Measured.mean([1.0, 3.0]), 2))
    2.0 ± 7.0
    """
    if number.value is None:
        return number
    if samples < 2 or number.stderr is None:
        return Measured.nothing(why)
    return number._replace(stderr=number.stderr * student(samples - 1))
