"""Minima as nodes, paths as edges: the minimum spanning tree, and which paths are not the lowest.

Everything here is a pure function of what is finished, so that a pipeline that was interrupted
plans what it would have planned. Pairs are (i, j) with i < j; the order of `edges` is the order in
which they were asked for, and decides ties.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from math import hypot, isfinite
from typing import Literal, NamedTuple, TypeAlias

import networkx as nx

from sgdtheory.statistics.measured import Measured

Node: TypeAlias = int
Pair: TypeAlias = tuple[Node, Node]
Pairs: TypeAlias = Literal["tree", "all"] | Sequence[Sequence[int]]

# a saddle is lower than another, a barrier above zero, when it is so by more standard errors than
# this
SIGMAS = 2.0
WORTH = 0.005  # a barrier below this fraction of the straight line's is not worth lowering


class Edge(NamedTuple):
    """The lowest way found between two minima, whichever it is: a path, a curve with bends, a
    straight line."""

    barrier: float  # its highest loss − the higher minimum's: an upper bound of the true one
    stderr: float = 0.0
    straight: float = 0.0  # the barrier of the straight line
    finished: bool = True
    path: float | None = None  # that of the path that was searched for, where another way is lower

    @property
    def of_path(self) -> float:
        if self.path is None:
            return self.barrier
        return self.path

    @property
    def found(self) -> bool:
        return self.finished and isfinite(self.barrier)

    @property
    def worth_replacing(self) -> bool:
        return self.barrier > max(SIGMAS * self.stderr, WORTH * self.straight)


Nodes: TypeAlias = Mapping[Node, float]  # the loss of each minimum
Edges: TypeAlias = Mapping[Pair, Edge]


def saddle(nodes: Nodes, edges: Edges, pair: Pair) -> float:
    """The highest loss on the lowest way."""
    return higher_end(nodes, pair) + edges[pair].barrier


def higher_end(nodes: Nodes, pair: Pair) -> float:
    """The loss of the higher of two minima, which no path between them is below."""
    return max(nodes[end] for end in pair)


def spanning_tree(nodes: Nodes, edges: Edges) -> list[Pair]:
    """The minimum spanning tree by saddle height, or forest, highest edge first.

    An edge that closes a circle takes the place of the circle's highest only where it is really
    lower: by more than two combined standard errors. Ties keep the incumbent, the one asked for
    earlier, so that noise does not redraw the tree.
    """
    tree: nx.Graph[Node] = nx.Graph()
    tree.add_nodes_from(nodes)
    for pair, edge in edges.items():
        if not edge.found:
            continue
        circle = _route(tree, pair)
        if circle:
            highest = max(circle, key=lambda other: (saddle(nodes, edges, other), other))
            gain = saddle(nodes, edges, highest) - saddle(nodes, edges, pair)
            error = hypot(edges[highest].stderr, edge.stderr)
            if gain <= SIGMAS * error:
                continue
            tree.remove_edge(*highest)
        tree.add_edge(*pair)
    kept = (ordered(*ends) for ends in tree.edges)
    return sorted(kept, key=lambda pair: (-saddle(nodes, edges, pair), pair))


def bound(nodes: Nodes, edges: Edges, pair: Pair) -> float | None:
    """The lowest saddle between two minima that the paths found imply, directly or by way of
    others.

    saddle(A, C) ≤ max(saddle(A, B), saddle(B, C)), the ultrametric inequality; None where nothing
    joins the two.
    """
    graph: nx.Graph[Node] = nx.Graph()
    graph.add_nodes_from(nodes)
    for ends, edge in edges.items():
        if edge.found:
            graph.add_edge(*ends, weight=saddle(nodes, edges, ends))
    route = _route(nx.minimum_spanning_tree(graph), pair)
    if route:
        return max(saddle(nodes, edges, other) for other in route)
    return None


class Violation(NamedTuple):
    """A path that is higher, by more than two combined standard errors, than the way round by other
    minima."""

    pair: Pair
    saddle: float
    bound: float


def violations(nodes: Nodes, edges: Edges) -> list[Violation]:
    """Where the ultrametric inequality does not hold: the path found for the pair is not its
    lowest.

    Nothing is wrong with the landscape then: the bound is the better value for the pair, and its
    own path got stuck.
    """
    found = []
    for pair, edge in edges.items():
        if not edge.found:
            continue
        others = {other: x for other, x in edges.items() if other != pair}
        limit = bound(nodes, others, pair)
        if limit is None:
            continue
        error = 0.0
        for other, x in others.items():
            if x.found and saddle(nodes, edges, other) == limit:
                error = max(error, x.stderr)
        height = saddle(nodes, edges, pair)
        if height - limit > SIGMAS * hypot(edge.stderr, error):
            found.append(Violation(pair, height, limit))
    return found


def tree_means(nodes: Nodes, edges: Edges) -> tuple[Measured, Measured]:
    """Mean loss of the minima that the tree joins, each once, and of its saddles, as Draxler et al.
    2018 tabulate them: the tops of the paths that were searched for along its edges, also where
    another way between the two is lower.

    The errors are those of a mean over minima and over edges; each saddle's own error is smaller
    and not in them.
    """
    tree = spanning_tree(nodes, edges)
    ends = chain.from_iterable(tree)
    minima = sorted(set(ends))
    bottoms = [nodes[node] for node in minima]
    tops = [higher_end(nodes, pair) + edges[pair].of_path for pair in tree]
    return Measured.mean(bottoms), Measured.mean(tops)


def ordered(one: Node, two: Node) -> Pair:
    """The pair of two minima, the lower number first."""
    if one < two:
        return (one, two)
    return (two, one)


def _route(tree: "nx.Graph[Node]", pair: Pair) -> list[Pair]:
    """The edges of a tree on the way between two nodes; none if there is no way."""
    if not nx.has_path(tree, *pair):
        return []
    way = nx.shortest_path(tree, *pair)
    return [ordered(*ends) for ends in pairwise(way)]
