"""What the units of `connect` are going to cost, from short measurements."""

from collections.abc import Iterable
from typing import NamedTuple

from sgdtheory.optim.cost import estimate_scores
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.cost import estimate_edge
from sgdtheory.paths.search import PathMethod
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.runs.unit import Estimate


class ConnectCosts(NamedTuple):
    """Costs of joining `minima` [M, n] on the landscape that paths are scored on."""

    landscape: Landscape
    method: PathMethod
    baselines: Baselines
    minima: Cloud
    plane: int  # points along each side

    def of_names(self, names: Iterable[str]) -> list[tuple[str, Estimate]]:
        """Units by their names with their costs; what is neither a minimum nor the plane costs what
        an edge does."""
        edge = self.of_edge()
        costs = {"minimum": self.of_minimum(), "plane": self.of_plane()}
        priced = []
        for name in names:
            kind, *_ = name.split("-")
            priced.append((name, costs.get(kind, edge)))
        return priced

    def of_edge(self) -> Estimate:
        """From the cost of a gradient of one pivot, and of scoring one point."""
        ends = self.minima[:2]
        return estimate_edge(self.landscape, self.method, self.baselines, ends)

    def of_plane(self) -> Estimate:
        """From the cost of scoring one point."""
        points = self.plane**2
        return estimate_scores(self.landscape, self.minima[:1], points)

    def of_minimum(self) -> Estimate:
        """From the cost of scoring one point, on two sets."""
        return estimate_scores(self.landscape, self.minima[:1], 2)
