"""The theory of SGD's noise: its temperature, and the time that a step takes."""

from sgdtheory.optim.sgd import SGD


def noise_temperature(learning_rate: float, batch_size: int, momentum: float = 0.0) -> float:
    """T = η/(2b(1−μ)) (Chaudhari & Soatto 2018, 1710.11029, Eq. 3, with the factor of momentum).

    >>> noise_temperature(0.1, 10), noise_temperature(0.1, 10, momentum=0.5)
    (0.005, 0.01)
    """
    return learning_rate / (2 * batch_size * (1 - momentum))


def finite_population_correction(count: int, batch_size: int) -> float:
    """(N−b)/(N−1), the factor of the noise's variance for mini-batches without replacement.

    >>> finite_population_correction(5, 1), finite_population_correction(5, 5)
    (1.0, 0.0)
    """
    return (count - batch_size) / max(1, count - 1)


def temperature(sgd: SGD) -> float:
    """The noise temperature of a descent; 0 without mini-batches."""
    if sgd.batch_size is None:
        return 0.0
    return noise_temperature(sgd.rate, sgd.batch_size, sgd.momentum)


def time_step(sgd: SGD) -> float:
    """η/(1−μ), the time of the Fokker–Planck equation that one step takes."""
    return sgd.rate / (1 - sgd.momentum)
