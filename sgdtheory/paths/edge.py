"""One edge of the graph of minima: the path between two of them, and what else joins them, all measured alike."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from math import inf
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from sgdtheory.cloud import arc_positions, length, points_at, straight_length
from sgdtheory.estimate import estimate_scores, seconds_of_step
from sgdtheory.extra import FAULTS, extra, nothing, reason
from sgdtheory.folder import Damaged
from sgdtheory.kinds import Count
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.learning_rate import is_measured
from sgdtheory.measured import Measured
from sgdtheory.paths.alignment import align
from sgdtheory.paths.autoneb import AutoNEB, Error, Path, Search, rate_along
from sgdtheory.paths.curves import Curve, CurveLandscape, bezier, chain, curve_points
from sgdtheory.paths.profile import Profile, profile, train_losses
from sgdtheory.paths.string_sampling import String
from sgdtheory.paths.strings import DENSE, Strings
from sgdtheory.paths.symmetry import symmetry
from sgdtheory.paths.top import index_of
from sgdtheory.paths.uses import after_the_path
from sgdtheory.paths.ways import lowest_way, words_of
from sgdtheory.roles import count_of, has_examples, is_network, is_scored, objective_gap
from sgdtheory.run import UnitFolder, stop_if_asked
from sgdtheory.schedule import Cosine
from sgdtheory.sgd import SGD
from sgdtheory.stage import run_lowering, run_stage
from sgdtheory.streams import key, stream
from sgdtheory.trained import untrained

SEARCH = "search"  # where a search stands, forgotten with the unit's other states
CONNECTED = 0.005  # of the straight line's barrier: a path below this counts as flat (the project's interface)
FORMULA_DENSE = 201  # points of a baseline on a formula: they cost nothing there
BEND_BATCH = 128  # of Bézier curves and chains
BENDS: dict[str, Curve] = {"bezier": bezier, "chain": chain}
REST = 20  # points that are scored for what a path is good for
SAME = 1e-6  # of its length: an end that is no further from the other, once aligned, is that end but for rounding
APART = "not connected at this budget"
LEAST = 2_000  # examples that paths are judged by, where there are so many: a loss is then known to 2 % of its spread


@dataclass(frozen=True)
class Baselines:
    """The other ways to join two minima, with their budgets: `gradients` of a bend, `dense` points that are scored."""

    gradients: Count = 800
    dense: Count = 15


Method: TypeAlias = AutoNEB | Strings
Step: TypeAlias = Callable[[int], float]  # pivots → what a step of them all costs


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


def suited(method: Method, landscape: Landscape) -> Method:
    """The method as this landscape needs it: AutoNEB has settings of its own for formulas, strings see to it themselves."""
    return method.on_formula() if isinstance(method, AutoNEB) and not is_scored(landscape) else method


def find_path(
    landscape: Landscape,
    method: Method,
    ends: Cloud,
    seed: int,
    folder: UnitFolder,
    share: tuple[float, float],
    step: Step = float,
) -> tuple[Path, dict[str, Any]]:
    """The path by one of the methods, from the newest state in the folder, and what to tell of how it was found.

    `share`: the part of the unit's progress that is the search's; `step`: what a step costs at so many pivots.
    """
    if isinstance(method, Strings):
        return find_string(landscape, method, ends, seed, folder, share)
    path = find_band(landscape, method, ends, seed, folder, share, step)
    return path, {
        "method": "autoneb",
        "cycles": len(method.cycles),
        "learning_rate": path.learning_rate,
    }


def find_string(
    landscape: Landscape,
    strings: Strings,
    ends: Cloud,
    seed: int,
    folder: UnitFolder,
    share: tuple[float, float],
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
    facts: dict[str, Any] = {
        "method": "string_sampling",
        "cycles": string.depth,
        "beads": string.beads,
    }
    if strings.learning_rate != "auto":
        facts |= {"learning_rate": strings.learning_rate}
    level = strings.threshold_of(landscape, ends)
    return strings.path_of(string), {
        **facts,
        "threshold": level,
        "found": not string.why,
        "found_why": string.why or None,
    }


def error_of(landscape: Landscape) -> Error | None:
    """What gives the standard error, over training examples, of the difference of two losses."""
    if not is_scored(landscape):
        return None

    def error(pair: Cloud) -> float:
        losses = landscape.score(pair, "train").losses.cpu()
        return Measured.mean(losses[0] - losses[1]).stderr or 0.0

    return error


def find_band(
    landscape: Landscape,
    autoneb: AutoNEB,
    ends: Cloud,
    seed: int,
    folder: UnitFolder,
    share: tuple[float, float],
    step: Step = float,
) -> Path:
    """The lowest path by AutoNEB, from the newest state in the folder; a state a cycle, and checkpoints inside cycles."""
    found = folder.marked(SEARCH)
    state = None if found is None else Search(**_on(ends, found[0]), **_facts(found[1]))
    over = [
        0.0,
        *accumulate(part for _ in autoneb.multiples for part in _parts(autoneb, step)),
    ]  # after so many cycles

    def descend(name: str, sgd: SGD, cloud: Cloud, band: Any, seed: int) -> Cloud:
        _, attempt, _, cycle, *_ = name.split("-")
        done = min(len(over) - 2, int(attempt) * len(autoneb.cycles) + int(cycle))
        begin, end = (share[0] + (share[1] - share[0]) * part / over[-1] for part in over[done : done + 2])
        return run_stage(folder, name, sgd, landscape, cloud, seed, band, (begin, end))

    def evaluate(points: Tensor) -> Tensor:
        return train_losses(landscape, points)

    for newest in autoneb.run(landscape, ends, seed, evaluate, descend, state, error_of(landscape)):
        folder.mark(SEARCH, newest.tensors(), newest.facts())
        state = newest
    assert state is not None
    return autoneb.finish(state, evaluate)


def _parts(autoneb: AutoNEB, step: Step) -> list[float]:
    """What each cycle of an attempt costs: its steps, at the pivots it may have. The last take several times the first's."""
    pivots = accumulate(cycle.insert for cycle in autoneb.cycles)
    return [cycle.steps * step(max(1, count)) for cycle, count in zip(autoneb.cycles, pivots, strict=True)]


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a search as they were kept; none of them is ever None, but JSON has null for what is infinite."""
    return {name: inf if value is None else value for name, value in _known(Search, facts).items()}


def _known(kind: Any, facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name in kind._fields}


def _on(ends: Cloud, tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.to(ends.device) for name, tensor in tensors.items()}


def join(
    landscape: Landscape,
    method: Method,
    baselines: Baselines,
    ends: Cloud,
    seed: int,
    folder: UnitFolder,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything about one pair: (row of results, tensors to keep).

    The path and its barrier are what an edge is for. All else is extra: what a module cannot give is null, with the reason.
    """
    formula = not is_scored(landscape)
    method = suited(method, landscape)
    baselines = replace(baselines, dense=FORMULA_DENSE) if formula else baselines
    part = shares(landscape, method, baselines, ends)
    path, facts = find_path(landscape, method, ends, seed, folder, (0.0, part.searched), part.step)
    folder.tell(part.searched, "measuring the path")
    along = profile(landscape, points_at(path.pivots, path.t), path.t)
    ratio = length(path.pivots) / straight_length(path.pivots)
    spent = {
        "gradients": path.gradients,
        "evaluations": path.evaluations,
        "length_ratio": ratio,
        "attempts": path.attempts,
    }
    place = {"pivots": len(path.pivots), **facts, "saddle_at": along.saddle_at}
    top = points_at(path.pivots, path.t[along.worst][None])[0]
    place |= extra(["objective_gap"], lambda: objective_gap(landscape, top).columns("objective_gap"))
    barrier, over = along.barrier(), [along.barrier_from(end) for end in (0, -1)]
    row: dict[str, Any] = {
        "path": along.row(**spent, **place) | extra(["index"], lambda: index_of(landscape, path, along)),
        "barrier": {"value": barrier.value, "stderr": barrier.stderr},
        "barrier_from": [each.value for each in over],
        "barrier_from_stderr": [each.stderr for each in over],
        **extra(["barrier_above_line"], lambda: along.barrier_above_line().columns("barrier_above_line")),
        "curves": {"path": along.curves()},
    }
    folder.tell(part.measured, "aligning")
    row |= extra(["linear", "straight_barrier"], lambda: _straight(landscape, ends, baselines, row["curves"]))
    row |= extra(
        ["aligned", "aligned_barrier"],
        lambda: _aligned(landscape, ends, baselines, seed, row["curves"]),
    )
    for k, name in enumerate(BENDS):
        width = (part.bent - part.aligned) / len(BENDS)
        share = (part.aligned + k * width, part.aligned + (k + 1) * width)
        row |= _bent(landscape, ends, baselines, seed, folder, row["curves"], name, share)
    folder.tell(part.bent, "what the path is good for")
    if not formula:
        scored, count = (
            getattr(landscape, "scored", along.train_losses.shape[1]),
            count_of(landscape),
        )
        row |= {"examples": scored, "all_examples": count is None or scored == count}
        row |= after_the_path(landscape, path, along)
    row["lowest_way"] = lowest_way(row)
    doubts = "; ".join(doubts_of(landscape, along))
    row["verdict"] = f"cannot be said: {doubts}" if doubts else verdict(row, formula)
    return row, {"path": path.pivots, "t": arc_positions(path.pivots)}


