"""Some of a data set: examples drawn evenly over the classes, because folders and packs come sorted
by class, or in proportion to them."""

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
    order, round_of, at, turns = _ordered(labels)
    by_round = np.lexsort((turns[at], round_of))
    drawn: np.ndarray = np.sort(order[by_round[:count]])
    return drawn


def in_proportion(labels: np.ndarray, count: int) -> np.ndarray:
    """Which `count` of the examples with these labels [N] are drawn, as `evenly` orders them, n_k
    of the N_k of a class, their indices in order.

    n_k is count·N_k/N by largest remainders; each class leaves one undrawn and gives one where it
    has two or more, if `count` is enough for that. Fewer come where classes have no more to give.
    """
    order, round_of, at, turns = _ordered(labels)
    sizes = np.bincount(at)
    given = _apportioned(sizes, count, turns)
    drawn: np.ndarray = np.sort(order[round_of < given[at]])
    return drawn


def _ordered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Examples by class, at random within a class [N], the place of each in its class [N] and
    which class that is [N], and the turns of the classes [K]."""
    generator = draws_of(SEED)
    keys = generator.random(len(labels))
    order = np.lexsort((keys, labels))
    classes, starts, at = np.unique(labels[order], return_index=True, return_inverse=True)
    round_of = np.arange(len(labels)) - starts[at]
    return order, round_of, at, generator.permutation(len(classes))


def _apportioned(sizes: np.ndarray, count: int, turns: np.ndarray) -> np.ndarray:
    """How many of `count` [K] each class of these sizes [K] gives; equal remainders take turns."""
    most = sizes - 1
    least = np.minimum(most, 1)
    if least.sum() > count:
        least = np.zeros_like(sizes)
    share = count * sizes  # in units of 1/N: whole numbers, so that equal remainders are equal
    total = int(sizes.sum())
    given: np.ndarray = np.clip(share // total, least, most)
    while left := min(count, int(most.sum())) - int(given.sum()):
        order = np.lexsort((turns, given * total - share))  # who is owed most comes first
        if left > 0:
            ready = order[(given < most)[order]]
            given[ready[:left]] += 1
        else:
            ready = order[(given > least)[order]]
            given[ready[left:]] -= 1
    return given
