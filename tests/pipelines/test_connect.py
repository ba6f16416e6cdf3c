"""`connect` from end to end, on formulas in seconds and on a small network: the graph, its claims,
its mistakes."""

import json
import sys
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import sgdtheory
from sgdtheory.cli import main

MLP_16 = ["model=mlp", "model.hidden=[16]", "executor.workers=1", "--quiet"]
SMALL = ["autoneb.steps=30", "autoneb.last_steps=60", "baselines.gradients=50", "baselines.dense=7"]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["sgdtheory", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def results(root: Path) -> dict[str, Any]:
    (path,) = (root / "connect").iterdir()
    found: dict[str, Any] = json.loads((path / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("landscape", "words", "barrier", "ratio"),
    [
        ("double_well", [], 0.25, 1.0),
        ("ring", [], 0.25, 1.5708),
        ("linear_net", ["landscape.width=1"], 0.5, 1.0),
        ("linear_net", ["landscape.width=2"], 0.0, None),
        ("muller_brown", ["pairs=[[0,1]]"], 106.0347, None),
        ("bent_valley", ["landscape.ambient=20"], 0.25, None),
    ],
)
def test_stated_barriers_are_found(
    landscape: str,
    words: list[str],
    barrier: float,
    ratio: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [
        "connect",
        f"landscape={landscape}",
        *words,
        f"run.root={tmp_path}",
        "executor.workers=1",
        "--quiet",
    ]
    assert run(words, monkeypatch) == 0
    edge = results(tmp_path)["edges"][0]
    assert edge["barrier_from"][0] == pytest.approx(barrier, rel=3e-3, abs=1e-4)
    ends = [edge["curves"]["path"]["train_loss"][end] for end in (0, -1)]
    assert edge["barrier"] == {
        "value": pytest.approx(edge["path"]["train_loss"] - max(ends)),
        "stderr": 0,
    }
    claim = results(tmp_path)["claims"][0]
    assert claim["holds"] is True and claim["value"] == pytest.approx(barrier, rel=3e-3, abs=1e-4)
    if ratio is not None:
        assert edge["path"]["length_ratio"] == pytest.approx(ratio, rel=5e-3)
    if barrier > 0:
        assert edge["path"]["index"] == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("connected")
    patch = pytest.MonkeyPatch()
    assert run(["train", *MLP_16, "sgd.steps=400", "minima=3", f"run.root={root}"], patch) == 0
    assert run(["connect", *MLP_16, *SMALL, f"run.root={root}"], patch) == 0
    patch.undo()
    return root


def test_the_newest_train_run_is_connected(trained: Path) -> None:
    found = results(trained)
    assert len(found["spanning_tree"]) == 2 and len(found["minima"]) == 3
    for edge in found["edges"]:
        assert edge["barrier"]["value"] < 0.2 * edge["straight_barrier"]["value"]
        assert edge["path"]["train_loss_stderr"] > 0
        assert edge["aligned"]["train_loss"] < edge["linear"]["train_loss"]
        assert {"bezier", "chain", "ensemble", "average", "shared_mistakes"} <= set(edge)
        assert edge["path"]["index"] is None and edge["path"]["index_why"]
    flat = all(edge["verdict"].startswith("connected by ") for edge in found["edges"])
    assert (
        "are connected by " if flat else "are not connected at this budget: highest barrier"
    ) in found["claims"][0]["statement"]


def test_the_measured_rates_are_in_the_results(trained: Path) -> None:
    """Numbers in the rows, `auto` in what was asked for: of each minimum, each path and each bend
    its own."""
    (path,) = (trained / "train").iterdir()
    minima = json.loads((path / "results.json").read_text(encoding="utf-8"))["minima"]
    assert len({row["learning_rate"] for row in minima}) == 3 and all(
        row["learning_rate"] > 0 for row in minima
    )
    assert "learning_rate: auto" in (path / "config.yaml").read_text(encoding="utf-8")
    for edge in results(trained)["edges"]:
        assert all(0 < edge[way]["learning_rate"] < inf for way in ("path", "bezier", "chain"))
        # max Σw² is 1 of a chain, 9/32 of a Bézier curve with two bends; of more, it was longer
        if edge["bezier"]["bends"] == 2:
            assert edge["bezier"]["learning_rate"] == pytest.approx(
                32 / 9 * edge["chain"]["learning_rate"]
            )


def test_paths_are_loaded_in_a_notebook(trained: Path) -> None:
    (path,) = (trained / "connect").iterdir()
    loaded = sgdtheory.load(path)
    (pair, pivots), *_ = loaded.paths.items()
    assert torch.equal(pivots[[0, -1]], loaded.minima[list(pair)])


def test_one_more_minimum_keeps_its_edges(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cloud with a fourth minimum: edges are known by what they join, so only those to the new
    one are done."""
    before = {path.name for path in (trained / "units").iterdir()}
    (run_path,) = (trained / "train").iterdir()
    cloud = load_file(run_path / "minima.safetensors")["minima"]
    file = trained / "four.safetensors"
    save_file({"minima": torch.cat([cloud, cloud[:1] + 0.01])}, file)
    words = [
        "connect",
        *MLP_16,
        *SMALL,
        "run.name=four",
        f"run.root={trained}",
        f"minima=[{file}]",
        "pairs=[[0,1],[0,3]]",
    ]
    assert run(words, monkeypatch) == 0
    new = {path.name for path in (trained / "units").iterdir()} - before
    names = [
        json.loads((trained / "units" / name / "unit.json").read_text(encoding="utf-8"))["name"]
        for name in new
    ]
    assert sorted(names) == ["edge-0-3", "minimum-3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["minima=/nowhere"], "no such run or file"),
        (["minima=[/nowhere.safetensors]"], "no such run or file"),
        (["model=mlp"], "no finished train run of this landscape"),
        (["landscape=double_well", "pairs=[[0,5]]"], "no pair of two different minima"),
        (["landscape=double_well", "pairs=some"], "pairs"),
        (["landscape=quadratic"], "there is 1 minimum"),
        (["landscape=double_well", "autoneb=quick"], "did you mean 'fast'?"),
    ],
)
def test_mistakes(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "runs"
    assert run(["connect", *words, f"run.root={root}"], monkeypatch) == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) <= 3 and "Traceback" not in told
    assert not root.exists()


def test_identical_and_single_minima(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_path,) = (trained / "train").iterdir()
    cloud = load_file(run_path / "minima.safetensors")["minima"]
    for rows, said in ((cloud[[0, 0]], "one and the same point"), (cloud[:1], "at least two")):
        save_file({"minima": rows}, trained / "bad.safetensors")
        words = [
            "connect",
            "model=mlp",
            "model.hidden=[16]",
            f"minima=[{trained / 'bad.safetensors'}]",
            f"run.root={trained}",
        ]
        assert run(words, monkeypatch) == 2
        assert said in capsys.readouterr().err


def test_another_landscape_than_the_runs(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_path,) = (trained / "train").iterdir()
    assert (
        run(["connect", f"minima={run_path}", "model=cnn", f"run.root={trained}"], monkeypatch) == 2
    )
    assert "another landscape" in capsys.readouterr().err


def test_string_sampling_finds_what_a_formula_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 1.003 of the ring's barrier the only way is along it; the same fields as AutoNEB's, and
    what it cost."""
    words = [
        "connect",
        "landscape=ring",
        "method=string_sampling",
        f"run.root={tmp_path}",
        "executor.workers=1",
        "--quiet",
    ]
    assert run(words, monkeypatch) == 0
    found = results(tmp_path)
    path = found["edges"][0]["path"]
    assert found["edges"][0]["barrier"]["value"] == pytest.approx(0.25, rel=3e-3)
    assert (
        path["length_ratio"] == pytest.approx(1.5708, rel=0.03) and path["length_ratio"] < 1.5708
    )  # of chords
    assert (
        path["found"]
        and path["beads"] == path["pivots"] - 2 > 2
        and path["cycles"] > 1
        and path["gradients"] > 0
    )
    assert found["claims"][0]["holds"] is True and path["index"] == 1


def test_a_string_that_is_not_found_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "connect",
        "landscape=double_well",
        "method=string_sampling",
        "strings.threshold=0.2",
        "strings.most_beads=40",
    ]
    assert run([*words, f"run.root={tmp_path}", "executor.workers=1", "--quiet"], monkeypatch) == 0
    found = results(tmp_path)
    assert not found["edges"][0]["path"]["found"] and found["edges"][0]["path"]["found_why"]
    assert found["edges"][0]["barrier"]["value"] == pytest.approx(
        0.25, rel=3e-3
    )  # seen all the same


@pytest.mark.pictures
def test_string_sampling_on_a_network(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "connect",
        *MLP_16,
        *SMALL,
        "method=string_sampling",
        "strings.above=0.05",
        "run.name=strings",
    ]
    assert run([*words, "pairs=[[0,1]]", f"run.root={trained}"], monkeypatch) == 0
    (path,) = (trained / "connect").glob("strings-*")
    found = json.loads((path / "results.json").read_text(encoding="utf-8"))
    edge, bands = (
        found["edges"][0],
        json.loads(
            next((trained / "connect").glob("mlp-*/results.json")).read_text(encoding="utf-8")
        )["edges"],
    )
    assert set(bands[0]) == set(edge) and set(bands[0]["path"]) <= set(edge["path"])
    assert (
        edge["path"]["found"]
        and edge["path"]["method"] == "string_sampling"
        and edge["path"]["beads"] > 0
    )
    assert edge["linear"] == next(row["linear"] for row in bands if row["pair"] == [0, 1])
    # L₀ is 5 % of the straight line's barrier over the higher end, at the points that were looked
    # at
    assert edge["barrier"]["value"] < 0.06 * edge["straight_barrier"]["value"]
    pivots = sgdtheory.load(path).paths[0, 1]
    assert len(pivots) == edge["path"]["pivots"]
    assert (
        "a pair of minima of MLP" in found["claims"][0]["statement"]
    )  # of three: nobody asked for a tree
    assert "string" in (path / "figures" / "profiles.svg").read_text(encoding="utf-8")


def test_a_threshold_below_the_ends_is_a_mistake(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [
        "connect",
        "landscape=double_well",
        "method=string_sampling",
        "strings.threshold=-1",
        f"run.root={tmp_path}",
    ]
    assert run([*words, "executor.workers=1", "--quiet"], monkeypatch) != 0
    assert "strings.threshold" in capsys.readouterr().err
