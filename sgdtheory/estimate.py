"""What work is going to cost, from short measurements."""

import time
from dataclasses import replace
from resource import RUSAGE_SELF, getrusage
from typing import Any

import torch

from sgdtheory.landscape import Cloud, value_and_grad, values
from sgdtheory.noise import whole_pass
from sgdtheory.run import Estimate
from sgdtheory.sgd import SGD
from sgdtheory.streams import stream

STEPS = 5  # measured, after a warm-up of two


def estimate_stage(landscape: Any, sgd: SGD, start: Cloud) -> Estimate:
    """Seconds, memory and disk of a stage of SGD with the scoring of its end."""
    disk = 5 * start.numel() * start.element_size() + 65536
    return Estimate(_step(landscape, sgd, start) * sgd.steps + _scoring(landscape, start), _memory(start), disk)


def estimate_cell(landscape: Any, sgd: SGD, start: Cloud, looks: int) -> Estimate:
    """Seconds, memory and disk of a cloud's steps and of `looks` passes over the objective, one of each measured."""
    nothing = start.new_zeros((0, start.shape[1]))
    assert sgd.batch_size is not None
    clock = time.perf_counter()
    whole_pass(landscape, start, sgd.batch_size, stream(0, "estimate"), nothing)
    look = time.perf_counter() - clock
    disk = 3 * start.numel() * start.element_size() + 800 * looks * start.shape[0] + 65536
    return Estimate(_step(landscape, sgd, start) * sgd.steps + look * looks, _memory(start), disk)


def estimate_descent(landscape: Any, start: Cloud, gradients: int) -> Estimate:
    """Seconds, memory and disk of so many gradients of the whole objective at the points of a cloud, one measured."""
    value_and_grad(landscape, start)
    clock = time.perf_counter()
    value_and_grad(landscape, start)
    seconds = gradients * (time.perf_counter() - clock)
    return Estimate(seconds, _memory(start), 20 * start.numel() * start.element_size() + 65536)


def estimate_edge(landscape: Any, autoneb: Any, baselines: Any, ends: Cloud, minima: int) -> Estimate:
    """An edge by AutoNEB: gradients of about nine pivots in all cycles and attempts, the bends, dense scores of all."""
    if not hasattr(landscape, "score"):
        autoneb = autoneb.on_formula()
    sgd = SGD(STEPS + 2, autoneb.batch_size, 1e-6, autoneb.cycles[0].schedule)
    step = _step(landscape, sgd, ends[:1])
    pivots = [sum(c.insert for c in autoneb.cycles[: i + 1]) for i in range(len(autoneb.cycles))]
    gradients = len(autoneb.multiples) * sum(c.steps * p for c, p in zip(autoneb.cycles, pivots, strict=True))
    points = 4 * baselines.dense + (pivots[-1] + 1) * (autoneb.final_sub_points + 1)
    seconds = step * (gradients + 2 * baselines.gradients) + _scoring(landscape, ends[:1]) * points / 2
    return Estimate(seconds, _memory(ends), 6 * pivots[-1] * ends[0].numel() * ends.element_size() + 65536)


def _step(landscape: Any, sgd: SGD, start: Cloud) -> float:
    clock = 0.0
    for state in replace(sgd, steps=STEPS + 2).run(landscape, start, 0):
        if start.is_cuda:
            torch.cuda.synchronize(start.device)
        if state.step == 2:
            clock = time.perf_counter()
    return (time.perf_counter() - clock) / STEPS


def _scoring(landscape: Any, start: Cloud) -> float:
    """Statistics, scores of both splits, and one gradient of the whole objective: six passes over it."""
    parts = list(landscape.parts()) if hasattr(landscape, "parts") else [(None, 1.0)]
    values(landscape, start, parts[0][0])
    clock = time.perf_counter()
    values(landscape, start, parts[0][0])
    return 6 * len(parts) * (time.perf_counter() - clock)


def _memory(start: Cloud) -> float:
    if start.is_cuda:
        value: float = torch.cuda.max_memory_allocated(start.device)
        return value
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024
