"""What work is going to cost, from short measurements."""

import sys
import time
from dataclasses import replace
from resource import RUSAGE_SELF, getrusage

import torch

from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud, Landscape, parts_of, value_and_grad, values
from sgdtheory.roles.examples import is_scored
from sgdtheory.runs.unit import Estimate

STEPS = 5  # measured, after a warm-up of two


def estimate_stage(landscape: Landscape, sgd: SGD, start: Cloud) -> Estimate:
    """Seconds, memory and disk of a stage of SGD from a cloud [P, n], and of the scoring of its
    end."""
    disk = 5 * start.numel() * start.element_size() + 65536
    return Estimate(
        step_seconds(landscape, sgd, start) * sgd.length + _scoring(landscape, start),
        memory_at(start),
        disk,
    )


def estimate_descent(landscape: Landscape, start: Cloud, gradients: int) -> Estimate:
    """Seconds, memory and disk of so many gradients of the whole objective at the points of a
    cloud [P, n], one measured."""
    value_and_grad(landscape, start)
    clock = time.perf_counter()
    value_and_grad(landscape, start)
    seconds = gradients * (time.perf_counter() - clock)
    return Estimate(seconds, memory_at(start), 20 * start.numel() * start.element_size() + 65536)


def estimate_score(landscape: Landscape, start: Cloud, gradients: float = 0.0) -> Estimate:
    """A point [1, n] scored on both splits, or so many gradients of the whole objective; from a
    gradient on one part of it."""
    part, weight = next(parts_of(landscape))
    seconds = 0.0
    for _ in range(2):  # the first one is slow
        clock = time.perf_counter()
        value_and_grad(landscape, start, part)
        seconds = (time.perf_counter() - clock) / weight
    return Estimate(
        seconds * (gradients or 4),
        memory_at(start),
        3 * start.numel() * start.element_size() + 65536,
    )


def estimate_scores(landscape: Landscape, point: Cloud, count: int) -> Estimate:
    """So many points scored on both sets, one [1, n] measured."""
    return Estimate(
        count * score_seconds(landscape, point),
        memory_at(point),
        4 * point.numel() * point.element_size() + 65536,
    )


def seconds_of_step(landscape: Landscape, batch_size: int | None, cloud: Cloud) -> float:
    """Seconds of a step of SGD of all points of a cloud [P, n], the mean of five."""
    return step_seconds(landscape, SGD(STEPS + 2, batch_size, 1e-6, Constant()), cloud)


def step_seconds(landscape: Landscape, sgd: SGD, start: Cloud) -> float:
    """Seconds of a step of this loop from a cloud [P, n], the mean of five."""
    clock = 0.0
    for state in replace(sgd, steps=STEPS + 2).run(landscape, start, 0):
        if start.is_cuda:
            torch.cuda.synchronize(start.device)
        if state.step == 2:
            clock = time.perf_counter()
    return (time.perf_counter() - clock) / STEPS


def score_seconds(landscape: Landscape, start: Cloud) -> float:
    """Seconds of a score of one point [1, n] on both sets; of a formula, of its energy.

    The second one is measured, at another point: scores of the first may be kept.
    """
    for point in (start, 1.001 * start):
        clock = time.perf_counter()
        if is_scored(landscape):
            landscape.score(point, "train")
            landscape.score(point, "test")
        else:
            values(landscape, point)
    return time.perf_counter() - clock


def _scoring(landscape: Landscape, start: Cloud) -> float:
    """Scores of both splits, statistics on the way, and one gradient of the whole objective: at
    most five passes over it."""
    parts = list(parts_of(landscape))
    values(landscape, start, parts[0][0])
    clock = time.perf_counter()
    values(landscape, start, parts[0][0])
    return 5 * len(parts) * (time.perf_counter() - clock)


def memory_at(start: Cloud) -> float:
    """Bytes at the peak so far, where a cloud [P, n] is."""
    if start.is_cuda:
        value: float = torch.cuda.max_memory_allocated(start.device)
        return value
    # bytes on macOS, kB elsewhere
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
