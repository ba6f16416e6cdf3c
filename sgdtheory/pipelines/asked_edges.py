"""Which edges have been asked for so far."""

from collections.abc import Callable

from sgdtheory.paths.graph import Edge, Nodes, Pair, Pairs
from sgdtheory.paths.next_pairs import next_pairs
from sgdtheory.pipelines.graph_of_minima import edge_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit


def asked_edges(
    run: Run, nodes: Nodes, pairs: Pairs, unit_of: Callable[[Pair], Unit]
) -> list[tuple[Unit, Pair]]:
    """The units of all edges asked for so far, in the order they were: what is finished decides
    what is asked for next."""
    asked: list[tuple[Unit, Pair]] = []
    edges: dict[Pair, Edge] = {}
    failed: set[Pair] = set()
    while wave := next_pairs(nodes, edges, failed, pairs):
        is_waiting = False
        for pair in wave:
            unit = unit_of(pair)
            asked.append((unit, pair))
            result = run.result(unit)
            if result is not None:
                edges[pair] = edge_of(result["row"])
            elif run.folder(unit).status["status"] == "failed":
                failed.add(pair)
            else:
                is_waiting = True
        if is_waiting:
            break
    return asked