class Shares(NamedTuple):
    """Where the parts of an edge are over, as fractions of the whole, and what a step of the search costs at k pivots."""

    searched: float
    measured: float
    aligned: float
    bent: float
    step: Step


def shares(landscape: Landscape, method: Method, baselines: Baselines, ends: Cloud) -> Shares:
    """From a step of one point, a step of several and one look, all measured: on a small network what a step costs is
    mostly not its images. Progress alone depends on it."""
    gradients, points, kept = method.cost()
    attempts, beads = (len(method.multiples), kept) if isinstance(method, AutoNEB) else (1, 1)
    dense = (kept + 1) * (method.final_sub_points + 1) if isinstance(method, AutoNEB) else DENSE
    batch = min(BEND_BATCH, landscape.count) if has_examples(landscape) else None  # of a bend
    look = estimate_scores(landscape, ends[:1], 1).seconds
    one = seconds_of_step(landscape, batch, ends[:1])
    all_ = seconds_of_step(landscape, method.batch_size, ends[:1].repeat(beads, 1)) if beads > 1 else one
    each = max(0.0, all_ - one) / max(1, beads - 1)

    def step(pivots: int) -> float:
        return one + each * (pivots - 1)

    search = sum(_parts(method, step)) if isinstance(method, AutoNEB) else one * gradients
    costs = (
        attempts * (search + points * look),
        dense * look,
        2 * baselines.dense * look,
        len(BENDS) * (one * baselines.gradients + baselines.dense * look),
        REST * look,
    )
    over = [total / sum(costs) for total in accumulate(costs)]
    return Shares(over[0], over[1], over[2], over[3], step)


