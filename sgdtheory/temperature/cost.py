"""The predicted cost of a cell of a sweep, from short measurements."""

import time

from sgdtheory.geometry.gradient_noise import whole_pass
from sgdtheory.optim.cost import memory_at, step_seconds
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Estimate


def estimate_cell(
    landscape: Landscape,
    sgd: SGD,
    start: Cloud,
    records: int,
) -> Estimate:
    """Seconds, memory and disk of the steps of a cloud [P, n] and of `records` passes over the
    objective, one of each measured."""
    no_directions = start.new_zeros((0, start.shape[1]))
    assert sgd.batch_size is not None
    clock = time.perf_counter()
    whole_pass(landscape, start, sgd.batch_size, stream(0, "estimate"), no_directions)
    record = time.perf_counter() - clock
    states = 3 * start.numel() * start.element_size()
    disk = states + 800 * records * start.shape[0] + 65536
    seconds = step_seconds(landscape, sgd, start) * sgd.length + record * records
    return Estimate(seconds, memory_at(start), disk)
