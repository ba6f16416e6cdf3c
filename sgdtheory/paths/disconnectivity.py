"""The disconnectivity tree: which minima are connected below which loss."""

from typing import NamedTuple

from sgdtheory.paths.graph import Edges, Node, Nodes, Pair, saddle, spanning_tree


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

    def lowest(group: tuple[Node, ...]) -> tuple[float, Node]:
        return min((nodes[node], node) for node in group)

    groups: dict[Node, tuple[Node, ...]] = {node: (node,) for node in nodes}  # of each node
    merges = []
    for pair in reversed(spanning_tree(nodes, edges)):
        left, right = sorted((groups[end] for end in pair), key=lowest)
        height = saddle(nodes, edges, pair)
        merge = Merge(height, edges[pair].stderr, left, right, pair)
        merges.append(merge)
        both = left + right
        groups |= dict.fromkeys(both, both)
    apart = sorted(set(groups.values()), key=lowest)
    leaves = {}
    for group in apart:
        for node in group:
            leaves[node] = nodes[node]
    return Disconnectivity(leaves, merges)
