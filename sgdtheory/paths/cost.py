"""What joining two minima is going to cost, from short measurements."""

from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.cost import STEPS, memory_at, score_seconds, step_seconds
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.search import PathMethod
from sgdtheory.runs.unit import Estimate


def estimate_edge(
    landscape: Landscape, method: PathMethod, baselines: Baselines, ends: Cloud
) -> Estimate:
    """Predicted cost of one edge between ends [2, n]: path search, curve baselines, final profiles.

    A path that was found is scored on both sets, at half as many points as its search looked at
    (AutoNEB)."""
    gradients, points, kept = method.cost()
    step = step_seconds(landscape, SGD(STEPS + 2, method.batch_size, 1e-6, Constant()), ends[:1])
    seconds = step * (gradients + 2 * baselines.gradients)
    seconds += score_seconds(landscape, ends[:1]) * (4 * baselines.dense + 1.5 * points)
    return Estimate(
        seconds, memory_at(ends), 6 * kept * ends[0].numel() * ends.element_size() + 65536
    )
