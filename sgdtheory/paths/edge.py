"""One edge of the graph of minima: the path between two of them, and what else joins them, all measured alike."""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sgdtheory.cloud import arc_positions, length, points_at, straight_length
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count
from sgdtheory.landscape import Cloud
from sgdtheory.learning_rate import is_measured
from sgdtheory.measured import Measured
from sgdtheory.paths.alignment import align
from sgdtheory.paths.autoneb import AutoNEB, Path, Search, rate_along
from sgdtheory.paths.curves import Curve, CurveLandscape, bezier, chain, curve_points
from sgdtheory.paths.profile import profile, train_losses
from sgdtheory.paths.string_sampling import String
from sgdtheory.paths.strings import Strings
from sgdtheory.paths.symmetry import symmetry
from sgdtheory.paths.top import index_of
from sgdtheory.paths.uses import after_the_path
from sgdtheory.run import UnitFolder, stop_if_asked
from sgdtheory.schedule import Cosine
from sgdtheory.sgd import SGD
from sgdtheory.stage import run_lowering, run_stage
from sgdtheory.streams import key, stream

SEARCH = "search"  # where a search stands, forgotten with the unit's other states
CONNECTED = 0.005  # of the straight line's barrier: a path below this counts as flat (the project's interface)
FORMULA_DENSE = 201  # points of a baseline on a formula: they cost nothing there
BEND_BATCH = 128  # of Bézier curves and chains
LEAST = 2_000  # examples that paths are judged by, where there are so many: a loss is then known to 2 % of its spread


@dataclass(frozen=True)
class Baselines:
    """The other ways to join two minima, with their budgets: `gradients` of a bend, `dense` points that are scored."""

    gradients: Count = 800
    dense: Count = 15


Method: TypeAlias = AutoNEB | Strings


