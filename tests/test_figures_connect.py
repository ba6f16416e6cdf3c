"""The pictures of connect: what they show of a run, which of them there are, equal bytes, nothing
hidden by the scale."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from sgdtheory.report.figures.band_plane import band_plane
from sgdtheory.report.figures.disconnectivity import disconnectivity
from sgdtheory.report.figures.drawn import FIGURES
from sgdtheory.report.figures.edges import edges_table, tree_first
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.graph import graph
from sgdtheory.report.figures.plane import _paths, plane
from sgdtheory.report.figures.profiles import profiles
from sgdtheory.runs.folder import Folder

pytestmark = pytest.mark.pictures

LOSSES = (0.0021, 0.0024, 0.0022, 0.0026)  # of four minima
T = np.linspace(0, 1, 21)


def minimum(name: str, loss: float, formula: bool = False) -> dict[str, Any]:
    tests = (None, None) if formula else (0.07, 0.0194)
    scores = {
        "test_loss": tests[0],
        "test_error": tests[1],
        "train_error": None if formula else 0.0,
    }
    return {
        "name": name,
        "train_loss": loss,
        "train_loss_stderr": 0.0002,
        "objective": loss,
        "gradient_norm": 1e-9,
        **scores,
    }


def way(
    ends: tuple[float, float], rise: float, formula: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what stands at the worst point, the curve) of a hump of this height on the line between the
    ends."""
    losses = (1 - T) * ends[0] + T * ends[1] + rise * np.sin(np.pi * T) ** 2
    worst = {"train_loss": float(losses.max()), "train_loss_stderr": 0.0 if formula else 0.0003}
    errors = {"train_error": None, "test_loss": None, "test_error": None} if formula else {}
    errors = errors or {
        "train_error": 0.0,
        "test_loss": 0.08,
        "test_error": 0.0222,
        "test_error_stderr": 0.0069,
    }
    test = {
        name: None if formula else (shift + 5 * losses).tolist()
        for name, shift in (("test_loss", 0.07), ("test_error", 0.0))
    }
    return {**worst, **errors, "gradients": 1234, "evaluations": 15}, {
        "t": T.tolist(),
        "train_loss": losses.tolist(),
        **test,
    }


def edge(
    pair: tuple[int, int],
    losses: tuple[float, ...],
    rise: float,
    line: float,
    formula: bool = False,
) -> dict[str, Any]:
    ends = (losses[pair[0]], losses[pair[1]])
    heights = {
        "path": rise,
        "linear": line,
        "aligned": 0.3 * line,
        "bezier": 3 * rise,
        "chain": 4 * rise,
    }
    ways = {
        name: way(ends, height, formula)
        for name, height in heights.items()
        if not (formula and name == "aligned")
    }
    row: dict[str, Any] = (
        {"aligned": None, "aligned_why": "only networks have hidden units to renumber"}
        if formula
        else {}
    )
    row |= {name: worst for name, (worst, _) in ways.items()}
    row["path"] = row["path"] | {
        "saddle_at": float(T[np.argmax(ways["path"][1]["train_loss"])]),
        "length_ratio": 1.3,
    }
    barrier = {"value": row["path"]["train_loss"] - max(ends), "stderr": 0.0 if formula else 0.0002}
    straight = {"value": row["linear"]["train_loss"] - max(ends), "stderr": 0.0}
    curves = {name: curve for name, (_, curve) in ways.items()}
    found = (
        f"connected: barrier {barrier['value']:.4f}, the straight line has {straight['value']:.2g}"
    )
    return {
        "pair": list(pair),
        "verdict": found,
        **row,
        "barrier": barrier,
        "straight_barrier": straight,
        "curves": curves,
    }


def net_results(nodes: int = 4, scored: bool = True) -> dict[str, Any]:
    """A chain of flat paths, and one path that is not in the tree."""
    rises = [0.0003, 0.0009, 0.0005]
    edges = [
        edge((i, i + 1), LOSSES, rises[i], 1.9 + 0.1 * i, not scored) for i in range(nodes - 1)
    ]
    edges += [edge((0, 2), LOSSES, 0.002, 2.1, not scored)] if nodes > 2 else []
    tree = [row["pair"] for row in edges[: nodes - 1]]
    merges, group = [], (0,)
    for i in range(nodes - 1):
        merges.append(
            {
                "height": LOSSES[i + 1] + rises[i],
                "stderr": 0.0002,
                "left": group,
                "right": (i + 1,),
                "pair": (i, i + 1),
            }
        )
        group = (*group, i + 1)
    leaves = {str(i): LOSSES[i] for i in range(nodes)}
    minima = [minimum(str(i), LOSSES[i], not scored) for i in range(nodes)]
    facts = {
        "command": "connect",
        "dim": 30,
        "scores": {"unit": "nats", "error": "error"},
        "minima": minima,
        "edges": edges,
        "spanning_tree": tree,
    }
    return {**facts, "disconnectivity": {"leaves": leaves, "merges": merges}, "claims": []}


