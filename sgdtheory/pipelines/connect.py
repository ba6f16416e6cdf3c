"""`sgdtheory connect`: pairs of minima are joined by low-loss paths, and the paths become a
graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, Place, PositiveInt
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.diagnostics.pivots import pictures, points_of, units_on_paths
from sgdtheory.landscape import Landscape
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.budget import examples_for
from sgdtheory.paths.distinct_points import DistinctPoints
from sgdtheory.paths.edge import join
from sgdtheory.paths.graph import Edge, Pair
from sgdtheory.paths.next_pairs import next_pairs
from sgdtheory.paths.plane import plane
from sgdtheory.paths.search import PathMethod
from sgdtheory.paths.strings import Strings
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND, Checkpoint
from sgdtheory.pipelines.connect_costs import ConnectCosts
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.graph_of_minima import GraphOfMinima, edge_of, finite_losses, merged_claims
from sgdtheory.pipelines.minima_file import STARTS, constants_to_keep
from sgdtheory.pipelines.origin import origin_of
from sgdtheory.pipelines.starting_points import Given, given
from sgdtheory.pipelines.train import Dtype, describe_point, dtype_of
from sgdtheory.rng import key
from sgdtheory.roles.examples import is_network, is_scored, network_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Results, Rows

SAME = 1e-6  # of 1 + |θ|: points of a formula that are nearer are one, found twice and polished


@dataclass(frozen=True)
class Connect:
    """A graph of minima whose edges are low paths, found by `method`: autoneb (Draxler et al. 2018,
    1803.00885) or string_sampling (Freeman & Bruna 2017, 1611.01540).

    `minima`: files that hold them; None: those that the landscape states. `pairs`: tree (a spanning
    tree, whose highest edges are replaced while a lower one may exist), all, or the pairs
    themselves. Every minimum and every edge is a unit of work of its own, known by the content of
    what it joins. `examples`: how many training and how many test images paths are judged by, the
    same ones at every point; auto: so many that judging costs no more than descending, at least
    2,000. `plane`: points a side of the loss in the plane through the first three minima (0: none).
    """

    landscape: Landscape
    autoneb: AutoNEB
    strings: Strings
    baselines: Baselines
    method: Literal["autoneb", "string_sampling"] = "autoneb"
    minima: Annotated[tuple[Path, ...] | None, Place] = (
        None  # what they hold is part of the identity
    )
    checkpoint: Annotated[Checkpoint, Place] = AS_FOUND
    pairs: Literal["tree", "all"] | list[tuple[int, int]] = "tree"
    examples: PositiveInt | Literal["auto", "all"] = "auto"
    plane: NonNegativeInt = 11
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "landscape", self.given.landscape)
        self._distinct.demand_pairs(self.pairs)

    @cached_property
    def given(self) -> Given:
        """The minima as they were read."""
        return given(self.landscape, self.minima, self.checkpoint, dtype_of(self.dtype))

    @property
    def said(self) -> list[str]:
        """What was taken of each file, a line each."""
        if self.minima is None:
            return []
        return self.given.said

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity: the points themselves in the place of files."""
        if self.minima is None:
            return science
        return self.given._replace(points=self.points).identity(science)

    @cached_property
    def points(self) -> Tensor:
        """The minima as they are given [P, n]; one may be there twice."""
        cloud = self.given.points
        if cloud.dtype == torch.float64:
            return cloud
        return cloud.to(dtype_of(self.dtype))

    @cached_property
    def _distinct(self) -> DistinctPoints:
        """Points are one where all bits are the same; on a formula, up to rounding."""
        return DistinctPoints(self.points, 0.0 if is_scored(self.landscape) else SAME)

    @property
    def nodes(self) -> Tensor:
        """The minima [M, n] that are joined, no two of them the same point; they are numbered in
        this order."""
        return self._distinct.nodes

    @cached_property
    def _asked(self) -> list[Pair] | None:
        """The pairs that were named, in the numbers of `nodes`; None where none were."""
        return self._distinct.pairs(self.pairs)

    def units(self, run: Run) -> list[Unit]:
        units = self._minimum_units(run)
        if all(run.result(unit) is not None for unit in units):
            edges = [unit for unit, _ in self._edges(run)]
            on_minima = units_of(self.diagnostic, self.landscape, units, run)
            on_paths = units_on_paths(self.diagnostic, self.landscape, edges, run)
            units += [*on_minima, *self._plane_units(run), *edges, *on_paths]
        return units

    def _score(self, index: int, folder: UnitFolder) -> None:
        """Score one minimum."""
        theta = self.nodes[index]
        folder.finish({"rows": [describe_point(self.landscape, theta)]}, {"minima": theta[None]})

    def _draw_plane(self, folder: UnitFolder) -> None:
        """Score the plane through the first three minima."""
        found = plane(self._judged, self.nodes[:3], self.plane, folder.tell)
        folder.finish({"plane": found}, {"minima": self.nodes[:3]})

    def _join(self, pair: Pair, folder: UnitFolder) -> None:
        """Join two minima."""
        seed = key(self.seed, "edge", *(self._digests[end] for end in pair))
        ends = self.nodes[list(pair)]
        row, tensors = join(self._judged, self._method, self.baselines, ends, seed, folder)
        folder.finish({"row": row}, tensors)

    def finish(self, run: Run) -> Results:
        graph = GraphOfMinima(self._minima(run))
        clouds: dict[str, Mapping[str, Tensor]] = {"minima.safetensors": self._kept()}
        on_paths = []
        for unit, pair in self._edges(run) if len(graph.minima) == len(self.nodes) else []:
            result = run.result(unit)
            if result is not None:
                graph.rows[pair] = result["row"]
                tensors = run.folder(unit).clouds()
                clouds[f"paths/{pair[0]}-{pair[1]}.safetensors"] = tensors
                on_paths.append((unit, pair, tensors["t"]))
        tables = {
            "minima": [{"name": str(i), **row} for i, row in enumerate(graph.minima)],
            "edges": graph.edge_rows,
        }
        numbers = {
            **graph.numbers(),
            "minima_from": origin_of(self.minima),
            "merged": [list(pair) for pair in self._distinct.repeated],
        }
        for unit in self._plane_units(run):
            numbers["plane"] = (run.result(unit) or {}).get("plane")
        if points := points_of(self.diagnostic, self.landscape, on_paths, run):
            tables["points"], numbers["plots"] = points, pictures(points)
        claims = graph.claims(self.landscape, self.nodes, self._asked)
        claims += merged_claims(self._distinct)
        return Results(claims, tables, numbers, clouds)

    def _minima(self, run: Run) -> Rows:
        """A row for each minimum that is finished: its scores, diagnostics and source."""
        units = self._minimum_units(run)
        results = [run.result(unit) or {"rows": []} for unit in units]
        scores = [row for result in results for row in result["rows"]]
        diagnostics = units_of(self.diagnostic, self.landscape, units, run)
        measured = columns_of(diagnostics, run, len(scores))
        sources = [self.given.sources[first] for first in self._distinct.kept]
        minima = []
        for row, columns, source in zip(scores, measured, sources, strict=False):
            minima.append({**row, **columns, "source": source})
        return minima

    def _kept(self) -> dict[str, Tensor]:
        """The minima that were joined, constants, and the points as they were given where one was
        there twice."""
        again = {}
        if len(self.points) > len(self.nodes):
            again = {STARTS: self.points}
        return {"minima": self.nodes, **again, **constants_to_keep(self.landscape)}

    def foresee(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs, edges too that are not asked for before the minima
        are scored.

        A tree has one fewer than minima, and which they are, the scores say; what may replace them
        is not counted.
        """
        edge = self._costs.of_edge()
        point = self._costs.of_minimum()
        grid = self._costs.of_plane()
        costs = {"minimum": point, "plane": grid}
        found = [(unit.name, costs.get(unit.name.split("-")[0], edge)) for unit in pending]
        if all(run.result(unit) is not None for unit in self._minimum_units(run)):
            return found
        found += [(unit.name, grid) for unit in self._plane_units(run) if run.result(unit) is None]
        count = len(self.nodes)
        if self.pairs == "tree" and count > 2:
            return found + [(f"edge {k} of the tree's {count - 1}", edge) for k in range(1, count)]
        known = next_pairs(dict.fromkeys(range(count), 0.0), {}, pairs=self._asked or self.pairs)
        units = [self._edge_unit(run, pair) for pair in known]
        return found + [(unit.name, edge) for unit in units if run.result(unit) is None]

    @property
    def _costs(self) -> ConnectCosts:
        method = self._method.adapted_to(self.landscape)
        return ConnectCosts(self._judged, method, self.baselines, self.nodes, self.plane)

    @property
    def _method(self) -> PathMethod:
        if self.method == "autoneb":
            return self.autoneb
        return self.strings

    @cached_property
    def _judged(self) -> Landscape:
        """The landscape, scored on as many examples as were asked for."""
        most: int | str | None = self.examples
        if most == "auto":
            most = examples_for(self._method, self.baselines)
        if not isinstance(most, int) or not is_network(self.landscape):
            return self.landscape
        return self.landscape.scored_on(most)

    @property
    def _sample(self) -> dict[str, int]:
        """What an edge that not all examples are looked at is known by besides."""
        if self._judged is self.landscape:
            return {}
        return {"examples": network_of(self._judged).scored}

    # units

    @cached_property
    def _digests(self) -> list[str]:
        return [digest_of(theta) for theta in self.nodes]

    def _minimum_units(self, run: Run) -> list[Unit]:
        what = {"landscape": run.science["landscape"], "dtype": self.dtype, "score": True}
        return [
            Unit(f"minimum-{i}", {**what, "index": i, "point": point}, partial(self._score, i))
            for i, point in enumerate(self._digests)
        ]

    def _plane_units(self, run: Run) -> list[Unit]:
        """The plane through three minima."""
        if len(self.nodes) < 3 or not self.plane:
            return []
        what = {"landscape": run.science["landscape"], "dtype": self.dtype, **self._sample}
        what |= {"plane": self.plane, "corners": self._digests[:3]}
        return [Unit("plane", what, self._draw_plane)]

    def _edge_unit(self, run: Run, pair: Pair) -> Unit:
        # an edge knows the one method that made it
        how = "strings"
        if self.method == "autoneb":
            how = "autoneb"
        what = {
            name: run.science[name] for name in ("landscape", how, "baselines", "dtype", "seed")
        } | self._sample
        what["by"] = (
            "lowest_way, rises undone"  # what of an edge is measured and how; other units are none
        )
        what["ends"] = [self._digests[end] for end in pair]
        return Unit(f"edge-{pair[0]}-{pair[1]}", what, partial(self._join, pair))

    def _edges(self, run: Run) -> list[tuple[Unit, Pair]]:
        """All edges asked for so far, in the order they were: what is finished decides what is
        asked for next.

        A minimum whose scores are not finite is joined with none.

        """
        scores = [(run.result(unit) or {})["rows"][0] for unit in self._minimum_units(run)]
        nodes = finite_losses(scores)
        asked = self._asked
        pairs = self.pairs
        if asked is not None:
            pairs = [pair for pair in asked if set(pair) <= set(nodes)]
        found: list[tuple[Unit, Pair]] = []
        edges: dict[Pair, Edge] = {}
        failed: set[Pair] = set()
        while wave := next_pairs(nodes, edges, failed, pairs):
            waiting = False
            for i, j in wave:
                unit = self._edge_unit(run, (i, j))
                found.append((unit, (i, j)))
                result = run.result(unit)
                if result is not None:
                    edges[i, j] = edge_of(result["row"])
                elif run.folder(unit).status["status"] == "failed":
                    failed.add((i, j))
                else:
                    waiting = True
            if waiting:
                break
        return found
