"""The graph of minima seen from its centre: straight lines to all others, and renumberings around
its triangles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, combinations

import networkx as nx
from torch import Tensor

from sgdtheory.paths.baselines import Baselines, symmetry_of
from sgdtheory.paths.edge import join_by_lines
from sgdtheory.paths.graph import Node, Nodes, Pair, ordered
from sgdtheory.paths.renumbering import Defect, cycle_defect
from sgdtheory.paths.symmetry import Symmetry
from sgdtheory.pipelines.graph_of_minima import GraphOfMinima
from sgdtheory.protocol import Landscape
from sgdtheory.rng import key
from sgdtheory.roles.examples import is_network
from sgdtheory.runs.extra import extra
from sgdtheory.runs.folder import Json
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row, Rows

FIELDS = ("straight_barrier", "aligned_barrier")


@dataclass(frozen=True, eq=False)
class Lines:
    """How minima [M, n], of these digests, are joined by lines alone."""

    landscape: Landscape  # as it is scored
    baselines: Baselines
    minima: Tensor
    digests: list[str]
    what: Json  # what a line is known by besides its ends
    seed: int

    def unit(self, pair: Pair) -> Unit:
        """The straight line and the aligned one between two of them."""
        i, j = pair
        ends = [self.digests[i], self.digests[j]]
        config = {**self.what, "scored": self.baselines.scored, "seed": self.seed, "line": ends}
        return Unit(f"line-{i}-{j}", config, partial(self._join, pair))

    def _join(self, pair: Pair, folder: UnitFolder) -> None:
        ends = self.minima[list(pair)]
        digests = [self.digests[end] for end in pair]
        seed = key(self.seed, "edge", *digests)
        row, tensors = join_by_lines(self.landscape, self.baselines, ends, seed, folder)
        folder.finish({"row": row}, {"ends": ends, **tensors})


@dataclass(frozen=True, eq=False)
class Star:
    """A star over all minima, whose centre is that of their spanning tree: the node from which the
    others are the fewest edges away, and of several the lowest.

    2403.07968 conjectures that some minimum has low straight lines to all others, up to a
    renumbering of hidden units. Lines that are edges of the graph were measured as such; the others
    are units of work of their own. `scores`: rows of the minima; `asked`: the edges asked for so
    far. No star where it is not wanted, nor without a tree over three minima or more.
    """

    run: Run
    lines: Lines
    scores: Rows
    asked: list[tuple[Unit, Pair]]
    is_wanted: bool

    @cached_property
    def graph(self) -> GraphOfMinima:
        """Of the edges that are finished."""
        graph = GraphOfMinima(self.scores)
        graph.take(self.run, self.asked)
        return graph

    @property
    def edges(self) -> dict[Pair, Unit]:
        """The units of these."""
        return {pair: unit for unit, pair in self.asked if pair in self.graph.rows}

    @property
    def centre(self) -> Node | None:
        """None where there is no star."""
        count = len(self.lines.minima)
        is_waiting = len(self.edges) < len(self.asked)
        if is_waiting or not self.is_wanted or count < 3 or len(self.graph.tree) < count - 1:
            return None
        return centre_of(self.graph.nodes, self.graph.tree)

    def units(self) -> list[Unit]:
        """The lines to be measured besides the edges."""
        return [self.lines.unit(pair) for pair in self._pairs if pair not in self.edges]

    @property
    def _pairs(self) -> list[Pair]:
        centre = self.centre
        if centre is None:
            return []
        others = [node for node in self.graph.nodes if node != centre]
        return [ordered(centre, other) for other in others]

    def numbers(self) -> Json:
        """`star`: its centre and the barriers of its lines; `cycles`: what renumbering around each
        triangle of edges and of these lines moves (see `cycle_defect`)."""
        rows: Rows = []
        for pair in self._pairs:
            row = self._row(pair)
            if row is not None:
                barriers = {name: row.get(name) for name in FIELDS}
                rows.append({"pair": list(pair), **barriers})
        star = None
        if rows:
            star = {"centre": self.centre, "lines": rows, **_means(rows)}
        return {"star": star, **extra(["cycles"], self._cycles)}

    def _unit(self, pair: Pair) -> Unit:
        return self.edges.get(pair) or self.lines.unit(pair)

    def _row(self, pair: Pair) -> Row | None:
        result = self.run.result(self._unit(pair))
        return None if result is None else result["row"]

    def _cycles(self) -> Json:
        renumberings: dict[Pair, Tensor] = {}
        for pair in dict.fromkeys([*self.edges, *self._pairs]):
            unit = self._unit(pair)
            if self.run.result(unit) is None:
                continue
            tensors = self.run.folder(unit).clouds()
            if "renumbering" in tensors:
                renumberings[pair] = tensors["renumbering"]
        landscape = self.lines.landscape
        if not is_network(landscape):
            return {"cycles": []}
        return {"cycles": cycles_of(renumberings, partial(symmetry_of, landscape))}


def centre_of(nodes: Nodes, tree: list[Pair]) -> Node:
    """The node of a tree whose farthest other is the fewest edges away; of several the lowest."""
    graph: nx.Graph[Node] = nx.Graph(tree)
    return min(nx.center(graph), key=lambda node: (nodes[node], node))


def cycles_of(renumberings: Mapping[Pair, Tensor], symmetry: Callable[[], Symmetry]) -> Rows:
    """The defect of every triangle A < B < C of pairs whose renumberings [units] are known."""
    ends = chain.from_iterable(renumberings)
    known = sorted(set(ends))
    triangles = []
    for a, b, c in combinations(known, 3):
        if {(a, b), (b, c), (a, c)} <= renumberings.keys():
            triangles.append((a, b, c))
    if not triangles:
        return []
    found = symmetry()
    sizes = [group.size for group in found.groups]
    rows = []
    for a, b, c in triangles:
        sides = [renumberings[pair].split(sizes) for pair in ((a, b), (b, c), (a, c))]
        defect = cycle_defect(found, *sides)
        rows.append({"minima": [a, b, c], **_columns(defect)})
    return rows


def _columns(defect: Defect) -> Row:
    return {"moved": defect.moved, "units": defect.units, "defect": defect.share}


def _means(rows: Rows) -> Row:
    """Means over the lines with their standard errors."""
    means: Row = {}
    for name in FIELDS:
        values = [row[name]["value"] for row in rows if row[name] is not None]
        means |= Measured.mean(values).columns(name)
    return means
