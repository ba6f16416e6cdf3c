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
from sgdtheory.errors import UserError
from sgdtheory.landscape import Landscape
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.claims import Findings
from sgdtheory.paths.edge import Baselines, Method, examples_for, join, suited
from sgdtheory.paths.graph import (
    Edge,
    Pair,
    disconnectivity,
    next_pairs,
    spanning_tree,
    tree_means,
    violations,
)
from sgdtheory.paths.plane import plane
from sgdtheory.paths.strings import Strings
from sgdtheory.pipelines.checkpoints import AS_FOUND, Checkpoint
from sgdtheory.pipelines.starting_points import STARTS, Given, constants_to_keep, digest_of, given
from sgdtheory.pipelines.train import Dtype, describe_point
from sgdtheory.rng import key
from sgdtheory.roles import is_network, is_scored
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.run import Run, results_of
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Results

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
        given, count = len(self.points), len(self.nodes)
        if given > 1 and count < 2:
            raise UserError(
                f"minima: all {given} are one and the same point, and a path has two ends; "
                f"give another minimum"
            )
        if count < 2:
            raise UserError(
                f"minima: a path has two ends, and there is {count} minimum; give at least two"
            )
        # refuses pairs that are not there
        next_pairs(dict.fromkeys(range(given), 0.0), {}, pairs=self.pairs)
        for pair, (i, j) in zip(self.pairs, self._asked or [], strict=False):
            if i == j:
                raise UserError(
                    f"pairs: {pair[0]} and {pair[1]} are the same point; a path has two ends"
                )

    @cached_property
    def given(self) -> Given:
        """The minima as they were read."""
        return given(self.landscape, self.minima, self.checkpoint, getattr(torch, self.dtype))

    @property
    def said(self) -> list[str]:
        """What was taken of each file, a line each."""
        return [] if self.minima is None else self.given.said

    def identity(self, science: Mapping[str, Any]) -> Mapping[str, Any]:
        """The run's identity: the points themselves in the place of files."""
        return (
            science
            if self.minima is None
            else self.given._replace(points=self.points).identity(science)
        )

    @cached_property
    def points(self) -> Tensor:
        """The minima as they are given; one may be there twice."""
        cloud = self.given.points
        return cloud.to(
            torch.float64 if cloud.dtype == torch.float64 else getattr(torch, self.dtype)
        )

    @cached_property
    def _firsts(self) -> list[int]:
        """Of each point that is given the first that is the same: in all bits, on a formula up to
        rounding."""
        near = 0.0 if is_scored(self.landscape) else SAME
        found: list[int] = []
        for i, theta in enumerate(self.points):
            room = near * (1 + float(theta.norm()))
            same = (
                j for j in dict.fromkeys(found) if float((theta - self.points[j]).norm()) <= room
            )
            found.append(next(same, i))
        return found

    @cached_property
    def nodes(self) -> Tensor:
        """The minima [P, n] that are joined, no two of them the same point; they are numbered in
        this order."""
        return self.points[list(dict.fromkeys(self._firsts))]

    @cached_property
    def _asked(self) -> list[Pair] | None:
        """The pairs that were named, in the numbers of `nodes`; None where none were."""
        if isinstance(self.pairs, str):
            return None
        numbers = {first: k for k, first in enumerate(dict.fromkeys(self._firsts))}
        asked = (sorted(numbers[self._firsts[end]] for end in pair) for pair in self.pairs)
        return list(dict.fromkeys((i, j) for i, j in asked))

    def units(self, run: Run) -> list[Unit]:
        units = self._minimum_units(run)
        if all(run.result(unit) is not None for unit in units):
            edges = [unit for unit, _ in self._edges(run)]
            on_minima, on_paths = (
                units_of(self.diagnostic, self.landscape, units, run),
                units_on_paths(self.diagnostic, self.landscape, edges, run),
            )
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
        ends = [self._digests[end] for end in pair]
        row, tensors = join(
            self._judged,
            self._method,
            self.baselines,
            self.nodes[list(pair)],
            key(self.seed, "edge", *ends),
            folder,
        )
        folder.finish({"row": row}, tensors)

    def finish(self, run: Run) -> Results:
        units = self._minimum_units(run)
        minima = [row for unit in units for row in (run.result(unit) or {"rows": []})["rows"]]
        measured = units_of(self.diagnostic, self.landscape, units, run)
        columns = columns_of(measured, run, len(minima))
        minima = [{**row, **more} for row, more in zip(minima, columns, strict=True)]
        firsts = dict.fromkeys(self._firsts)
        minima = [
            row | {"source": self.given.sources[i]} for row, i in zip(minima, firsts, strict=False)
        ]
        nodes = _finite(minima)
        rows, edges, paths, clouds = [], {}, [], {"minima.safetensors": self._kept()}
        for unit, pair in self._edges(run) if len(minima) == len(self.nodes) else []:
            result = run.result(unit)
            if result is not None:
                rows.append({"pair": list(pair), **result["row"]})
                edges[pair] = _edge(result["row"])
                tensors = clouds[f"paths/{pair[0]}-{pair[1]}.safetensors"] = run.folder(
                    unit
                ).clouds()
                paths.append((unit, pair, tensors["t"]))
        tree = spanning_tree(nodes, edges)
        mean_minimum, mean_saddle = tree_means(nodes, edges)
        grouped = disconnectivity(nodes, edges)
        numbers = {
            "spanning_tree": [list(pair) for pair in tree],
            **mean_minimum.columns("mean_minimum_train_loss"),
            **mean_saddle.columns("mean_saddle_train_loss"),
            "minima_from": origin_of(self.minima),
            "merged": [[i, first] for i, first in enumerate(self._firsts) if i != first],
            "disconnectivity": {
                "leaves": grouped.leaves,
                "merges": [merge._asdict() for merge in grouped.merges],
            },
            "ultrametric_violations": [
                violation._asdict() for violation in violations(nodes, edges)
            ],
        }
        for unit in self._plane_units(run):
            numbers |= {"plane": (run.result(unit) or {}).get("plane")}
        points = points_of(self.diagnostic, self.landscape, paths, run)
        tables = {
            "minima": [{"name": str(i), **row} for i, row in enumerate(minima)],
            "edges": rows,
        }
        if points:
            tables, numbers = {**tables, "points": points}, {**numbers, "plots": pictures(points)}
        return Results(
            [*self._claims(rows, tree, minima), *self._merged()], tables, numbers, clouds
        )

    def _kept(self) -> dict[str, Tensor]:
        """The minima that were joined, constants, and the points as they were given where one was
        there twice."""
        again = {STARTS: self.points} if len(self.points) > len(self.nodes) else {}
        return {"minima": self.nodes, **again, **constants_to_keep(self.landscape)}

    def _cost_of_edge(self) -> Estimate:
        """From the cost of a gradient of one pivot, and of scoring one point."""
        from sgdtheory.paths.cost import estimate_edge

        return estimate_edge(
            self._judged, suited(self._method, self.landscape), self.baselines, self.nodes[:2]
        )

    def foresee(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """All units to come with their costs, edges too that are not asked for before the minima
        are scored.

        A tree has one fewer than minima, and which they are, the scores say; what may replace them
        is not counted.
        """
        from sgdtheory.optim.cost import estimate_scores

        edge = self._cost_of_edge()
        one, grid = (
            estimate_scores(self._judged, self.nodes[:1], points) for points in (2, self.plane**2)
        )
        costs = {"minimum": one, "plane": grid}
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
    def _method(self) -> Method:
        return self.autoneb if self.method == "autoneb" else self.strings

    @cached_property
    def _judged(self) -> Any:
        """The landscape, scored on as many examples as were asked for."""
        most = (
            examples_for(self._method, self.baselines) if self.examples == "auto" else self.examples
        )
        if not isinstance(most, int) or not is_network(self.landscape):
            return self.landscape
        return self.landscape.scored_on(most)

    @property
    def _sample(self) -> dict[str, int]:
        """What an edge that not all examples are looked at is known by besides."""
        return {} if self._judged is self.landscape else {"examples": self._judged.scored}

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
        how = "autoneb" if self.method == "autoneb" else "strings"
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
        nodes = _finite([(run.result(unit) or {})["rows"][0] for unit in self._minimum_units(run)])
        asked = self._asked
        pairs = self.pairs if asked is None else [pair for pair in asked if set(pair) <= set(nodes)]
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
                    edges[i, j] = _edge(result["row"])
                elif run.folder(unit).status["status"] == "failed":
                    failed.add((i, j))
                else:
                    waiting = True
            if waiting:
                break
        return found

    # what is said

    def _claims(
        self, rows: list[dict[str, Any]], tree: list[Pair], minima: list[dict[str, Any]]
    ) -> list[Claim]:
        """Where pairs were named, they alone are judged: nobody asked for a tree."""
        asked = self._asked
        chosen = [row for row in rows if asked or tuple(row["pair"]) in tree]
        ends = {end for pair in asked for end in pair} if asked else set(range(len(self.nodes)))
        wanted = len(asked) if asked else len(self.nodes) - 1
        return Findings(
            self.landscape, self.nodes, minima, chosen, ends, bool(asked), wanted
        ).claims()

    def _merged(self) -> list[Claim]:
        """That points which were given twice are one."""
        again = [(i, first) for i, first in enumerate(self._firsts) if i != first]
        if not again:
            return []
        given, left = len(self._firsts), len(self.nodes)
        pairs = ", ".join(f"{i} is {first} again" for i, first in again)
        words = (
            f"of {given} minima {left} are different points ({pairs}); each is taken "
            f"once, numbered in this order"
        )
        return [
            Claim("distinct", words, Measured(float(left)), f"{given}, each another point", False)
        ]


def _edge(row: dict[str, Any]) -> Edge:
    """An edge as the graph needs it: the lowest way, and the path that was searched for."""
    ends = [row["curves"]["path"]["train_loss"][i] for i in (0, -1)]
    lowest, line = row["lowest_way"]["barrier"], row["straight_barrier"] or {"value": 0.0}
    return Edge(
        lowest["value"],
        lowest["stderr"] or 0.0,
        line["value"],
        path=row["path"]["train_loss"] - max(ends),
    )


def _finite(minima: list[dict[str, Any]]) -> dict[int, float]:
    """The training loss of each minimum that has one."""
    return {i: row["train_loss"] for i, row in enumerate(minima) if row["train_loss"] is not None}


def origin_of(files: tuple[Path, ...] | None) -> dict[str, Any]:
    """Where the minima came from: a run, with its training error and when it ended, files, or the
    formula itself.

    Raises CorruptFile where the results of the run are not what it wrote.

    """
    if files is None:
        return {"landscape": "the minima that it states"}
    run = Folder(files[0].parent)
    manifest = run.read_json("manifest.json", {}) if len(files) == 1 else {}
    if files[0].name not in manifest.get("files", {}):
        return {"files": [str(file) for file in files]}
    rows = results_of(run.path, manifest).get("minima")
    known = [row["train_error"] for row in rows or [] if row.get("train_error") is not None]
    count = (
        {"minima": None, "minima_why": "the results of that run were not there"}
        if rows is None
        else {"minima": len(rows)}
    )
    facts = {**count, "train_error": max(known, default=None), "finished": manifest.get("finished")}
    return {"run": str(run.path), **facts}