def connect_run(path: Path, results: dict[str, Any]) -> RunData:
    """A run written by hand: bent paths in 30 dimensions between random points."""
    folder = Folder(path)
    folder.write_json("results.json", results)
    generator = np.random.default_rng(0)
    points = generator.normal(size=(len(results["minima"]), 30)).astype("f4")
    folder.write_bytes("minima.safetensors", save({"minima": points}))
    for row in results["edges"]:
        i, j = row["pair"]
        bend = np.sin(np.pi * T)[:, None] * generator.normal(size=30) + 0.3 * np.sin(2 * np.pi * T)[
            :, None
        ] * np.ones(30)
        path_points = (1 - T)[:, None] * points[i] + T[:, None] * points[j] + bend
        folder.write_bytes(
            f"paths/{i}-{j}.safetensors", save({"path": path_points.astype("f4"), "t": T})
        )
    return RunData.read(path)


@pytest.fixture
def run(tmp_path: Path) -> RunData:
    return connect_run(tmp_path / "run", net_results())


def with_plane(results: dict[str, Any], scored: bool = True) -> dict[str, Any]:
    x, y = np.linspace(-0.5, 1.5, 7), np.linspace(-0.5, 1.2, 6)
    hills = 0.002 + np.square(np.sin(2 * np.pi * x[None, :])) + np.square(y[:, None])
    tests = (1.5 * hills).tolist() if scored else None
    corners = [[0.0, 0.0], [1.0, 0.0], [0.5, 0.8]]
    return results | {
        "plane": {
            "corners": corners,
            "x": x.tolist(),
            "y": y.tolist(),
            "train_loss": hills.tolist(),
            "test_loss": tests,
        }
    }


def texts(svg: str) -> str:
    return " | ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def test_there_is_one_of_each_and_they_are_the_same_every_time(run: RunData) -> None:
    found = [make(run) for make in FIGURES["connect"]]
    names = [figure.name for figure in found if figure is not None]
    assert names == ["profiles", "band_plane", "graph", "disconnectivity", "minima", "distances"]
    assert found == [make(run) for make in FIGURES["connect"]]
    for figure in found:
        assert figure is None or (
            len(figure.numbers) > 0 and len(figure.caption) > 100 and len(figure.svg) < 400_000
        )


def test_edges_stand_with_the_highest_of_the_tree_first(run: RunData) -> None:
    assert [row["pair"] for row in tree_first(run.results)] == [[1, 2], [2, 3], [0, 1], [0, 2]]
    assert [row["in_tree"] for row in tree_first(run.results)] == [True, True, True, False]


def test_a_flat_path_is_seen_beside_the_line_and_alone(run: RunData) -> None:
    figure = profiles(run)
    assert figure is not None
    words = texts(figure.svg)
    assert all(f"{pair}: barrier" in words for pair in ("1-2", "2-3", "0-1")) and "0-2" not in words
    assert (
        "enlarged" in words
        and "AutoNEB, test" in words
        and "straight, aligned" in words
        and "training loss / nats" in words
    )
    assert (
        "(1-2), the straight line has 2" in figure.caption
        and "0.00080 ± 0.00020 nats" in figure.caption
    )
    assert {row["way"] for row in figure.numbers} == {
        "AutoNEB",
        "straight line",
        "straight, aligned",
        "Bézier",
        "chain",
    }
    assert len(figure.numbers) == 3 * 5 * len(T)


def test_a_path_that_climbs_is_drawn_once(tmp_path: Path) -> None:
    results = net_results(nodes=2, scored=False)
    results["edges"] = [edge((0, 1), LOSSES, 1.0, 1.6, formula=True)]
    figure = profiles(connect_run(tmp_path, results))
    assert figure is not None
    assert (
        "enlarged" not in texts(figure.svg)
        and "energy" in texts(figure.svg)
        and "test" not in figure.caption.lower()
    )


