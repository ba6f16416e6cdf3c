"""The graph of minima: hand-made graphs with known answers, and random ones against networkx and
brute force."""

from itertools import combinations, pairwise
from math import inf, nan

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdtheory.errors import UserError
from sgdtheory.paths.disconnectivity import disconnectivity
from sgdtheory.paths.graph import (
    Edge,
    Edges,
    Nodes,
    Pair,
    bound,
    saddle,
    spanning_tree,
    tree_means,
    violations,
)
from sgdtheory.paths.next_pairs import next_pairs

FLAT = {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}  # four minima of loss 0: saddle = barrier
CIRCLE = {(0, 1): Edge(1.0), (1, 2): Edge(2.0), (2, 3): Edge(3.0), (0, 3): Edge(4.0)}


def test_saddle_stands_on_the_higher_minimum() -> None:
    assert saddle({0: 0.1, 1: 0.3}, {(0, 1): Edge(0.5)}, (0, 1)) == pytest.approx(0.8)


def test_tree_leaves_out_the_highest_edge_of_a_circle() -> None:
    assert spanning_tree(FLAT, CIRCLE) == [(2, 3), (1, 2), (0, 1)]
    assert spanning_tree(FLAT, dict(reversed(CIRCLE.items()))) == [(2, 3), (1, 2), (0, 1)]


@pytest.mark.parametrize(("stderr", "tree"), [(0.0, (0, 2)), (0.1, (0, 2)), (0.2, (1, 2))])
def test_an_edge_within_the_errors_does_not_replace_the_incumbent(
    stderr: float, tree: Pair
) -> None:
    edges = {
        (0, 1): Edge(0.1),
        (1, 2): Edge(1.0, stderr),
        (0, 2): Edge(0.5, stderr),
    }  # 0.5 lower, ± √2 · stderr
    assert spanning_tree({0: 0, 1: 0, 2: 0}, edges)[0] == tree


def test_exact_ties_keep_the_earlier_edge() -> None:
    edges = {(1, 2): Edge(1.0), (0, 2): Edge(1.0), (0, 1): Edge(1.0)}
    assert set(spanning_tree({0: 0, 1: 0, 2: 0}, edges)) == {(1, 2), (0, 2)}


def test_edges_that_were_not_found_are_no_edges() -> None:
    edges = {
        (0, 1): Edge(1.0, finished=False),
        (0, 2): Edge(nan),
        (0, 3): Edge(inf),
        (1, 2): Edge(1.0),
    }
    assert spanning_tree(FLAT, edges) == [(1, 2)]


def test_bound_and_violations() -> None:
    assert bound(FLAT, CIRCLE, (0, 2)) == 2.0  # by 1
    assert bound(FLAT, CIRCLE, (0, 3)) == 3.0  # its own path has 4
    assert bound({**FLAT, 4: 0.0}, CIRCLE, (0, 4)) is None
    assert [tuple(x) for x in violations(FLAT, CIRCLE)] == [((0, 3), 4.0, 3.0)]
    blurred = {**CIRCLE, (0, 3): Edge(4.0, 0.3), (2, 3): Edge(3.0, 0.41)}  # 1 ± .508
    assert violations(FLAT, blurred) == []


def test_means_over_the_tree() -> None:
    minima, saddles = tree_means(
        {0: 0.1, 1: 0.2, 2: 0.6, 3: 9.0}, {(0, 1): Edge(1.0), (1, 2): Edge(1.0), (0, 2): Edge(5.0)}
    )
    assert minima.value == pytest.approx(0.3)  # node 3 is joined to nothing
    assert saddles.value == pytest.approx(1.4)
    assert saddles.stderr == pytest.approx(0.2)
    assert tree_means({0: 0.1}, {})[1].value is None


def test_disconnectivity_tree() -> None:
    nodes = {0: 0.3, 1: 0.1, 2: 0.2, 3: 0.0, 4: 5.0}
    edges = {(0, 1): Edge(0.7), (2, 3): Edge(0.3), (1, 2): Edge(1.8), (0, 3): Edge(9.0)}
    leaves, merges = disconnectivity(nodes, edges)
    assert list(leaves) == [3, 2, 1, 0, 4]
    assert leaves == nodes
    assert [(m.height, m.left, m.right) for m in merges] == [
        (pytest.approx(0.5), (3,), (2,)),
        (pytest.approx(1.0), (1,), (0,)),
        (pytest.approx(2.0), (3, 2), (1, 0)),
    ]


