"""`sgdtheory connect`: pairs of minima are joined by low-loss paths, and the paths become a graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from sgdtheory.checkpoints import AS_FOUND, Checkpoint
from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, diagnose, units_of
from sgdtheory.diagnostics.pivots import pictures, points_of, units_on_paths
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Place, Whole
from sgdtheory.landscape import Landscape
from sgdtheory.measured import Claim, Measured, Results
from sgdtheory.minima import Given, digest_of, given
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.edge import Baselines, Method, examples_for, join, suited
from sgdtheory.paths.graph import Edge, Pair, disconnectivity, next_pairs, spanning_tree, tree_means, violations
from sgdtheory.paths.plane import plane
from sgdtheory.paths.strings import Strings
from sgdtheory.pipelines.train import Dtype, describe_point
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.streams import key


@dataclass(frozen=True)
class Connect:
    """A graph of minima whose edges are low paths, found by `method`: autoneb (Draxler et al. 2018, 1803.00885) or
    string_sampling (Freeman & Bruna 2017, 1611.01540).

    `minima`: files that hold them; None: those that the landscape states. `pairs`: tree (a spanning tree, whose highest
    edges are replaced while a lower one may exist), all, or the pairs themselves. Every minimum and every edge is a unit of
    work of its own, known by the content of what it joins. `examples`: how many training and how many test images paths are
    judged by, the same ones at every point; auto: so many that judging costs no more than descending, at least 2,000.
    `plane`: points a side of the loss in the plane through the first three minima (0: none).
    """

    landscape: Landscape
    autoneb: AutoNEB
    strings: Strings
    baselines: Baselines
    method: Literal["autoneb", "string_sampling"] = "autoneb"
    minima: Annotated[tuple[Path, ...] | None, Place] = None  # what they hold is part of the identity
    checkpoint: Annotated[Checkpoint, Place] = AS_FOUND
    pairs: Literal["tree", "all"] | list[tuple[int, int]] = "tree"
    examples: Count | Literal["auto", "all"] = "auto"
    plane: Whole = 11
    diagnostic: dict[str, Diagnostic] = field(default_factory=dict)
    dtype: Dtype = "float32"
    seed: Whole = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "landscape", self.given.landscape)
        count = len(self.points)
        if count < 2:
            raise Mistake(f"minima: a path has two ends, and there is {count} minimum; give at least two")
        for i in range(count):
            for j in range(i):
                if torch.equal(self.points[i], self.points[j]):
                    raise Mistake(f"minima: {j} and {i} are the same point; leave one of them out")
        next_pairs(dict.fromkeys(range(count), 0.0), {}, pairs=self.pairs)  # refuses pairs that are not there

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
        return science if self.minima is None else self.given._replace(points=self.points).identity(science)

    @cached_property
    def points(self) -> Tensor:
        """The minima [P, n]."""
        cloud = self.given.points
        return cloud.to(torch.float64 if cloud.dtype == torch.float64 else getattr(torch, self.dtype))

    def units(self, run: Run) -> list[Unit]:
        units = self._minimum_units(run)
        if all(run.result(unit) is not None for unit in units):
            edges = [unit for unit, _ in self._edges(run)]
            on_minima, on_paths = units_of(self.diagnostic, units, run), units_on_paths(self.diagnostic, edges, run)
            units += [*on_minima, *self._plane_units(run), *edges, *on_paths]
        return units

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if "diagnostic" in unit.science:
            diagnose(self.diagnostic, self.landscape, folder)
            return
        if "index" in unit.science:
            theta = self.points[unit.science["index"]]
            folder.finish({"rows": [describe_point(self.landscape, theta)]}, {"minima": theta[None]})
            return
        if "plane" in unit.science:
            found = plane(self._judged, self.points[:3], self.plane, folder.tell)
            folder.finish({"plane": found}, {"minima": self.points[:3]})
            return
        i, j = (self._digests.index(end) for end in unit.science["ends"])
        seed = key(self.seed, "edge", *unit.science["ends"])
        row, tensors = join(self._judged, self._method, self.baselines, self.points[[i, j]], seed, folder)
        folder.finish({"row": row}, tensors)

    def finish(self, run: Run) -> Results:
        units = self._minimum_units(run)
        minima = [row for unit in units for row in (run.result(unit) or {"rows": []})["rows"]]
        columns = columns_of(units_of(self.diagnostic, units, run), run, len(minima))
        minima = [{**row, **more} for row, more in zip(minima, columns, strict=True)]
        minima = [row | {"source": source} for row, source in zip(minima, self.given.sources, strict=False)]
        nodes = {i: row["train_loss"] for i, row in enumerate(minima)}
        rows, edges, paths, clouds = [], {}, [], {"minima.safetensors": {"minima": self.points, **self.given.stored()}}
        for unit, pair in self._edges(run) if len(nodes) == len(self.points) else []:
            result = run.result(unit)
            if result is not None:
                rows.append({"pair": list(pair), **result["row"]})
                edges[pair] = _edge(result["row"])
                tensors = clouds[f"paths/{pair[0]}-{pair[1]}.safetensors"] = run.folder(unit).clouds()
                paths.append((unit, pair, tensors["t"]))
        tree = spanning_tree(nodes, edges)
        mean_minimum, mean_saddle = tree_means(nodes, edges)
        grouped = disconnectivity(nodes, edges)
        numbers = {
            "spanning_tree": [list(pair) for pair in tree],
            **mean_minimum.columns("mean_minimum_train_loss"),
            **mean_saddle.columns("mean_saddle_train_loss"),
            "disconnectivity": {"leaves": grouped.leaves, "merges": [merge._asdict() for merge in grouped.merges]},
            "ultrametric_violations": [violation._asdict() for violation in violations(nodes, edges)],
        }
        for unit in self._plane_units(run):
            numbers |= {"plane": (run.result(unit) or {}).get("plane")}
        points = points_of(self.diagnostic, paths, run)
        tables = {"minima": [{"name": str(i), **row} for i, row in enumerate(minima)], "edges": rows}
        if points:
            tables, numbers = {**tables, "points": points}, {**numbers, "plots": pictures(points)}
        return Results(self._claims(rows, tree), tables, numbers, clouds)

    def estimate(self, unit: Unit) -> Estimate:
        """From the cost of a gradient of one pivot, and of scoring one point."""
        from sgdtheory.estimate import estimate_edge

        return estimate_edge(self._judged, suited(self._method, self.landscape), self.baselines, self.points[:2])

    @property
    def _method(self) -> Method:
        return self.autoneb if self.method == "autoneb" else self.strings

    @cached_property
    def _judged(self) -> Any:
        """The landscape, scored on as many examples as were asked for."""
        most = examples_for(self._method, self.baselines) if self.examples == "auto" else self.examples
        if not isinstance(most, int) or not hasattr(self.landscape, "scored_on"):
            return self.landscape
        return self.landscape.scored_on(most)

    @property
    def _sample(self) -> dict[str, int]:
        """What an edge that not all examples are looked at is known by besides."""
        return {} if self._judged is self.landscape else {"examples": self._judged.scored}

    # units

    @cached_property
    def _digests(self) -> list[str]:
        return [digest_of(theta) for theta in self.points]

    def _minimum_units(self, run: Run) -> list[Unit]:
        what = {"landscape": run.science["landscape"], "dtype": self.dtype, "score": True}
        return [Unit(f"minimum-{i}", {**what, "index": i, "point": point}) for i, point in enumerate(self._digests)]

    def _plane_units(self, run: Run) -> list[Unit]:
        """The plane through three minima."""
        if len(self.points) < 3 or not self.plane:
            return []
        what = {"landscape": run.science["landscape"], "dtype": self.dtype, **self._sample}
        return [Unit("plane", {**what, "plane": self.plane, "corners": self._digests[:3]})]

    def _edges(self, run: Run) -> list[tuple[Unit, Pair]]:
        """All edges asked for so far, in the order they were: what is finished decides what is asked for next."""
        nodes = {i: (run.result(unit) or {})["rows"][0]["train_loss"] for i, unit in enumerate(self._minimum_units(run))}
        how = "autoneb" if self.method == "autoneb" else "strings"  # an edge knows the one method that made it
        what = {name: run.science[name] for name in ("landscape", how, "baselines", "dtype", "seed")} | self._sample
        found: list[tuple[Unit, Pair]] = []
        edges: dict[Pair, Edge] = {}
        failed: set[Pair] = set()
        while wave := next_pairs(nodes, edges, failed, self.pairs):
            waiting = False
            for i, j in wave:
                unit = Unit(f"edge-{i}-{j}", {**what, "ends": [self._digests[i], self._digests[j]]})
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

    def _claims(self, rows: list[dict[str, Any]], tree: list[Pair]) -> list[Claim]:
        title = getattr(self.landscape, "title", type(self.landscape).__name__)
        # Where pairs were named, they alone are judged: nobody asked for a tree.
        asked = {tuple(sorted(pair)) for pair in self.pairs} if isinstance(self.pairs, list) else None
        chosen = [row for row in rows if asked or tuple(row["pair"]) in tree]
        if not chosen:
            nothing = Measured.nothing("no edge was finished")
            return [Claim("connected", f"no path between minima of {title}", nothing, "a low path", None)]
        highest = max(chosen, key=lambda row: row["barrier"]["value"])
        barrier = Measured(highest["barrier"]["value"], highest["barrier"]["stderr"], "nats")
        lines = [row["straight_barrier"]["value"] for row in chosen]
        joined = f"{len(tree) + 1} minima of {title} are"
        if asked:
            joined = f"{len(asked)} pairs of minima of {title} are" if len(asked) > 1 else f"a pair of minima of {title} is"
        if not hasattr(self.landscape, "score"):
            return [self._barrier_claim(joined.rpartition(" ")[0], barrier.value, max(lines))]
        flat = all(row["verdict"].startswith("connected") for row in chosen)
        flat = flat and len(chosen) == (len(asked) if asked else len(self.points) - 1)
        span = f"{min(lines):.2g}" if len(lines) == 1 else f"{min(lines):.2g} to {max(lines):.2g}"
        words = f"{joined} {'' if flat else 'not '}connected: highest barrier {barrier}, straight lines {span}"
        rise = max(row["path"]["test_error"] - max(row["curves"]["path"]["test_error"][i] for i in (0, -1)) for row in chosen)
        told = f"test error at the saddles is {100 * rise:+.2f} percentage points over the worse end, at most"
        return [
            Claim("connected", words, barrier, "≤ two standard errors, or 0.5 % of the straight line's", flat),
            Claim("test_error", told, Measured(rise), "≤ 0.01", rise <= 0.01),
        ]

    def _barrier_claim(self, joined: str, barrier: float | None, line: float) -> Claim:
        """A formula's highest barrier, against the one it states where the tree is that one edge."""
        assert barrier is not None
        words = f"{joined}: highest barrier {barrier:.6g}, of the straight lines {line:.6g}"
        if not hasattr(self.landscape, "barrier") or len(self.points) > 2:
            return Claim("barrier", words, Measured(barrier), "no stated value", None)
        stated = self.landscape.barrier()
        return Claim(
            "barrier", words, Measured(barrier), f"{stated:.6g} ± 0.3 %", abs(barrier - stated) <= 0.003 * stated + 1e-4
        )


def _edge(row: dict[str, Any]) -> Edge:
    ends = [row["curves"]["path"]["train_loss"][i] for i in (0, -1)]
    over = row["path"]["train_loss"] - max(ends)  # a formula's own barrier is over its first end
    return Edge(over, row["barrier"]["stderr"], row["straight_barrier"]["value"])