def test_the_plane_of_a_path_holds_its_ends_and_its_top(run: RunData) -> None:
    figure = band_plane(run)
    assert figure is not None
    first = [row for row in figure.numbers if row["pair"] == "1-2" and row["way"] == "path"]
    assert (first[0]["along"], first[0]["across"]) == pytest.approx((0, 0), abs=1e-6)
    assert (first[-1]["along"], first[-1]["across"]) == pytest.approx((1, 0), abs=1e-6)
    top = max(first, key=lambda row: row["train_loss"])
    points, (i, j) = run.tensors("paths/1-2.safetensors")["path"].astype("f8"), (0, -1)
    straight = points[j] - points[i]
    middle = points[10] - points[i]
    along = middle @ straight / (straight @ straight)
    assert top["along"] == pytest.approx(along, rel=1e-5)
    assert np.hypot(top["along"], top["across"]) == pytest.approx(
        np.linalg.norm(middle) / np.linalg.norm(straight), rel=1e-5
    )
    assert "% in the plane" in texts(figure.svg) and "the rest is hidden" in figure.caption


def test_a_top_at_an_end_has_a_plane_too(tmp_path: Path) -> None:
    results = net_results(nodes=2)
    results["edges"][0]["path"]["saddle_at"] = 1.0
    figure = band_plane(connect_run(tmp_path, results))
    assert figure is not None
    assert max(abs(row["across"]) for row in figure.numbers) > 0.1


def test_a_straight_path_and_a_missing_file(tmp_path: Path) -> None:
    results = net_results(nodes=2)
    run = connect_run(tmp_path, results)
    line = (np.outer(1 - T, np.ones(30)) + np.outer(T, np.arange(30))).astype("f4")
    (tmp_path / "paths/0-1.safetensors").write_bytes(save({"path": line, "t": T}))
    figure = band_plane(run)
    assert figure is not None and max(abs(row["across"]) for row in figure.numbers) < 1e-5
    (tmp_path / "paths/0-1.safetensors").unlink()
    assert band_plane(run) is None


def test_the_graph_marks_its_tree(run: RunData, tmp_path: Path) -> None:
    figure = graph(run)
    assert figure is not None
    assert (
        "0.00090 ± 0.00020" not in figure.caption
    )  # the barrier is over the higher end, not the hump
    assert "The broken line is a path" in figure.caption and "(1-2)" in figure.caption
    assert [row["edge"] for row in figure.numbers if "edge" in row] == ["1-2", "2-3", "0-1", "0-2"]
    assert graph(connect_run(tmp_path / "two", net_results(nodes=2))) is None


def test_a_flat_tree_is_drawn_beside_the_straight_lines_and_alone(run: RunData) -> None:
    figure = disconnectivity(run)
    assert figure is not None
    words = texts(figure.svg)
    assert (
        "beside the straight lines" in words
        and "the tree on a scale of its own" in words
        and "± 1 σ" in words
    )
    assert [row["joined_by"] for row in figure.numbers if "joined_by" in row] == [
        "0-1",
        "1-2",
        "2-3",
    ]


def test_minima_that_nothing_joins_have_no_tree(tmp_path: Path) -> None:
    results = net_results()
    results |= {
        "edges": [],
        "spanning_tree": [],
        "disconnectivity": {**results["disconnectivity"], "merges": []},
    }
    run = connect_run(tmp_path, results)
    assert [make(run) for make in FIGURES["connect"][:5]] == [None] * 5


def test_a_part_of_the_minima_may_be_apart(tmp_path: Path) -> None:
    results = net_results()
    results["edges"] = results["edges"][:1]
    results["spanning_tree"] = results["spanning_tree"][:1]
    results["disconnectivity"]["merges"] = results["disconnectivity"]["merges"][:1]
    run = connect_run(tmp_path, results)
    assert all(make(run) for make in (profiles, band_plane, graph, disconnectivity))


def test_the_loss_plane(tmp_path: Path) -> None:
    run = connect_run(tmp_path / "net", with_plane(net_results()))
    figure = plane(run)
    assert figure is not None and len(figure.numbers) == 42
    assert (
        "training" in texts(figure.svg)
        and "test" in texts(figure.svg)
        and "equal ratios" in figure.caption
    )
    formula = plane(
        connect_run(tmp_path / "formula", with_plane(net_results(scored=False), scored=False))
    )
    assert (
        formula is not None
        and "test" not in texts(formula.svg)
        and "test_loss" not in formula.numbers[0]
    )
    assert plane(connect_run(tmp_path / "none", net_results() | {"plane": None})) is None


