"""What theory says of SGD's noise: its temperature, and how much time a step is."""

from sgdtheory.optim.sgd import SGD


def temperature(sgd: SGD) -> float:
    """T = η/(2b(1−μ)) (Chaudhari & Soatto 2018, 1710.11029, Eq. 3, with the factor of momentum);
    none without mini-batches."""
    assert not isinstance(sgd.learning_rate, str)
    return (
        0.0
        if sgd.batch_size is None
        else sgd.learning_rate / (2 * sgd.batch_size * (1 - sgd.momentum))
    )


def time_step(sgd: SGD) -> float:
    """η/(1−μ), the time of the Fokker–Planck equation that one step is."""
    assert not isinstance(sgd.learning_rate, str)
    return sgd.learning_rate / (1 - sgd.momentum)