def examples_for(method: Method, baselines: Baselines) -> int | None:
    """How many examples paths are judged by, so that judging costs what finding them does; None: all.

    A forward pass is a third of a gradient. A path that was found is scored on both sets at as many points as the search
    looked at, or fewer, and so are the points of four other ways.
    """
    if method.batch_size is None:
        return None
    gradients, points, _ = method.cost()
    descended = gradients * method.batch_size + 2 * baselines.gradients * BEND_BATCH
    return max(LEAST, 3 * descended // (2 * points + 8 * baselines.dense))


def suited(method: Method, landscape: Any) -> Method:
    """The method as this landscape needs it: AutoNEB has settings of its own for formulas, strings see to it themselves."""
    return method.on_formula() if isinstance(method, AutoNEB) and not hasattr(landscape, "score") else method


def find_path(
    landscape: Any, method: Method, ends: Cloud, seed: int, folder: UnitFolder, share: tuple[float, float]
) -> tuple[Path, dict[str, Any]]:
    """The path by one of the methods, from the newest state in the folder, and what to tell of how it was found."""
    if isinstance(method, Strings):
        return find_string(landscape, method, ends, seed, folder, share)
    path = find_band(landscape, method, ends, seed, folder, share)
    return path, {"method": "autoneb", "cycles": len(method.cycles), "learning_rate": path.learning_rate}


def find_string(
    landscape: Any, strings: Strings, ends: Cloud, seed: int, folder: UnitFolder, share: tuple[float, float]
) -> tuple[Path, dict[str, Any]]:
    """The string, with a state after each depth; `cycles` are its depths."""
    found = folder.marked(SEARCH)
    string = None if found is None else String(**_on(ends, found[0]), **_known(String, found[1]))
    string = string if string is None else string._replace(tops=string.tops.cpu())
    strings = strings.settled(landscape, ends, seed)

    def watch() -> None:
        depth = 0 if string is None else string.depth
        folder.tell(share[0] + (share[1] - share[0]) * depth / (depth + 3), f"string, depth {depth}")
        stop_if_asked()

    for newest in strings.grown(landscape, ends, seed, watch, string):
        tensors = {"path": newest.path, "tops": newest.tops}
        kept = {name: value for name, value in newest._asdict().items() if name not in tensors}
        folder.mark(SEARCH, tensors, kept)
        string = newest
    assert string is not None
    facts: dict[str, Any] = {"method": "string_sampling", "cycles": string.depth, "beads": string.beads}
    if strings.learning_rate != "auto":
        facts |= {"learning_rate": strings.learning_rate}
    level = strings.threshold_of(landscape, ends)
    return strings.path_of(string), {**facts, "threshold": level, "found": not string.why, "found_why": string.why or None}


def find_band(landscape: Any, autoneb: AutoNEB, ends: Cloud, seed: int, folder: UnitFolder, share: tuple[float, float]) -> Path:
    """The lowest path by AutoNEB, from the newest state in the folder; a state a cycle, and checkpoints inside cycles."""
    found = folder.marked(SEARCH)
    state = None if found is None else Search(**_on(ends, found[0]), **_facts(found[1]))
    attempts = len(autoneb.multiples)
    cycles = attempts * len(autoneb.cycles)

    def descend(name: str, sgd: SGD, cloud: Cloud, band: Any, seed: int) -> Cloud:
        _, attempt, _, cycle = name.split("-")
        done = min(cycles - 1, int(attempt) * len(autoneb.cycles) + int(cycle))
        width = (share[1] - share[0]) / cycles
        inside = (share[0] + done * width, share[0] + (done + 1) * width)
        return run_stage(folder, name, sgd, landscape, cloud, seed, band, inside)

    def evaluate(points: Tensor) -> Tensor:
        return train_losses(landscape, points)

    for newest in autoneb.run(landscape, ends, seed, evaluate, descend, state):
        folder.mark(SEARCH, newest.tensors(), newest.facts())
        state = newest
    assert state is not None
    return autoneb.finish(state, evaluate)


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    known = _known(Search, facts)
    return {**known, "best_excess": float("inf") if known["best_excess"] is None else known["best_excess"]}


def _known(kind: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name in kind._fields}


def _on(ends: Cloud, tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.to(ends.device) for name, tensor in tensors.items()}


def join(
    landscape: Any, method: Method, baselines: Baselines, ends: Cloud, seed: int, folder: UnitFolder
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything about one pair: (row of results, tensors to keep)."""
    formula = not hasattr(landscape, "score")
    path, facts = find_path(landscape, suited(method, landscape), ends, seed, folder, (0.0, 0.75))
    folder.tell(0.75, "measuring the path")
    along = profile(landscape, points_at(path.pivots, path.t), path.t)
    baselines = replace(baselines, dense=FORMULA_DENSE) if formula else baselines
    straight = profile(landscape, *_line(ends, baselines.dense))
    barrier, line = along.barrier(formula), straight.barrier(formula)
    assert barrier.value is not None and line.value is not None
    ratio = length(path.pivots) / straight_length(path.pivots)
    spent = {"gradients": path.gradients, "evaluations": path.evaluations, "length_ratio": ratio, "attempts": path.attempts}
    place = {"pivots": len(path.pivots), **facts, "saddle_at": along.saddle_at}
    above = along.barrier_above_line()
    row: dict[str, Any] = {
        "verdict": verdict(barrier, line, formula),
        "linear": straight.row(gradients=0, evaluations=baselines.dense, length_ratio=1.0),
        "path": along.row(**spent, **place, **index_of(landscape, path, along)),
        "barrier": {"value": barrier.value, "stderr": barrier.stderr},
        "straight_barrier": {"value": line.value, "stderr": line.stderr},
        **above.columns("barrier_above_line"),
        "curves": {"path": along.curves(), "linear": straight.curves()},
    }
    folder.tell(0.8, "aligning")
    row |= _aligned(landscape, ends, baselines, seed, row["curves"])
    row |= _bent(landscape, ends, baselines, seed, folder, row["curves"])
    if not formula:
        row |= {"examples": landscape.scored, "all_examples": landscape.scored == landscape.count}
        row |= after_the_path(landscape, path, along)
    return row, {"path": path.pivots, "t": arc_positions(path.pivots)}


def verdict(barrier: Measured, line: Measured, formula: bool) -> str:
    """What the two barriers say, in words."""
    assert barrier.value is not None and line.value is not None and barrier.stderr is not None
    if formula:
        return f"barrier {barrier.value:.6g}, the straight line has {line.value:.6g}"
    flat = barrier.value <= max(2 * barrier.stderr, CONNECTED * line.value)
    found = "connected" if flat else "not connected at this budget"
    return f"{found}: barrier {barrier}, the straight line has {line.value:.2g}"


def _line(ends: Cloud, dense: int) -> tuple[Cloud, Tensor]:
    t = torch.linspace(0, 1, dense, dtype=torch.float64, device=ends.device)
    return points_at(ends, t), t


def _aligned(landscape: Any, ends: Cloud, baselines: Baselines, seed: int, curves: dict[str, Any]) -> dict[str, Any]:
    """The straight line after the second network's hidden units were renumbered to be close to the first's."""
    if not hasattr(landscape, "module"):
        return {"aligned": None, "aligned_why": "only networks have hidden units to renumber"}
    try:
        units = symmetry(landscape.module, landscape.data.shape)
    except Mistake as unknown:
        return {"aligned": None, "aligned_why": str(unknown)}
    moved = align(units, ends[1].cpu(), ends[0].cpu(), stream(seed, "align")).to(ends)
    line = profile(landscape, *_line(torch.stack([ends[0], moved]), baselines.dense))
    curves["aligned"] = line.curves()
    ratio = float((moved - ends[0]).norm() / (ends[1] - ends[0]).norm())
    barrier = line.barrier()
    return {
        "aligned": line.row(gradients=0, evaluations=baselines.dense, length_ratio=ratio),
        "aligned_barrier": {"value": barrier.value, "stderr": barrier.stderr},
    }


def _bent(
    landscape: Any, ends: Cloud, baselines: Baselines, seed: int, folder: UnitFolder, curves: dict[str, Any]
) -> dict[str, Any]:
    """Curves with one bend, trained on their mean loss by the one loop."""
    rows = {}
    for name, curve in (("bezier", bezier), ("chain", chain)):
        inner = CurveLandscape(landscape, ends, curve)
        bend = inner.init(1, stream(seed, name)).to(ends)
        batch = min(BEND_BATCH, landscape.count) if hasattr(landscape, "count") else None
        sgd = SGD(baselines.gradients, batch, "auto", Cosine(), 0.9)
        if batch is not None:
            sgd = replace(sgd, learning_rate=bend_rate(landscape, sgd, ends, curve, seed))
        bend, sgd = run_lowering(folder, name, sgd, inner, bend, key(seed, name), (0.85, 0.95))
        t = torch.linspace(0, 1, baselines.dense, dtype=torch.float64, device=ends.device)
        points = curve_points(curve, ends, bend[0], t)
        along = profile(landscape, points, t)
        curves[name] = along.curves()
        ratio = length(curve_points(curve, ends, bend[0], torch.linspace(0, 1, 65))) / straight_length(ends)
        spent = {"gradients": baselines.gradients, "evaluations": baselines.dense, "learning_rate": sgd.learning_rate}
        rows[name] = along.row(**spent, length_ratio=ratio)
    return rows


def bend_rate(landscape: Any, sgd: SGD, ends: Cloud, curve: Curve, seed: int) -> float:
    """A learning rate for the bend of a curve φ: that of the straight line over max_t w₁(t)², for the curvature of L(φ(t))
    in the bend is w₁²H; the landscape's own number where it has one."""
    rate = rate_along(landscape, sgd, ends, key(seed, "bend"))
    if not is_measured(landscape):
        return rate
    weights = curve(torch.linspace(0, 1, 65, dtype=torch.float64))[:, 1]
    return rate / float(weights.square().max())