def doubts_of(landscape: Landscape, along: Profile) -> list[str]:
    """Why nothing can be said of a path: of each end that is no minimum, the reason."""
    losses = along.train_losses.mean(1)
    found = []
    for end, name in ((0, "first"), (-1, "second")):
        if why := untrained(landscape, float(losses[end])):
            found.append(f"the {name} end is not trained: {why}")
    return found


def verdict(row: dict[str, Any], formula: bool) -> str:
    """What the lowest of all ways says beside the straight line, in words."""
    name, found = row["lowest_way"]["name"], row["lowest_way"]["barrier"]
    barrier, line = (
        Measured(found["value"], found["stderr"]),
        (row["straight_barrier"] or {"value": None})["value"],
    )
    way = words_of(name, row)
    if formula:
        beside = "" if line is None else f", the straight line has {line:.6g}"
        return f"barrier {barrier.value:.6g} by {way}{beside}"
    beside = "" if line is None else f", the straight line has {line:.2g}"
    said = f"barrier {barrier}{beside}"
    return f"connected by {way}: {said}" if is_flat(row) else f"{APART}: lowest by {way}, {said}"


def is_flat(row: dict[str, Any]) -> bool:
    """Whether the lowest way rises by no more than its own error, or a straight line's that does not count."""
    found, line = row["lowest_way"]["barrier"], (row["straight_barrier"] or {"value": 0.0})["value"]
    return bool(found["value"] <= max(2 * (found["stderr"] or 0.0), CONNECTED * line))


def _line(ends: Cloud, dense: int) -> tuple[Cloud, Tensor]:
    """Points of a straight line; its ends may be one point, as those of an aligned copy are."""
    t = torch.linspace(0, 1, dense, dtype=torch.float64, device=ends.device)
    return torch.lerp(ends[:1], ends[1:], t.to(ends)[:, None]), t


