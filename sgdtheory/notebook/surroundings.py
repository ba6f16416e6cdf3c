"""What belongs to the whole process, left as it was by calls from Python."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_alone() -> Iterator[None]:
    """After this block the numbers of threads, the filters of warnings and the environment are what
    they were: a command may set them, since the process is its own; a call is a guest. In it there
    are gradients, whatever the host has switched off."""
    environment = dict(os.environ)
    try:
        with warnings.catch_warnings(), _same_threads(), _with_gradients():
            yield
    finally:
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


@contextmanager
def _with_gradients() -> Iterator[None]:
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _same_threads() -> Iterator[None]:
    import scipy.linalg  # noqa: F401  (only a library that is loaded can be asked)
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    pools = threadpool_limits(None)  # sets nothing, and remembers
    try:
        yield
    finally:
        pools.restore_original_limits()
        torch.set_num_threads(threads)
