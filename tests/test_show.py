"""What commands print: fits 80 columns, says what matters in words, starts without the heavy
libraries."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sgdtheory.errors import UserError
from sgdtheory.report.drawing import show_report
from sgdtheory.report.plans import show_plan
from sgdtheory.report.results import show_results
from sgdtheory.report.status import show_status
from sgdtheory.runs.folder import Folder

spec = importlib.util.spec_from_file_location(
    "report_runs", Path(__file__).with_name("test_report.py")
)
assert spec is not None and spec.loader is not None
runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runs)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, checked for its width, colour and streams."""
    found = capsys.readouterr()
    assert found.err == ""
    assert "\x1b" not in found.out
    assert all(len(line) <= 80 for line in found.out.splitlines() if "/" not in line), found.out
    return found.out


def results(rows: list[dict[str, Any]], *claims: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "train",
        "minima": rows,
        "claims": list(claims) or [runs.claim("a", "all is well", True)],
    }


def test_results_are_a_table_a_sentence_and_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = runs.claim("b", "a second thing", False, expected="less than 1")
    monkeypatch.chdir(tmp_path)
    Folder(Path("runs/train/x")).write_text("report.html", "drawn")
    show_results(
        Path("runs/train/x"),
        results([runs.row("0"), runs.row("1")], runs.claim("a", "all is well", True), other),
    )
    out = said(capsys)
    assert "0.00215 ± 0.00013" in out and "1.94 ± 0.69" in out and "2.1e-7" in out
    assert (
        "all is well\na second thing (does not hold; expected: less than 1)\nreport: "
        "runs/train/x/report.html" in out
    )


def test_the_widest_numbers_fit(capsys: pytest.CaptureFixture[str]) -> None:
    wide = {
        "train_loss": 1.234e-7,
        "train_loss_stderr": 1.2e-8,
        "train_error": 0.1234,
        "train_error_stderr": 0.0012,
        "steps": 123456,
    }
    show_results(
        Path("r"),
        results(
            [
                runs.row(str(100 + i), **wide, test_loss=0.123, test_loss_stderr=0.0001)
                for i in range(3)
            ]
        ),
    )
    out = said(capsys)
    assert "…" not in out and out.count("0.12)e-7") == 3 and out.count("123,456") == 3


def test_of_several_files_each_row_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"fold/ep{k}.pth" for k in (1, 2, 10)]
    rows = [runs.row(str(k)) | {"source": f"{file}: weights"} for k, file in enumerate(files)]
    show_results(Path("r"), results(rows))
    out = said(capsys)
    assert "\n0: fold/ep1.pth: weights\n1: fold/ep2.pth: weights\n2: fold/ep10.pth: weights" in out
    show_results(Path("r"), results([row | {"source": "train/a: minimum 0"} for row in rows]))
    assert "train/a" not in said(capsys)


def test_of_many_rows_the_best_and_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    show_results(
        Path("r"), results([runs.row(f"m{i}", test_loss=(7 * i) % 30 / 10) for i in range(30)])
    )
    out = said(capsys)
    order = [line.split()[0] for line in out.splitlines() if line.startswith("m")]
    assert (
        len(order) == 12
        and order[0] == "m0"
        and order[-1] == f"m{next(i for i in range(30) if 7 * i % 30 == 29)}"
    )
    assert "18 more rows" in out and "r/table.csv" in out


def test_a_formula_has_values(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = runs.claim("a", "nothing", None, value=None, why="no unit finished")
    show_results(Path("r"), results([runs.row("0", formula=True)], nothing))
    out = said(capsys)
    assert "objective" in out and "test" not in out
    assert "nothing (cannot be said: no unit finished)" in out


def test_other_commands_have_a_table_too(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        {
            "learning_rate": 0.1,
            "temperature": {"virial": {"value": 0.5, "stderr": 0.1}},
            "stationary": True,
        }
    ]
    show_results(Path("r"), {"cells": cells, "claims": []})
    out = said(capsys)
    assert "virial" in out and "0.50 ± 0.10" in out and "yes" in out


def test_status_is_a_line_a_run_and_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    runs.make_run(root / "train" / "good", [runs.row("0"), runs.row("1")])
    bad = runs.make_run(
        root / "train" / "bad", [runs.row("0")], status="failed", why="no space left"
    )
    cut = runs.make_run(root / "train" / "cut", [runs.row("0"), runs.row("1")], status="running")
    (cut / "results.json").unlink()
    Folder(cut / "units/1").write_json("status.json", {"status": "running"})
    Folder(bad / "units/0").write_json("status.json", {"status": "failed", "why": "not finite"})
    show_status([], root)
    lines = {
        line.split()[0].rpartition("/")[2]: line
        for line in said(capsys).splitlines()
        if line.startswith("/")
    }
    assert "done" in lines["good"] and "2/2" in lines["good"] and "ago" in lines["good"]
    assert "interrupted" in lines["cut"] and "1/2, 1 unfinished" in lines["cut"]
    assert "0/1, 1 failed" in lines["bad"]
    show_status([cut, bad], root)
    out = said(capsys)
    assert "go on with: sgdtheory train minima=2\n" in out and "minimum-1  unfinished" in out
    assert "no space left" in out and "not finite" in out and "minima=2 --retry-failed" in out


def test_status_without_runs_and_of_a_wrong_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_status([], tmp_path / "runs")
    assert "`sgdtheory train` makes one" in capsys.readouterr().out
    with pytest.raises(UserError, match="no such directory"):
        show_status([tmp_path / "typo"], tmp_path)
    with pytest.raises(UserError, match="no run is here"):
        show_status([tmp_path], tmp_path)


def test_report_prints_the_path_of_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        runs.make_run(tmp_path / "runs" / "train" / f"n{seed}", [runs.row("0")], seed=seed)
        for seed in (1, 2)
    ]
    show_report(paths[:1], None)
    assert capsys.readouterr().out == f"{paths[0]}/report.html\n"
    show_report([paths[0], paths[0]], tmp_path / "copy.html")
    copy = (tmp_path / "copy.html").read_text(encoding="utf-8")
    assert 'href="runs/train/n1/results.json"' in copy
    assert 'href="runs/train/n1/figures/losses.csv"' in copy
    show_report(paths, tmp_path / "both.html")
    assert capsys.readouterr().out.endswith("both.html\n") and "2 runs compared" in (
        tmp_path / "both.html"
    ).read_text(encoding="utf-8")


