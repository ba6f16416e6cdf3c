"""What joining two minima is going to cost, from short measurements."""

from typing import Any

from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.cost import STEPS, memory_at, score_seconds, step_seconds
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.runs.unit import Estimate


def estimate_edge(landscape: Landscape, method: Any, baselines: Any, ends: Cloud) -> Estimate:
    """An edge: gradients and points of the method's own guess, the bends, dense scores of all. A
    path that was found is scored at half as many points as its search looked at (AutoNEB), on
    both sets."""
    gradients, points, kept = method.cost()
    step = step_seconds(landscape, SGD(STEPS + 2, method.batch_size, 1e-6, Constant()), ends[:1])
    seconds = step * (gradients + 2 * baselines.gradients)
    seconds += score_seconds(landscape, ends[:1]) * (4 * baselines.dense + 1.5 * points)
    return Estimate(
        seconds, memory_at(ends), 6 * kept * ends[0].numel() * ends.element_size() + 65536
    )