def test_many_minima(tmp_path: Path) -> None:
    losses = tuple(0.002 + 1e-5 * i for i in range(50))
    results = net_results()
    results["minima"] = [minimum(str(i), loss) for i, loss in enumerate(losses)]
    results["edges"] = [edge((i, i + 1), losses, 1e-4 * i, 2.0) for i in range(49)]
    results["spanning_tree"] = [row["pair"] for row in results["edges"]]
    merges = [
        {
            "height": 0.01,
            "stderr": 0.0,
            "left": list(range(i + 1)),
            "right": [i + 1],
            "pair": [i, i + 1],
        }
        for i in range(49)
    ]
    results["disconnectivity"] = {
        "leaves": {str(i): loss for i, loss in enumerate(losses)},
        "merges": merges,
    }
    run = connect_run(tmp_path, results)
    found = [make(run) for make in (profiles, band_plane, graph, disconnectivity)]
    assert all(figure is not None and len(figure.svg) < 500_000 for figure in found)
    assert found[0] is not None and "43 lower ones are not shown" in found[0].caption


def test_the_plane_of_two_dimensions_holds_the_paths(tmp_path: Path) -> None:
    results = with_plane(net_results(nodes=3, scored=False), scored=False) | {"dim": 2}
    run = connect_run(tmp_path, results)
    corners = np.array([[1.0, 1.0], [1.0, 2.0], [0.2, 1.5]])
    (tmp_path / "minima.safetensors").write_bytes(save({"minima": corners}))
    for i, j in [row["pair"] for row in results["edges"]]:
        (tmp_path / f"paths/{i}-{j}.safetensors").write_bytes(
            save({"path": corners[[i, j]], "t": np.array([0.0, 1.0])})
        )
    figure = plane(run)
    assert figure is not None and "White lines are the paths" in figure.caption
    ends = [path for path in _paths(run) if np.allclose(path[-1], [0.5, 0.8])]
    assert len(ends) == 1 and np.allclose(ends[0][0], [1, 0])


def test_the_table_of_edges_has_what_is_read() -> None:
    """Chosen columns, the tree's edges first and marked, in per cent; every number is in table.csv."""
    found = edges_table(net_results())
    assert found.headings[:2] == ["", "barrier / nats:\nAutoNEB"] and len(found.headings) <= 15
    kinds = [heading.partition(" / ")[0] for heading in found.headings[1:]]
    assert kinds.index("highest loss") > max(k for k, kind in enumerate(kinds) if kind == "barrier")
    assert [row[0] for row in found.rows] == ["1-2 *", "2-3 *", "0-1 *", "0-2"]
    assert (
        "2.22 ± 0.69" in found.rows[0]
        and found.notes[0].startswith("*")
        and not any("Not" in note for note in found.notes)
    )
    apart = net_results()
    apart["edges"][0]["verdict"] = (
        "not connected at this budget: barrier 1, the straight line has 2"
    )
    assert "Not connected at this budget: 0-1." in edges_table(apart).notes
    energies = edges_table(net_results(2, scored=False))
    assert energies.rows[0][0] == "0-1" and not any(
        "test" in heading or "aligned" in heading for heading in energies.headings
    )


def test_a_string_is_called_one() -> None:
    results = net_results()
    for row in results["edges"]:
        row["path"]["method"] = "string_sampling"
    assert edges_table(results).headings[1] == "barrier / nats:\nstring"


def test_the_lowest_way_is_named_and_what_failed_is_left_out(tmp_path: Path) -> None:
    """A bend below the path gives an edge its height; ways that are null have no line, and every
    picture is still drawn."""
    results = net_results()
    first = results["edges"][0]
    first["lowest_way"] = {"name": "bezier", "barrier": {"value": 0.0001, "stderr": 0.00002}}
    for row in results["edges"]:
        for name in ("linear", "aligned", "bezier", "straight_barrier"):
            row[name], row[f"{name}_why"] = None, "TypeError: not with this module"
            row["curves"].pop(name, None)
    run = connect_run(tmp_path / "run", results)
    assert [row["pair"] for row in tree_first(results)] == [[1, 2], [2, 3], [0, 1], [0, 2]]
    figure = profiles(run)
    assert figure is not None and "0-1: barrier | 0.000100 ± 0.000020, | Bézier" in texts(
        figure.svg
    )
    drawn = graph(run)
    assert drawn is not None
    low = next(row for row in drawn.numbers if row.get("edge") == "0-1")
    assert (
        low["way"] == "bezier"
        and low["train_loss"] == pytest.approx(LOSSES[1] + 0.0001)
        and low["barrier"] == 0.0001
    )
    found = edges_table(results)
    lowest = found.headings.index("lowest\nway")
    assert disconnectivity(run) is not None
    assert found.rows[2][lowest : lowest + 2] == ["Bézier", "0.000100 ± 0.000020"]