class Plan(NamedTuple):
    path: Path = Path("runs/train/x-01234567")
    units: int = 4
    done: int = 0
    seconds: float = 8.0
    memory: float = 4.1e8
    disk: float = 1.2e6
    workers: int = 2
    costs: tuple[tuple[str, float], ...] = (
        ("minimum-0", 1.0),
        ("minimum-1", 3.0),
        ("edge-0-1", 90.0),
        ("edge-0-2", 90.0),
    )
    checks: tuple[str, ...] = ("MLP: same bits twice",)
    not_counted: str = "longer trainings"


def test_plans(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(Plan())  # type: ignore[arg-type]
    out = said(capsys)
    assert out.startswith(
        "4 units: 4 to do on 2 workers = 8 s, 410 MB of memory, 1.2 MB on disk\n"
        "to do: 2 × 2.0 s: minimum-0, minimum-1\n"
        "to do: 2 × 2 min: edge-0-1, edge-0-2\n"
        "not counted: longer trainings\n"
    )
    assert "self-check: MLP: same bits twice\n" in out
    assert (
        "minimum-1" in out and "runs/train/x-01234567" in out and out.endswith("nothing was done\n")
    )
    show_plan(Plan(units=1, done=1, costs=()))  # type: ignore[arg-type]
    assert said(capsys).startswith("1 unit: all done already\n")


def test_status_loads_nothing_heavy(tmp_path: Path) -> None:
    path = runs.make_run(tmp_path / "train" / "x", [runs.row("0")])
    heavy = ["torch", "matplotlib", "jinja2", "hydra"]
    code = f"""
import sys
from pathlib import Path
from sgdtheory.report.status import show_status
show_status([], Path({str(tmp_path)!r})); show_status([Path({str(path)!r})], Path("."))
assert not set({heavy!r}) & set(sys.modules), set({heavy!r}) & set(sys.modules)
"""
    surroundings = {**os.environ, "PYTHONUTF8": "1"}  # the command itself sees to its streams
    subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env=surroundings
    )


def connect_results(*args: Any, **kwargs: Any) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(
        "connect_runs", Path(__file__).with_name("test_figures_connect.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.net_results(*args, **kwargs)
    return found


def test_edges_are_a_row_each_the_tree_first(capsys: pytest.CaptureFixture[str]) -> None:
    show_results(Path("r"), connect_results())
    out = said(capsys)
    rows = [
        line.split()[0] for line in out.splitlines() if line[:3] in ("0-1", "1-2", "2-3", "0-2")
    ]
    assert rows == ["1-2", "2-3", "0-1", "0-2", "1-2", "2-3", "0-1", "1-2:", "2-3:", "0-1:"]
    assert [line.split()[1] == "*" for line in out.splitlines() if line[:3] in ("1-2", "0-2")] == [
        True,
        False,
        False,
        False,
    ]
    assert "0.00320 ± 0.00030" in out and "2.22 ± 0.69" in out and "1,234" in out
    assert (
        "1-2: connected: barrier 0.0008, the straight line has 2" in out
        and "* in the minimum spanning tree" in out
    )


def test_edges_of_a_formula_have_energies_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show_results(Path("r"), connect_results(nodes=2, scored=False))
    out = said(capsys)
    assert "energy" in out and "test" not in out and "*" not in out
    assert (
        "– aligned: only networks have hidden units to renumber" in out and "0-1: connected" in out
    )


def test_many_edges_are_cut_and_without_words(capsys: pytest.CaptureFixture[str]) -> None:
    found = connect_results()
    first = found["edges"][0]
    found["edges"] = [
        {**first, "pair": [i, i + 1], "barrier": {"value": 1e-3 * i, "stderr": 1e-4}}
        for i in range(20)
    ]
    found["spanning_tree"] = [edge["pair"] for edge in found["edges"]]
    show_results(Path("r"), found)
    out = said(capsys)
    assert "8 more rows" in out and "connected" not in out and out.index("19-20") < out.index("0-1")


def test_no_edge_was_finished(capsys: pytest.CaptureFixture[str]) -> None:
    claim = runs.claim(
        "connected", "no path between minima", None, value=None, why="no edge was finished"
    )
    show_results(
        Path("r"), connect_results() | {"edges": [], "spanning_tree": [], "claims": [claim]}
    )
    assert "no path between minima (cannot be said: no edge was finished)" in " ".join(
        said(capsys).split()
    )
