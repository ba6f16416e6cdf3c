"""The process and the machine that work is done on: threads, memory, what they are called."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

from sgdtheory.runs.task import Settings


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cards() -> int:
    """The GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()


def devices_of(device: str, workers: int, count: int) -> list[str]:
    """The device of each worker, the parent first: with `cuda` one GPU after the other of `count`,
    in turn where there are more workers than GPUs; any other device is that of all."""
    if device != "cuda" or count < 2:
        return [device] * workers
    return [f"cuda:{worker % count}" for worker in range(workers)]


def prepare_process(settings: Settings, workers: int) -> None:
    """A thread count that depends on nothing but the configuration, since sums depend on it in
    their last bits.

    For numpy's and scipy's BLAS too, which else takes all cores in every worker: L-BFGS spent half
    its time spinning there.
    """
    import scipy.linalg  # noqa: F401  (only a library that is loaded can be told)
    import torch
    from threadpoolctl import threadpool_limits

    threads = max(1, (settings.threads or cores()) // workers)
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    keep_memory()


def keep_memory() -> None:
    """Have glibc keep what tensors free instead of handing it back and faulting it in again.

    mallopt(3): M_TRIM_THRESHOLD at its largest and M_MMAP_MAX at 0, for M_MMAP_THRESHOLD ends at 32
    MiB, and a convolution's output on a part of CIFAR is more. It saves 10 % of a ResNet's step; of
    ResNet-20 on 682 images 40 % of a gradient, for a tenth more memory at the peak, and 35 % of a
    Hessian-vector product, for half as much again. Only glibc has it.
    """
    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(-1, 2**31 - 1)
        libc.mallopt(-4, 0)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def git_commit() -> str | None:
    """The commit of a checkout that the package is run from; None for an installed one."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        words = ["git", "describe", "--always", "--dirty"]
        found = subprocess.run(
            words, cwd=here, capture_output=True, encoding="utf-8", errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
