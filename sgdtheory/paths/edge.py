"""One edge of the graph of minima: the path between two of them, and what else joins them, all
measured alike."""

from dataclasses import replace

from sgdtheory.landscapes.derived.scored_once import scored_once
from sgdtheory.optim.adam import AdamSettings
from sgdtheory.paths.baselines import BENT, Baselines, Ways
from sgdtheory.paths.budget import EdgeProgress, edge_progress
from sgdtheory.paths.ensembling import ensembling
from sgdtheory.paths.path import FoundPath
from sgdtheory.paths.profile import Profile
from sgdtheory.paths.saddle_index import saddle_index
from sgdtheory.paths.search import PathMethod, Progress
from sgdtheory.paths.verdict import doubts_of, is_flat, verdict_of
from sgdtheory.paths.ways import lowest_way
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.roles.examples import count_of, is_scored
from sgdtheory.roles.facts import objective_gap, scored_count_of
from sgdtheory.runs.extra import extra
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.rows import Row

FORMULA_DENSE = 201  # points of a baseline on a formula: they cost nothing there


def join(
    landscape: Landscape,
    method: PathMethod,
    baselines: Baselines,
    ends: Cloud,
    seed: int,
    folder: UnitFolder,
    adam: AdamSettings | None = None,
) -> tuple[Row, TensorsByName]:
    """Everything about one pair of minima, ends [2, n]: (row of results, tensors to keep).

    The path and its barrier are what an edge is for. All else is extra: what a module cannot give
    is null, with the reason. `adam`: what bends descend by, not SGD.
    """
    landscape = scored_once(landscape)
    if not is_scored(landscape):
        baselines = replace(baselines, dense=FORMULA_DENSE)
    method = method.adapted_to(landscape)
    progress = edge_progress(landscape, method, baselines, ends)
    searching = Progress(0.0, progress.searched, progress.step)
    found = method.find(landscape, ends, seed, folder, searching)
    row = _path_row(landscape, found)
    ways = Ways(landscape, baselines, ends, seed, folder, adam)
    _add_other_ways(row, ways, progress)
    row["lowest_way"] = lowest_way(row)
    if is_scored(landscape) and not doubts_of(landscape, found.along):
        _lengthen(row, ways, progress)
    folder.tell(progress.bent, "what the path is good for")
    if is_scored(landscape):
        row |= _examples(landscape, found.along)
        row |= ensembling(landscape, found.path, found.along)
    row["verdict"] = verdict_of(landscape, found.along, row)
    tensors = {"path": found.path.pivots, "t": found.path.arcs, **ways.renumbering()}
    return row, tensors


def join_by_lines(
    landscape: Landscape, baselines: Baselines, ends: Cloud, seed: int, folder: UnitFolder
) -> tuple[Row, TensorsByName]:
    """The straight line between ends [2, n] and the aligned one alone, as an edge has them."""
    landscape = scored_once(landscape)
    if not is_scored(landscape):
        baselines = replace(baselines, dense=FORMULA_DENSE)
    ways = Ways(landscape, baselines, ends, seed, folder)
    row: Row = {}
    for of_way in _lines(ways):
        of_way.pop("curves", None)
        row |= of_way
    return row, ways.renumbering()


def _path_row(landscape: Landscape, found: FoundPath) -> Row:
    """What is measured of the path itself, and its barrier over each end."""
    path = found.path
    along = found.along
    spent = {
        "gradients": found.gradients,
        "evaluations": found.evaluations,
        "length_ratio": path.length_ratio,
        "attempts": found.attempts,
    }
    place = {"pivots": len(path.pivots), **found.facts, "saddle_at": along.saddle_at}
    (top,) = path.at(path.t[along.worst][None])

    def gap() -> Row:
        return objective_gap(landscape, top).columns("objective_gap")

    def above_line() -> Row:
        return along.barrier_above_line().columns("barrier_above_line")

    place |= extra(["objective_gap"], gap)
    row = along.row(**spent, **place)
    row |= extra(["index"], lambda: saddle_index(landscape, path, along))
    barrier = along.barrier()
    over_ends = [along.barrier_from(end) for end in (0, -1)]
    return {
        "path": row,
        "barrier": {"value": barrier.value, "stderr": barrier.stderr},
        "barrier_from": [over.value for over in over_ends],
        "barrier_from_stderr": [over.stderr for over in over_ends],
        **extra(["barrier_above_line"], above_line),
        "curves": {"path": along.curves()},
    }


def _add_other_ways(row: Row, ways: Ways, progress: EdgeProgress) -> None:
    """The columns of the other ways, and their losses among the row's curves."""
    ways.folder.tell(progress.measured, "aligning")
    columns = _lines(ways)
    for k, name in enumerate(BENT):
        columns.append(ways.bent(name, progress.of_bend(k)))
    for of_way in columns:
        row["curves"] |= of_way.pop("curves", {})
        row |= of_way


def _lengthen(row: Row, ways: Ways, progress: EdgeProgress) -> None:
    """Bézier curves of more gradients and bends, while no way joins the pair."""
    if row["bezier"] is None:
        return
    for baselines in ways.baselines.lengthened:
        if is_flat(row):
            return
        longer = replace(ways, baselines=baselines)
        row |= longer.longer_bezier(row, (progress.aligned, progress.bent))
        row["lowest_way"] = lowest_way(row)


def _lines(ways: Ways) -> list[Row]:
    """The columns of the straight line and of the aligned one."""
    return [
        extra(["linear", "straight_barrier"], ways.straight),
        extra(["aligned", "aligned_barrier"], ways.aligned),
    ]


def _examples(landscape: Landscape, along: Profile) -> Row:
    """How many training examples the ways are judged by, and whether that is all of them."""
    scored = scored_count_of(landscape)
    count = count_of(landscape)
    if scored is None:
        scored = along.train_losses.shape[1]
    are_all = count is None or scored == count
    return {"examples": scored, "all_examples": are_all}
