"""Some of a data set: examples drawn evenly over the classes, because folders and packs come sorted
by class."""

import numpy as np

SEED = 0  # fixed: which examples are drawn is part of the data set, not of an experiment


def draws_of(seed: int) -> np.random.Generator:
    """Random numbers of numpy's PCG64: the same from one seed, whatever else is drawn."""
    return np.random.Generator(np.random.PCG64(seed))


def evenly(labels: np.ndarray, count: int) -> np.ndarray:
    """Which `count` of the examples with these labels [N] are drawn, their indices in order
    [min(count, N)].

    Classes take turns, each giving its examples in an order drawn by numpy's PCG64 with seed 0:
    their numbers differ by one at most, but for classes that have no more to give. A draw of fewer
    is part of every draw of more.
    """
    generator = draws_of(SEED)
    keys = generator.random(len(labels))
    order = np.lexsort((keys, labels))  # by class, at random within a class
    ordered = labels[order]
    classes, starts, at = np.unique(ordered, return_index=True, return_inverse=True)
    round_of = np.arange(len(labels)) - starts[at]
    turns = generator.permutation(len(classes))
    by_round = np.lexsort((turns[at], round_of))
    drawn: np.ndarray = np.sort(order[by_round[:count]])
    return drawn