def _straight(landscape: Landscape, ends: Cloud, baselines: Baselines, curves: dict[str, Any]) -> dict[str, Any]:
    line = profile(landscape, *_line(ends, baselines.dense))
    row = line.row(gradients=0, evaluations=baselines.dense, length_ratio=1.0)
    curves["linear"] = line.curves()
    return {"linear": row, "straight_barrier": row["barrier"]}


def _aligned(landscape: Landscape, ends: Cloud, baselines: Baselines, seed: int, curves: dict[str, Any]) -> dict[str, Any]:
    """The straight line after the second network's hidden units were renumbered to be close to the first's."""
    if not is_network(landscape):
        return {"aligned": None, "aligned_why": "only networks have hidden units to renumber"}
    units = symmetry(landscape.module, landscape.data.shape)
    moved = align(units, ends[1].cpu(), ends[0].cpu(), stream(seed, "align")).to(ends)
    line = profile(landscape, *_line(torch.stack([ends[0], moved]), baselines.dense))
    apart = float((moved - ends[0]).norm())
    row = line.row(
        gradients=0,
        evaluations=baselines.dense,
        length_ratio=apart / float((ends[1] - ends[0]).norm()),
    )
    curves["aligned"] = line.curves()
    same = apart <= SAME * float(ends[0].norm())
    return {"aligned": {**row, "same_function": same}, "aligned_barrier": row["barrier"]}


def _bent(
    landscape: Landscape, ends: Cloud, baselines: Baselines, seed: int, folder: UnitFolder, curves: dict[str, Any],
    name: str, share: tuple[float, float],
) -> dict[str, Any]:  # fmt: skip
    """A curve with one bend; one that could not be trained is null, and after an interruption it is not tried again."""
    failed = folder.marked(f"{name}-failed")
    if failed is not None:
        return nothing([name], failed[1]["why"])
    try:
        return _bend(landscape, ends, baselines, seed, folder, curves, name, share)
    except Damaged:
        raise
    except FAULTS as fault:
        folder.mark(f"{name}-failed", {}, {"why": reason(fault)})  # with what it has logged, so that the log is one
        return nothing([name], reason(fault))


def _bend(
    landscape: Landscape, ends: Cloud, baselines: Baselines, seed: int, folder: UnitFolder, curves: dict[str, Any],
    name: str, share: tuple[float, float],
) -> dict[str, Any]:  # fmt: skip
    """A curve with one bend, trained on its mean loss by the one loop."""
    curve = BENDS[name]
    inner = CurveLandscape(landscape, ends, curve)
    bend = inner.init(1, stream(seed, name)).to(ends)
    batch = min(BEND_BATCH, landscape.count) if has_examples(landscape) else None
    sgd = SGD(baselines.gradients, batch, "auto", Cosine(), 0.9)
    if batch is not None:
        sgd = replace(sgd, learning_rate=bend_rate(landscape, sgd, ends, curve, seed))
    bend, sgd = run_lowering(folder, name, sgd, inner, bend, key(seed, name), share)
    t = torch.linspace(0, 1, baselines.dense, dtype=torch.float64, device=ends.device)
    along = profile(landscape, curve_points(curve, ends, bend[0], t), t)
    ratio = length(curve_points(curve, ends, bend[0], torch.linspace(0, 1, 65))) / straight_length(ends)
    spent = {
        "gradients": baselines.gradients,
        "evaluations": baselines.dense,
        "learning_rate": sgd.learning_rate,
    }
    row = along.row(**spent, length_ratio=ratio)
    curves[name] = along.curves()
    return {name: row}


def bend_rate(landscape: Landscape, sgd: SGD, ends: Cloud, curve: Curve, seed: int) -> float:
    """A learning rate for the bend of a curve φ: that of the straight line over max_t w₁(t)², for the curvature of L(φ(t))
    in the bend is w₁²H; the landscape's own number where it has one."""
    rate = rate_along(landscape, sgd, ends, key(seed, "bend"))
    if not is_measured(landscape):
        return rate
    weights = curve(torch.linspace(0, 1, 65, dtype=torch.float64))[:, 1]
    return rate / float(weights.square().max())
