"""`sgdtheory connect`: pairs of minima are joined by low-loss paths, and the paths become a
graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, Place, PositiveInt
from sgdtheory.diagnostics.columns import columns_of, names_of
from sgdtheory.diagnostics.diagnostic import Diagnostic, refuse_unfit, units_of
from sgdtheory.diagnostics.pivots import pictures, points_of, units_on_paths
from sgdtheory.optim.adam import AdamSettings
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.budget import examples_for
from sgdtheory.paths.distinct_points import SAME, DistinctPoints
from sgdtheory.paths.edge import join
from sgdtheory.paths.graph import Pair
from sgdtheory.paths.next_pairs import next_pairs
from sgdtheory.paths.search import PathMethod
from sgdtheory.paths.strings import Strings
from sgdtheory.pipelines.asked_edges import asked_edges
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND, Checkpoint
from sgdtheory.pipelines.connect_costs import ConnectCosts
from sgdtheory.pipelines.digests import digest_of
from sgdtheory.pipelines.finished import all_finished, rows_of, unfinished
from sgdtheory.pipelines.graph_of_minima import GraphOfMinima, finite_losses, merged_claims
from sgdtheory.pipelines.minima_file import kept_beside
from sgdtheory.pipelines.optimiser import Optimiser, adam_of, known_by, refuse_adam, without_repeats
from sgdtheory.pipelines.origin import origin_of
from sgdtheory.pipelines.plane_units import plane_units
from sgdtheory.pipelines.star import Lines, Star
from sgdtheory.pipelines.starting_points import Given, given
from sgdtheory.pipelines.train import describe_point
from sgdtheory.protocol import Dtype, Landscape, TensorsByName, dtype_of
from sgdtheory.rng import key
from sgdtheory.roles.examples import is_network, is_scored, network_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.tensors import Tensors
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Results
from sgdtheory.statistics.rows import Rows


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
    # what they hold is part of the identity
    minima: Annotated[tuple[Path, ...] | None, Place] = None
    checkpoint: Annotated[Checkpoint, Place] = AS_FOUND
    pairs: Literal["tree", "all"] | list[tuple[int, int]] = "tree"
    examples: PositiveInt | Literal["auto", "all"] = "auto"
    plane: NonNegativeInt = 11
    sgd: Optimiser | None = None  # what bands and bends descend by
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        refuse_unfit(self.diagnostic, self.landscape)
        refuse_adam(self._adam, self.landscape, self.method)
        self._method.adapted_to(self.landscape)  # which refuses what does not fit
        object.__setattr__(self, "landscape", self.given.landscape)
        self._distinct.demand_pairs(self.pairs)

    @cached_property
    def given(self) -> Given:
        """The minima as they were read."""
        dtype = dtype_of(self.dtype)
        return given(self.landscape, self.minima, self.checkpoint, dtype)

    @property
    def said(self) -> list[str]:
        """What was taken of each file, a line each."""
        return [] if self.minima is None else self.given.said

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity: the points themselves in the place of files."""
        science = without_repeats(science, vars(self._adam) if self._adam else ())
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
        room = 0.0 if is_scored(self.landscape) else SAME
        return DistinctPoints(self.points, room)

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
        minima = self._minimum_units(run)
        if not all_finished(run, minima):
            return minima
        edges = [unit for unit, _ in self._edges(run)]
        on_paths = units_on_paths(self.diagnostic, self.landscape, edges, run)
        paths = edges + self._star(run).units() + on_paths
        return minima + self._on_minima(run) + self._plane_units(run) + paths

    def _score(self, index: int, folder: UnitFolder) -> None:
        """Score one minimum."""
        theta = self.nodes[index]
        row = describe_point(self.landscape, theta)
        folder.finish({"rows": [row]}, {"minima": theta[None]})

    def _join(self, pair: Pair, folder: UnitFolder) -> None:
        """Join two minima."""
        digests = [self._digests[end] for end in pair]
        seed = key(self.seed, "edge", *digests)
        ends = self.nodes[list(pair)]
        settings = (self._method, self.baselines, ends, seed, folder, self._adam)
        row, tensors = join(self._judged, *settings)
        folder.finish({"row": row}, tensors)

    def finish(self, run: Run) -> Results:
        graph = GraphOfMinima(self._minima(run))
        clouds: dict[str, Tensors] = {"minima.safetensors": self._kept()}
        on_paths = []
        found = graph.take(run, self._edges(run))
        for (i, j), unit in found.items():
            tensors = run.folder(unit).clouds()
            clouds[f"paths/{i}-{j}.safetensors"] = tensors
            on_paths.append((unit, (i, j), tensors["t"]))
        minima = [{"name": str(i), **row} for i, row in enumerate(graph.minima)]
        tables = {"minima": minima, "edges": graph.edge_rows}
        numbers = {
            **graph.numbers(),
            **names_of(self._on_minima(run), run),
            "minima_from": origin_of(self.minima),
            **self._star(run).numbers(),
            "merged": [list(pair) for pair in self._distinct.repeated],
        }
        for unit in self._plane_units(run):
            numbers["plane"] = (run.result(unit) or {}).get("plane")
        if points := points_of(self.diagnostic, self.landscape, on_paths, run):
            tables["points"] = points
            numbers["plots"] = pictures(points)
        claims = graph.claims(self.landscape, self._distinct, self._asked)
        claims += merged_claims(self._distinct)
        return Results(claims, tables, numbers, clouds)

    def _minima(self, run: Run) -> Rows:
        """A row for each minimum that is finished: its scores, diagnostics and source."""
        units = self._minimum_units(run)
        scores = rows_of(run, units)
        measured = columns_of(self._on_minima(run), run, len(scores))
        sources = [self.given.sources[first] for first in self._distinct.kept]
        minima = []
        for row, columns, source in zip(scores, measured, sources, strict=False):
            minima.append({**row, **columns, "source": source})
        return minima

    def _kept(self) -> TensorsByName:
        """The minima that were joined, constants, and the points as they were given where one was
        there twice."""
        again = len(self.points) > len(self.nodes)
        starts = self.points if again else None
        return {"minima": self.nodes, **kept_beside(self.landscape, starts)}

    def plan(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs."""
        names = [unit.name for unit in pending]
        return self._costs.of_names(names + self.to_come(run))

    def to_come(self, run: Run) -> list[str]:
        """What is asked for when the minima are scored; not what may replace a tree's edges."""
        if all_finished(run, self._minimum_units(run)):
            return []
        units = self._plane_units(run)
        tree = []
        count = len(self.nodes)
        if self.pairs == "tree" and count > 2:
            tree = [f"edge {k} of the tree's {count - 1}" for k in range(1, count)]
        else:
            nodes = dict.fromkeys(range(count), 0.0)
            pairs = next_pairs(nodes, {}, pairs=self._asked or self.pairs)
            units += [self._edge_unit(run, pair) for pair in pairs]
        return [unit.name for unit in unfinished(run, units)] + tree

    @property
    def _costs(self) -> ConnectCosts:
        method = self._method.adapted_to(self.landscape)
        return ConnectCosts(self._judged, method, self.baselines, self.nodes, self.plane)

    @cached_property
    def _adam(self) -> AdamSettings | None:
        return adam_of(self.sgd)

    @property
    def _method(self) -> PathMethod:
        return replace(self.autoneb, adam=self._adam) if self.method == "autoneb" else self.strings

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
        units = []
        for i, point in enumerate(self._digests):
            config = {**what, "index": i, "point": point}
            units.append(Unit(f"minimum-{i}", config, partial(self._score, i)))
        return units

    def _on_minima(self, run: Run) -> list[Unit]:
        return units_of(self.diagnostic, self.landscape, self._minimum_units(run), run)

    def _plane_units(self, run: Run) -> list[Unit]:
        what = self._ground(run)
        return plane_units(self._judged, self.nodes, self._digests, self.plane, what)

    def _ground(self, run: Run) -> dict[str, Any]:
        """What every look at the landscape is known by."""
        return {"landscape": run.science["landscape"], "dtype": self.dtype, **self._sample}

    def _star(self, run: Run) -> Star:
        what = self._ground(run)
        lines = Lines(self._judged, self.baselines, self.nodes, self._digests, what, self.seed)
        scores = rows_of(run, self._minimum_units(run))
        return Star(run, lines, scores, self._edges(run), self._asked is None)

    def _edge_unit(self, run: Run, pair: Pair) -> Unit:
        i, j = pair
        # an edge knows the one method that made it
        method = "autoneb" if self.method == "autoneb" else "strings"
        names = ("landscape", method, "baselines", "dtype", "seed")
        what = {name: run.science[name] for name in names}
        what |= self._sample | known_by(self._adam)
        # what of an edge is measured and how; other units are none
        what["by"] = "lowest_way, rises undone, logits, tops"
        what["ends"] = [self._digests[i], self._digests[j]]
        return Unit(f"edge-{i}-{j}", what, partial(self._join, pair))

    def _edges(self, run: Run) -> list[tuple[Unit, Pair]]:
        """All edges asked for so far, none while minima are scored. A minimum whose scores are not
        finite is joined with none."""
        scores = rows_of(run, self._minimum_units(run))
        nodes = finite_losses(scores) if len(scores) == len(self.nodes) else {}
        pairs = self.pairs
        if self._asked is not None:
            pairs = [pair for pair in self._asked if nodes.keys() >= set(pair)]
        return asked_edges(run, nodes, pairs, partial(self._edge_unit, run))
