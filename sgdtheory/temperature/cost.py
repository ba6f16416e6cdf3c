"""What a cell of a sweep is going to cost, from short measurements."""

import time

from sgdtheory.geometry.gradient_noise import whole_pass
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.cost import memory_at, step_seconds
from sgdtheory.optim.sgd import SGD
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Estimate


def estimate_cell(landscape: Landscape, sgd: SGD, start: Cloud, looks: int) -> Estimate:
    """Seconds, memory and disk of a cloud's steps and of `looks` passes over the objective, one of
    each measured."""
    nothing = start.new_zeros((0, start.shape[1]))
    assert sgd.batch_size is not None
    clock = time.perf_counter()
    whole_pass(landscape, start, sgd.batch_size, stream(0, "estimate"), nothing)
    look = time.perf_counter() - clock
    disk = 3 * start.numel() * start.element_size() + 800 * looks * start.shape[0] + 65536
    return Estimate(
        step_seconds(landscape, sgd, start) * sgd.steps + look * looks, memory_at(start), disk
    )
