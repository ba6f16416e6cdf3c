"""How the work of an edge is divided: how many examples judge its paths, and where its parts
end."""

from itertools import accumulate
from typing import NamedTuple

from sgdtheory.optim.cost import estimate_scores, seconds_of_step
from sgdtheory.paths.baselines import BEND_BATCH, BENT, Baselines, bend_batch_size
from sgdtheory.paths.search import PathMethod, StepCost
from sgdtheory.protocol import Cloud, Landscape

REST = 20  # points that are scored for what a path is good for
# examples that paths are judged by, where there are so many: a loss is then known to 2 % of its
# spread
LEAST = 2_000


def examples_for(method: PathMethod, baselines: Baselines) -> int | None:
    """How many examples paths are judged by, so that judging costs what finding them does; None:
    all.

    A forward pass is a third of a gradient. A path that was found is scored on both sets at as many
    points as the search looked at, or fewer, and so are the points of four other ways.
    """
    if method.batch_size is None:
        return None
    gradients, points, _ = method.cost()
    of_bends = 2 * baselines.gradients * BEND_BATCH
    descended = gradients * method.batch_size + of_bends
    judged = 2 * points + 8 * baselines.dense
    return max(LEAST, 3 * descended // judged)


class EdgeProgress(NamedTuple):
    """Where the parts of an edge are over, as fractions of the whole, and what a step of the search
    costs at k pivots."""

    searched: float
    measured: float
    aligned: float
    bent: float
    step: StepCost

    def of_bend(self, k: int) -> tuple[float, float]:
        """Where the k-th curve with a bend begins and ends."""
        width = (self.bent - self.aligned) / len(BENT)
        begin = self.aligned + k * width
        end = self.aligned + (k + 1) * width
        return begin, end


def edge_progress(
    landscape: Landscape, method: PathMethod, baselines: Baselines, ends: Cloud
) -> EdgeProgress:
    """From a step of one point, a step of several and one look at ends [2, n], all measured: on a
    small network what a step costs is mostly not its images. Progress alone depends on it."""
    together = method.points_together
    point = ends[:1]
    look = estimate_scores(landscape, point, 1).seconds
    of_bend = seconds_of_step(landscape, bend_batch_size(landscape), point)
    more = 0.0  # of each further point
    if together > 1:
        points = point.repeat(together, 1)
        of_all = seconds_of_step(landscape, method.batch_size, points)
        more = max(0.0, of_all - of_bend) / (together - 1)

    def step(pivots: int) -> float:
        return of_bend + more * (pivots - 1)

    costs = (
        method.search_cost(step, look),
        method.points_measured * look,
        2 * baselines.scored * look,
        len(BENT) * (of_bend * baselines.gradients + baselines.scored * look),
        REST * look,
    )
    *parts, total = accumulate(costs)
    searched, measured, aligned, bent = (seconds / total for seconds in parts)
    return EdgeProgress(searched, measured, aligned, bent, step)
