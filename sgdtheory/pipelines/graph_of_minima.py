"""The graph that finished minima and edges make: its tree, and its numbers in the results."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from sgdtheory.paths.claims import Findings
from sgdtheory.paths.disconnectivity import disconnectivity
from sgdtheory.paths.distinct_points import DistinctPoints
from sgdtheory.paths.graph import Edge, Pair, spanning_tree, tree_means, violations
from sgdtheory.protocol import Landscape
from sgdtheory.runs.folder import Json
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row, Rows


@dataclass
class GraphOfMinima:
    """The rows of minima and, by pair, those of the edges that are finished."""

    minima: Rows
    rows: dict[Pair, Row] = field(default_factory=dict)

    @property
    def nodes(self) -> dict[int, float]:
        return finite_losses(self.minima)

    @property
    def edges(self) -> dict[Pair, Edge]:
        return {pair: edge_of(row) for pair, row in self.rows.items()}

    @cached_property
    def tree(self) -> list[Pair]:
        """Its minimum spanning tree."""
        return spanning_tree(self.nodes, self.edges)

    def take(self, run: Run, edges: list[tuple[Unit, Pair]]) -> dict[Pair, Unit]:
        """Have the rows of those of the edges that are finished; gives their units by pair."""
        found: dict[Pair, Unit] = {}
        for unit, pair in edges:
            result = run.result(unit)
            if result is not None:
                self.rows[pair] = result["row"]
                found[pair] = unit
        return found

    @property
    def edge_rows(self) -> Rows:
        """The table of the edges."""
        return [{"pair": list(pair), **row} for pair, row in self.rows.items()]

    def claims(
        self, landscape: Landscape, points: DistinctPoints, asked: list[Pair] | None
    ) -> list[Claim]:
        """What is said of the graph of distinct points. Where pairs were asked for, they alone are
        judged, not a tree."""
        rows = self.edge_rows
        nodes = points.nodes
        count = len(nodes)
        if asked:
            ends = set(chain.from_iterable(asked))
            wanted = len(asked)
        else:
            ends = set(range(count))
            wanted = count - 1
            rows = [row for row in rows if tuple(row["pair"]) in self.tree]
        found = (landscape, nodes, self.minima, rows, ends, bool(asked), wanted, points.kept)
        return Findings(*found).claims()

    def numbers(self) -> Json:
        """What the results hold of the graph as a whole."""
        nodes = self.nodes
        edges = self.edges
        mean_minimum, mean_saddle = tree_means(nodes, edges)
        groups = disconnectivity(nodes, edges)
        return {
            "spanning_tree": [list(pair) for pair in self.tree],
            **mean_minimum.columns("mean_minimum_train_loss"),
            **mean_saddle.columns("mean_saddle_train_loss"),
            "disconnectivity": {
                "leaves": groups.leaves,
                "merges": [merge._asdict() for merge in groups.merges],
            },
            "ultrametric_violations": [
                violation._asdict() for violation in violations(nodes, edges)
            ],
        }


def edge_of(row: Row) -> Edge:
    """An edge as the graph needs it: the lowest way, and the path that was searched for."""
    losses = row["curves"]["path"]["train_loss"]
    lowest = row["lowest_way"]["barrier"]
    line = row["straight_barrier"] or {"value": 0.0}
    higher_end = max(losses[0], losses[-1])
    return Edge(
        lowest["value"],
        lowest["stderr"] or 0.0,
        line["value"],
        path=row["path"]["train_loss"] - higher_end,
    )


def finite_losses(minima: Rows) -> dict[int, float]:
    """The training loss of each minimum that has one."""
    losses: dict[int, float] = {}
    for i, row in enumerate(minima):
        loss = row["train_loss"]
        if loss is not None:
            losses[i] = loss
    return losses


def merged_claims(distinct: DistinctPoints) -> list[Claim]:
    """That points which were given twice are one."""
    again = distinct.repeated
    if not again:
        return []
    given = len(distinct.points)
    left = len(distinct.kept)
    pairs = ", ".join(f"{i} is {first} again" for i, first in again)
    kept = ", ".join(map(str, distinct.kept))
    numbers = f"0 to {left - 1} here are" if left > 1 else "0 here is"
    words = (
        f"of {given} minima {left} are different points (as given, {pairs}); each is taken once: "
        f"{numbers} {kept} as given"
    )
    counted = Measured(float(left))
    expected = f"{given}, each another point"
    return [Claim("distinct", words, counted, expected, False)]