# which pair next


def test_first_wave_is_a_star_round_the_best_minimum() -> None:
    nodes = {0: 0.2, 1: 0.1, 2: 0.4, 3: 0.3}
    assert next_pairs(nodes, {}) == [(0, 1), (1, 3), (1, 2)]
    assert next_pairs(nodes, {(0, 1): Edge(0.0)})[0] == (1, 3)


def test_unfinished_pairs_come_first() -> None:
    edges = {
        (0, 1): Edge(1.0),
        (1, 2): Edge(nan, finished=False),
        (0, 2): Edge(nan, finished=False),
    }
    assert next_pairs(FLAT, edges) == [(1, 2), (0, 2)]
    assert next_pairs(FLAT, edges, tried=[(2, 1)]) == [(0, 2)]


def test_a_failed_pair_is_gone_round() -> None:
    assert next_pairs({0: 0, 1: 1, 2: 2}, {}, tried={(0, 1)}) == [(0, 2)]
    assert next_pairs({0: 0, 1: 1, 2: 2}, {(0, 2): Edge(1.0)}, tried={(0, 1)}) == [(1, 2)]
    assert next_pairs({0: 0, 1: 1, 2: 2}, {}, tried={(0, 1), (0, 2)}) == [(1, 2)]
    assert next_pairs({0: 0, 1: 1, 2: 2}, {}, tried={(0, 1), (0, 2), (1, 2)}) == []


def test_the_highest_edge_is_cut_first_and_by_the_best_pair() -> None:
    nodes = {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.3}
    star = {(0, 1): Edge(1.0), (0, 2): Edge(3.0), (0, 3): Edge(2.0)}
    assert next_pairs(nodes, star) == [
        (1, 2),
        (1, 3),
    ]  # across 2|013; across 3|012; 1|023 is crossed by both
    assert next_pairs(nodes, {**star, (1, 2): Edge(4.0)})[0] == (2, 3)


@pytest.mark.parametrize(
    ("edge", "asked"),
    [
        (Edge(0.1, stderr=0.04, straight=2.0), True),
        (Edge(0.1, stderr=0.06, straight=2.0), False),  # no barrier within its errors
        (Edge(0.1, stderr=0.0, straight=21.0), False),  # below 0.5 % of the straight line
        (Edge(0.0), False),
    ],
)
def test_only_real_barriers_are_worth_another_path(edge: Edge, asked: bool) -> None:
    assert bool(next_pairs({0: 0, 1: 0, 2: 0}, {(0, 1): edge, (0, 2): Edge(0.0)})) == asked


def test_a_pair_that_cannot_be_lower_is_not_asked_for() -> None:
    edges = {(0, 1): Edge(1.0), (1, 2): Edge(5.0)}
    assert next_pairs({0: 0.0, 1: 0.0, 2: 7.0}, edges) == [(0, 2)]  # the saddle (1, 2) is at 12
    assert next_pairs({0: 8.0, 1: 0.0, 2: 0.0}, {(0, 1): Edge(0.0), (1, 2): Edge(5.0)}) == []


def test_all_pairs_or_those_named() -> None:
    edges = {(0, 1): Edge(1.0), (2, 3): Edge(nan, finished=False)}
    assert next_pairs(FLAT, edges, pairs="all") == [(2, 3), (0, 2), (0, 3), (1, 2), (1, 3)]
    assert next_pairs(FLAT, edges, pairs=[[3, 1], [0, 1], [1, 3]]) == [(1, 3)]
    assert next_pairs(FLAT, edges, tried={(1, 3)}, pairs=[[3, 1], [0, 1]]) == []
    for wrong in ([[0, 4]], [[1, 1]], [[0, 1, 2]]):
        with pytest.raises(UserError, match="no pair"):
            next_pairs(FLAT, edges, pairs=wrong)


