"""Some of a data set: examples drawn evenly over the classes, because folders and packs come sorted
by class."""

import numpy as np

SEED = 0  # fixed: which examples are drawn is part of the data set, not of an experiment


def evenly(labels: np.ndarray, count: int) -> np.ndarray:
    """Which `count` of the examples with these labels [N] are drawn, their indices in order
    [min(count, N)].

    Classes take turns, each giving its examples in an order drawn by numpy's PCG64 with seed 0:
    their numbers differ by one at most, but for classes that have no more to give. A draw of fewer
    is part of every draw of more.
    """
    generator = np.random.Generator(np.random.PCG64(SEED))
    # by class, at random within a class
    order = np.lexsort((generator.random(len(labels)), labels))
    classes, starts, at = np.unique(labels[order], return_index=True, return_inverse=True)
    round_of = np.arange(len(labels)) - starts[at]
    turn = generator.permutation(len(classes))[at]
    drawn: np.ndarray = np.sort(order[np.lexsort((turn, round_of))[:count]])
    return drawn
