"""Which pairs of minima to join next: a pure function of what is finished, so that a pipeline that
was interrupted plans what it would have planned."""

from collections.abc import Collection, Iterable
from itertools import combinations, product

import networkx as nx

from sgdtheory.errors import UserError
from sgdtheory.paths.graph import (
    Edges,
    Node,
    Nodes,
    Pair,
    Pairs,
    higher_end,
    ordered,
    saddle,
    spanning_tree,
)


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
    spent = {ordered(*pair) for pair in tried}
    asked = _asked(nodes, pairs)
    unfinished = [pair for pair, edge in edges.items() if not edge.finished]
    begun = [pair for pair in unfinished if pair in asked and pair not in spent]
    spent |= set(edges).difference(unfinished)
    if pairs != "tree":
        new = [pair for pair in asked if pair not in spent and pair not in edges]
        return begun + new
    return begun or _unconnected(nodes, edges, spent) or _replacements(nodes, edges, spent)


def _asked(nodes: Nodes, pairs: Pairs) -> list[Pair]:
    if isinstance(pairs, str):
        return sorted(combinations(sorted(nodes), 2))
    for pair in pairs:
        is_pair = len(pair) == 2 and len(set(pair)) == 2
        if not is_pair or not set(pair) <= set(nodes):
            raise UserError(
                f"pairs: {list(pair)} is no pair of two different minima; they are numbered "
                f"{sorted(nodes)}"
            )
    return list(dict.fromkeys(ordered(*pair) for pair in pairs))


def _unconnected(nodes: Nodes, edges: Edges, spent: set[Pair]) -> list[Pair]:
    """For each group of joined minima the best untried pair with the best minimum's group, and so
    on if there is none."""
    graph: nx.Graph[Node] = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(pair for pair, edge in edges.items() if edge.found)

    def lowest(group: set[Node]) -> tuple[float, Node]:
        return min((nodes[node], node) for node in group)

    groups = sorted(nx.connected_components(graph), key=lowest)
    for k, group in enumerate(groups):
        wave = []
        for other in groups[k + 1 :]:
            pair = _best(nodes, _across(group, other), spent)
            if pair:
                wave.append(pair)
        if wave:
            return wave
    return []


def _replacements(nodes: Nodes, edges: Edges, spent: set[Pair]) -> list[Pair]:
    """The best untried pair across the cut of each tree edge that is worth it, unless one already
    asked for crosses it."""
    pairs = spanning_tree(nodes, edges)
    tree = nx.Graph(pairs)
    wave: list[Pair] = []
    for pair in pairs:
        if not edges[pair].worth_replacing:
            continue
        cut = tree.copy()
        cut.remove_edge(*pair)
        left_end, right_end = pair
        left = nx.node_connected_component(cut, left_end)
        right = nx.node_connected_component(cut, right_end)
        across = _across(left, right)
        height = saddle(nodes, edges, pair)
        lower = [other for other in across if higher_end(nodes, other) < height]
        best = _best(nodes, lower, spent)
        if best and not any(other in across for other in wave):
            wave.append(best)
    return wave


def _across(group: Iterable[Node], other: Iterable[Node]) -> set[Pair]:
    return {ordered(one, two) for one, two in product(group, other)}


def _best(nodes: Nodes, candidates: Iterable[Pair], spent: set[Pair]) -> Pair | None:
    """The untried pair whose higher minimum is lowest, then the lower one: what its saddle cannot
    be below."""
    untried = [pair for pair in candidates if pair not in spent]

    def losses(pair: Pair) -> tuple[float, float, Pair]:
        lower, higher = sorted(nodes[end] for end in pair)
        return higher, lower, pair

    return min(untried, key=losses, default=None)