# the loop to its end


def explored(
    nodes: Nodes, truth: dict[Pair, float], failing: set[Pair], wave: bool
) -> tuple[Edges, int]:
    """Run the rule against a landscape whose barriers are known, until it asks for nothing more."""
    edges: dict[Pair, Edge] = {}
    tried: set[Pair] = set()
    asked = 0
    while pairs := next_pairs(nodes, edges, tried)[: None if wave else 1]:
        for pair in pairs:
            asked += 1
            assert pair not in tried
            tried.add(pair)
            edges[pair] = Edge(nan, finished=False) if pair in failing else Edge(truth[pair])
    return edges, asked


numbers = st.integers(0, 6).map(float)  # few values: many ties


@st.composite
def landscapes(draw: st.DrawFn) -> tuple[dict[int, float], dict[Pair, float], set[Pair]]:
    count = draw(st.integers(1, 6))
    nodes = {node: draw(numbers) for node in range(count)}
    pairs = list(combinations(range(count), 2))
    return (
        nodes,
        {pair: draw(numbers) for pair in pairs},
        {pair for pair in pairs if draw(st.integers(0, 3)) == 0},
    )


@settings(max_examples=150, deadline=None)
@given(landscapes(), st.booleans())
def test_exhausted_cuts_give_the_true_spanning_tree(
    case: tuple[dict[int, float], dict[Pair, float], set[Pair]], wave: bool
) -> None:
    nodes, truth, _ = case
    edges, asked = explored(nodes, truth, set(), wave)
    assert asked <= len(truth)
    assert len(spanning_tree(nodes, edges)) == len(nodes) - 1
    whole = {pair: Edge(barrier) for pair, barrier in truth.items()}
    for pair in truth:
        assert bound(nodes, edges, pair) == bottleneck(nodes, whole, pair)


def bottleneck(nodes: Nodes, edges: Edges, pair: Pair) -> float:
    """The least of the highest saddles over all ways between two minima, every way tried."""
    graph = nx.Graph(list(edges))
    ways = nx.all_simple_paths(graph, *pair)
    return min(max(saddle(nodes, edges, (min(e), max(e))) for e in pairwise(way)) for way in ways)


@settings(max_examples=150, deadline=None)
@given(landscapes(), st.booleans())
def test_failing_pairs_end_and_join_what_can_be_joined(
    case: tuple[dict[int, float], dict[Pair, float], set[Pair]], wave: bool
) -> None:
    nodes, truth, failing = case
    edges, asked = explored(nodes, truth, failing, wave)
    assert asked <= len(truth)
    possible = nx.Graph([pair for pair in truth if pair not in failing])
    possible.add_nodes_from(nodes)
    assert len(spanning_tree(nodes, edges)) == len(nodes) - nx.number_connected_components(possible)


@settings(max_examples=100, deadline=None)
@given(landscapes())
def test_tree_has_the_least_weight_and_the_disconnectivity_tree_its_bottlenecks(
    case: tuple[dict[int, float], dict[Pair, float], set[Pair]],
) -> None:
    nodes, truth, missing = case
    edges = {pair: Edge(barrier) for pair, barrier in truth.items() if pair not in missing}
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_weighted_edges_from((*pair, saddle(nodes, edges, pair)) for pair in edges)
    least = nx.minimum_spanning_tree(graph).size("weight")
    assert sum(saddle(nodes, edges, pair) for pair in spanning_tree(nodes, edges)) == least
    leaves, merges = disconnectivity(nodes, edges)
    order = list(leaves)
    assert sorted(order) == sorted(nodes)
    assert [m.height for m in merges] == sorted(m.height for m in merges)
    for merge in merges:
        both = [*merge.left, *merge.right]
        at = order.index(both[0])
        assert order[at : at + len(both)] == both  # no lines cross
        for pair in ((min(i, j), max(i, j)) for i in merge.left for j in merge.right):
            assert bound(nodes, edges, pair) == merge.height
    for violation in violations(nodes, edges):
        assert violation.bound == bound(nodes, edges, violation.pair) < violation.saddle
