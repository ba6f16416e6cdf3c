"""What joining two minima is going to cost, from short measurements."""

from sgdtheory.optim.cost import STEPS, memory_at, score_seconds, step_seconds
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.search import PathMethod
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.runs.unit import Estimate


def estimate_edge(
    landscape: Landscape, method: PathMethod, baselines: Baselines, ends: Cloud
) -> Estimate:
    """Predicted cost of one edge between ends [2, n]: path search, curve baselines, final profiles.

    A path that was found is scored on both sets, at half as many points as its search looked at
    (AutoNEB)."""
    gradients, points, kept = method.cost()
    point = ends[:1]
    sgd = SGD(STEPS + 2, method.batch_size, 1e-6, Constant())
    descended = gradients + 2 * baselines.gradients
    scored = 4 * baselines.scored + 1.5 * points
    seconds = step_seconds(landscape, sgd, point) * descended
    seconds += score_seconds(landscape, point) * scored
    point_bytes = point.numel() * point.element_size()
    disk = 6 * kept * point_bytes + 65536
    return Estimate(seconds, memory_at(ends), disk)
