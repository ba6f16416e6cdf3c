"""Minima as nodes, paths as edges: which pair to join next, the minimum spanning tree, the
disconnectivity tree.

Everything here is a pure function of what is finished, so that a pipeline that was interrupted
plans what it would have planned. Pairs are (i, j) with i < j; the order of `edges` is the order in
which they were asked for, and decides ties.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from math import hypot, isfinite
from typing import Literal, NamedTuple, TypeAlias

import networkx as nx

from sgdtheory.errors import UserError
from sgdtheory.statistics.measured import Measured

Node: TypeAlias = int
Pair: TypeAlias = tuple[Node, Node]
Pairs: TypeAlias = Literal["tree", "all"] | Sequence[Sequence[int]]

# a saddle is lower than another, a barrier above zero, when it is so by more standard errors than
# this
SIGMAS = 2.0
WORTH = 0.005  # a barrier below this fraction of the straight line's is not worth lowering


class Edge(NamedTuple):
    """The lowest way found between two minima, whichever it is: a path, a curve with one bend, a
    straight line."""

    barrier: float  # its highest loss − the higher minimum's: an upper bound of the true one
    stderr: float = 0.0
    straight: float = 0.0  # the barrier of the straight line
    finished: bool = True
    path: float | None = None  # that of the path that was searched for, where another way is lower

    @property
    def of_path(self) -> float:
        return self.barrier if self.path is None else self.path

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
    return max(nodes[pair[0]], nodes[pair[1]]) + edges[pair].barrier


# the tree


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
            if gain <= SIGMAS * hypot(edges[highest].stderr, edge.stderr):
                continue
            tree.remove_edge(*highest)
        tree.add_edge(*pair)
    kept = (_pair(*ends) for ends in tree.edges)
    return sorted(kept, key=lambda pair: (-saddle(nodes, edges, pair), pair))


def bound(nodes: Nodes, edges: Edges, pair: Pair) -> float | None:
    """The lowest saddle between two minima that the paths found imply, directly or by way of
    others.

    saddle(A, C) ≤ max(saddle(A, B), saddle(B, C)), the ultrametric inequality; None where nothing
    joins the two.
    """
    graph: nx.Graph[Node] = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_weighted_edges_from(
        (*ends, saddle(nodes, edges, ends)) for ends, edge in edges.items() if edge.found
    )
    route = _route(nx.minimum_spanning_tree(graph), pair)
    return max(saddle(nodes, edges, other) for other in route) if route else None


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
        error = max(
            (
                x.stderr
                for other, x in others.items()
                if x.found and saddle(nodes, edges, other) == limit
            ),
            default=0.0,
        )
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
    minima = sorted({node for pair in tree for node in pair})
    return (
        Measured.mean([nodes[node] for node in minima]),
        Measured.mean([max(nodes[pair[0]], nodes[pair[1]]) + edges[pair].of_path for pair in tree]),
    )


# which pair next


def next_pairs(
    nodes: Nodes, edges: Edges, tried: Collection[Pair] = (), pairs: Pairs = "tree"
) -> list[Pair]:
    """The pairs to work on now, none of which depends on another's outcome; empty when there is
    nothing left to do.

    `tree`, the rule of Draxler et al. 2018 (1803.00885): first what was begun and is not finished.
    Else the best minimum and each group of minima that it is not connected with. Else the edges of
    the spanning tree, from the highest on: cut it, and ask for the best untried pair across the
    cut; an edge whose barrier is no more than its own error or 0.5 % of the straight line's stays.
    It ends when every cut is exhausted: of pairs not tried, or of those that could be lower,
    because a saddle is below the way round by other minima (`bound`) only where both its ends are.
    `all`: every pair; or the pairs themselves, [[0, 1], …]. `tried` are pairs not to be asked for
    again, finished or not: a pair that failed for good is named there.
    """
    spent = {_pair(*pair) for pair in tried}
    asked = _asked(nodes, pairs)
    begun = [
        pair
        for pair, edge in edges.items()
        if not edge.finished and pair not in spent and pair in asked
    ]
    spent |= {pair for pair, edge in edges.items() if edge.finished}
    if pairs != "tree":
        return begun + [pair for pair in asked if pair not in spent and pair not in edges]
    return begun or _unconnected(nodes, edges, spent) or _replacements(nodes, edges, spent)


def next_pair(
    nodes: Nodes, edges: Edges, tried: Collection[Pair] = (), pairs: Pairs = "tree"
) -> Pair | None:
    """The one pair to work on now; None when there is nothing left to do."""
    return next(iter(next_pairs(nodes, edges, tried, pairs)), None)


def _asked(nodes: Nodes, pairs: Pairs) -> list[Pair]:
    if isinstance(pairs, str):
        return sorted(combinations(sorted(nodes), 2))
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(nodes):
            raise UserError(
                f"pairs: {list(pair)} is no pair of two different minima; they are numbered "
                f"{sorted(nodes)}"
            )
    return list(dict.fromkeys(_pair(*pair) for pair in pairs))


def _unconnected(nodes: Nodes, edges: Edges, spent: set[Pair]) -> list[Pair]:
    """For each group of joined minima the best untried pair with the best minimum's group, and so
    on if there is none."""
    graph: nx.Graph[Node] = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(pair for pair, edge in edges.items() if edge.found)
    groups = sorted(
        nx.connected_components(graph), key=lambda group: min((nodes[node], node) for node in group)
    )
    for k, group in enumerate(groups):
        wave = [_best(nodes, _across(group, other), spent) for other in groups[k + 1 :]]
        if any(wave):
            return [pair for pair in wave if pair]
    return []


def _replacements(nodes: Nodes, edges: Edges, spent: set[Pair]) -> list[Pair]:
    """The best untried pair across the cut of each tree edge that is worth it, unless one already
    asked for crosses it."""
    tree = nx.Graph(spanning_tree(nodes, edges))
    wave: list[Pair] = []
    for pair in spanning_tree(nodes, edges):
        if not edges[pair].worth_replacing:
            continue
        cut = tree.copy()
        cut.remove_edge(*pair)
        across = _across(*(nx.node_connected_component(cut, end) for end in pair))
        height = saddle(nodes, edges, pair)
        # no path is below its ends
        lower = [other for other in across if max(nodes[other[0]], nodes[other[1]]) < height]
        best = _best(nodes, lower, spent)
        if best and not any(other in across for other in wave):
            wave.append(best)
    return wave


def _across(group: Iterable[Node], other: Iterable[Node]) -> set[Pair]:
    others = list(other)
    return {_pair(one, two) for one in group for two in others}


def _best(nodes: Nodes, candidates: Iterable[Pair], spent: set[Pair]) -> Pair | None:
    """The untried pair whose higher minimum is lowest, then the lower one: what its saddle cannot
    be below."""
    untried = [pair for pair in candidates if pair not in spent]
    return min(
        untried,
        key=lambda pair: (*sorted((nodes[pair[0]], nodes[pair[1]]), reverse=True), pair),
        default=None,
    )


def _pair(one: Node, two: Node) -> Pair:
    return (one, two) if one < two else (two, one)


def _route(tree: "nx.Graph[Node]", pair: Pair) -> list[Pair]:
    """The edges of a tree on the way between two nodes; none if there is no way."""
    if not nx.has_path(tree, *pair):
        return []
    way = nx.shortest_path(tree, *pair)
    return [_pair(*ends) for ends in pairwise(way)]


# the disconnectivity tree


class Merge(NamedTuple):
    """Where two groups of minima become one: at losses above `height` the valleys of both are
    connected."""

    height: float
    stderr: float
    left: tuple[Node, ...]
    right: tuple[Node, ...]  # the groups; each of one node, or the union of an earlier merge
    pair: Pair  # the edge of the spanning tree that joins them


class Disconnectivity(NamedTuple):
    """Which minima are connected below which loss (Becker & Karplus 1997), to be drawn: leaves,
    then merges upwards."""

    # loss by node, in an order from left to right in which no lines cross
    leaves: dict[Node, float]
    merges: list[Merge]  # lowest first


def disconnectivity(nodes: Nodes, edges: Edges) -> Disconnectivity:
    """Single linkage along the spanning tree: its edges, from the lowest saddle on, each join two
    groups of minima.

    The group with the lowest minimum stands left. Minima that nothing joins stay apart, the groups
    in order of their lowest.
    """
    groups: dict[Node, tuple[Node, ...]] = {node: (node,) for node in nodes}  # of each node
    merges = []
    for pair in reversed(spanning_tree(nodes, edges)):
        left, right = sorted(
            (groups[end] for end in pair),
            key=lambda group: min((nodes[node], node) for node in group),
        )
        merges.append(Merge(saddle(nodes, edges, pair), edges[pair].stderr, left, right, pair))
        groups |= dict.fromkeys(left + right, left + right)
    apart = sorted(
        set(groups.values()), key=lambda group: min((nodes[node], node) for node in group)
    )
    return Disconnectivity({node: nodes[node] for group in apart for node in group}, merges)
