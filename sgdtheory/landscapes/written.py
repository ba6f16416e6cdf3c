"""Blocks in which a module is made and evaluated as its author wrote it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def drawing_from(source: torch.Generator) -> Iterator[None]:
    """In this block torch's, numpy's and Python's own generators go on from where `source` stands.

    Afterwards they are what they were, and `source` has moved on.
    """
    ours = random.getstate()
    theirs = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(source.get_state())
        seed = int(source.initial_seed()) % 2**32
        random.setstate(random.Random(seed).getstate())
        np.random.set_state(np.random.RandomState(seed).get_state())
        try:
            yield
        finally:
            source.set_state(torch.default_generator.get_state())
            random.setstate(ours)
            np.random.set_state(theirs)


@contextmanager
def as_written(dtype: torch.dtype) -> Iterator[None]:
    """In this block tensors that a module makes have the dtype it computes in, and attention has
    no second implementation for passes without a gradient: a score is what was descended."""
    default = torch.get_default_dtype()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.set_default_dtype(dtype)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.set_default_dtype(default)
        torch.backends.mha.set_fastpath_enabled(fast)
