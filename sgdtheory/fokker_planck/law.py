"""The theory of SGD's noise: its temperature, and the time that a step takes."""

from torch import Tensor

from sgdtheory.optim.sgd import SGD


def noise_temperature(learning_rate: float, batch_size: int, momentum: float = 0.0) -> float:
    """T = η/(2b(1−μ)) (Chaudhari & Soatto 2018, 1710.11029, Eq. 3, with the factor of momentum).

    >>> noise_temperature(0.1, 10), noise_temperature(0.1, 10, momentum=0.5)
    (0.005, 0.01)
    """
    doubled = 2 * batch_size * (1 - momentum)
    return learning_rate / doubled


def finite_population_correction(count: int, batch_size: int) -> float:
    """(N−b)/(N−1), the factor of the noise's variance for mini-batches without replacement.

    >>> finite_population_correction(5, 1), finite_population_correction(5, 5)
    (1.0, 0.0)
    """
    return (count - batch_size) / max(1, count - 1)


def drag_of(h: Tensor, other: Tensor, learning_rate: float, momentum: float) -> Tensor:
    """d(h, h′) = (1−μ)(h+h′)/η + (μh−h′)(h−μh′)/(1−μ²) of curvatures [any shapes that broadcast]:
    at stationarity Σ_ij = C_ij/(b·d(h_i, h_j)), exact at any η and μ.

    >>> drag_of(1.0, 1.0, learning_rate=0.5, momentum=0.0)
    3.0
    """
    restoring = (1 - momentum) * (h + other) / learning_rate
    overshoot = (momentum * h - other) * (h - momentum * other)
    return restoring + overshoot / (1 - momentum**2)


def temperature(sgd: SGD) -> float:
    """The noise temperature of a descent; 0 without mini-batches."""
    if sgd.batch_size is None:
        return 0.0
    return noise_temperature(sgd.rate, sgd.batch_size, sgd.momentum)


def time_step(sgd: SGD) -> float:
    """η/(1−μ), the time of the Fokker–Planck equation that one step takes."""
    return sgd.rate / (1 - sgd.momentum)
