"""The report of a run: what is on the page, equal bytes for equal runs, nothing from outside, no torch."""

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from safetensors.numpy import save

from sgdtheory.errors import UserError
from sgdtheory.report import page as page_module
from sgdtheory.report import rendering
from sgdtheory.report.compared import compare
from sgdtheory.report.documentation import SECTIONS
from sgdtheory.report.edge_tables import cycles_table, star_table
from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.losses import losses
from sgdtheory.report.figures.table import Text, number, table, typeset
from sgdtheory.report.page import draw, table_csv
from sgdtheory.runs.folder import Folder

pytestmark = pytest.mark.pictures

NO_EXAMPLES = "a formula has no examples"


def row(name: str, formula: bool = False, **changes: Any) -> dict[str, Any]:
    scores: dict[str, Any] = {
        "train_loss": 0.00215,
        "train_loss_stderr": 0.00013,
        "train_error": 0.0,
        "train_error_stderr": 0.0,
    }
    scores |= {
        "test_loss": 0.0712,
        "test_loss_stderr": 0.0123,
        "test_error": 0.0194,
        "test_error_stderr": 0.0069,
    }
    if formula:
        nothing = ("train_error", "test_loss", "test_error")
        scores = (
            {"train_loss": -1.0}
            | {c: None for c in nothing}
            | {f"{c}_why": NO_EXAMPLES for c in nothing}
        )
    rest = {
        "objective": 0.031,
        "gradient_norm": 2.1e-7,
        "parameter_norm": 31.2,
        "steps": 40,
        "learning_rate": 0.3,
    }
    return {"name": name, **scores, **rest, **changes}


def claim(name: str, statement: str, holds: bool | None, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "statement": statement,
        "value": 0.0,
        "stderr": None,
        "expected": "0",
        "holds": holds,
        "why": "",
    } | changes


def make_run(
    path: Path,
    rows: list[dict[str, Any]],
    claims: list[dict[str, Any]] | None = None,
    seed: int = 0,
    **manifest: Any,
) -> Path:
    """A small finished train run, written by hand."""
    folder = Folder(path)
    claims = claims or [
        claim("training_error", f"{len(rows)} minima of a net: training error 0", True)
    ]
    results = {
        "command": "train",
        "seed": seed,
        "landscape": "a net on digits",
        "dim": 50,
        "device": "cpu",
        "seconds": 41.0,
    }
    folder.write_json(
        "results.json",
        {**results, "config_hash": f"{seed:02x}" * 32, "claims": claims, "minima": rows},
    )
    units = [
        {
            "name": f"minimum-{r['name']}",
            "hash": "0" * 16,
            "directory": f"units/{r['name']}",
            "status": "done",
            "seconds": 3.0,
        }
        for r in rows
    ]
    for unit in units:
        Folder(path / unit["directory"]).write_json(
            "status.json", {"status": "done", "seconds": 3.0}
        )
    folder.write_json("units.json", units)
    steps = range(2, 41, 2)
    log = [
        {
            "unit": u["name"],
            "stage": "train",
            "step": s,
            "learning_rate": 0.3,
            "loss": [2.3 / s],
            "lost": [],
        }
        for u in units
        for s in steps
    ]
    folder.append("metrics.jsonl", log)
    facts = {
        "command": "train",
        "status": "done",
        "command_line": "sgdtheory train minima=2",
        "started": 1.78e9,
        "finished": 1.78e9,
    }
    folder.write_json(
        "manifest.json",
        {
            **facts,
            "versions": {"torch": "2.15.0"},
            "device_name": "a CPU",
            "git": "abc1234",
            **manifest,
        },
    )
    folder.write_text("config.yaml", f"seed: {seed}\nsgd:\n  steps: {40 + seed}\n  momentum: 0.9\n")
    points = np.random.default_rng(0).normal(size=(len(rows), 50)).astype("f4")
    folder.write_bytes("minima.safetensors", save({"minima": points}))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "runs" / "train" / "net-01234567", [row("0"), row("1")])


def test_the_page_says_it_all_in_order(run: Path) -> None:
    page = draw(run).read_text(encoding="utf-8")
    wanted = [
        "training error 0</h1>", "✓ holds", "Figure 1.", "Figure 2.", "Figure 3.", "The minima</h2>",
        "0.00215 ± 0.00013", "1.94 ± 0.69",
        "sgdtheory train minima=2", f"sgdtheory train --from {run}/config.yaml", "a CPU",
        "torch 2.15.0", "abc1234", "momentum: 0.9",
    ]  # fmt: skip
    places = [page.index(words) for words in wanted]
    assert places == sorted(places)
    assert "2.1 × 10⁻⁷" in page


def test_one_file_with_nothing_from_outside(run: Path) -> None:
    """One script, ours, the only one that the page allows; links lead to the run's own files, to
    what is in the page, or to a paper."""
    page = draw(run).read_text(encoding="utf-8")
    ours = (Path(rendering.TEMPLATES) / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [ours]
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not re.search(r"[\s\"']on\w+=", page) and "fetch(" not in page and " src=" not in page
    for link in re.findall(r'href="(?!#)([^"]*)"', page):
        if not link.startswith(("data:", "https://arxiv.org/abs/")):
            assert (run / unquote(link)).is_file(), link
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {used for used in re.findall(r'(?:url\(|href=")#([^")]+)', page)} <= set(ids)


def test_pictures_are_given_away(run: Path) -> None:
    """Each as it lies in figures/, from the page itself; many large ones from their files."""
    page = draw(run).read_text(encoding="utf-8")
    for kind, media in (("svg", "image/svg+xml"), ("pdf", "application/pdf")):
        held = re.findall(
            rf'download="(\w+)\.{kind}" href="data:{re.escape(media)};base64,([^"]+)"', page
        )
        assert [name for name, _ in held] == ["losses", "minima", "distances"]
        for name, content in held:
            assert base64.b64decode(content) == (run / "figures" / f"{name}.{kind}").read_bytes()


def test_large_pictures_are_linked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_EMBEDDED", 1000)
    page = draw(run).read_text(encoding="utf-8")
    assert 'href="figures/losses.pdf"' in page and "data:application" not in page


def test_pictures_are_told_to_those_who_cannot_see_them(run: Path) -> None:
    page = draw(run).read_text(encoding="utf-8")
    told = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert (
        told[0]
        == "On the way to the minima. 2 panels: mini-batch loss (log) against step; learning rate against step"
    )
    assert len(told) == 3


def test_places_on_axes_are_values(tmp_path: Path) -> None:
    """What the script reads off a picture, from the ends of its axes, is what was drawn."""

    def paint(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.plot([1.0, 10.0, 100.0], [0.0, 5.0, 2.5], "o")
        axes.set(xscale="log", xlabel="η", ylabel="T")

    drawing = drawing_of("mine", 2.0, paint)
    (panel,) = drawing.panels
    assert panel.x["label"] == "η (log)" and panel.x["log"] and not panel.y["log"]
    marks = re.findall(r'<use xlink:href="#mine-[^"]+" x="([\d.]+)" y="([\d.]+)"', drawing.svg)
    inside = [(float(x), float(y)) for x, y in marks]
    left, top, right, bottom = panel.box
    values = []
    for x, y in inside:
        if not (left + 1 < x < right - 1 and top + 1 < y < bottom - 1):
            continue  # ticks
        across, up = (x - left) / (right - left), (bottom - y) / (bottom - top)
        ratio = panel.x["high"] / panel.x["low"]
        values.append(
            (
                panel.x["low"] * ratio**across,
                panel.y["low"] + up * (panel.y["high"] - panel.y["low"]),
            )
        )
    np.testing.assert_allclose(values, [(1, 0), (10, 5), (100, 2.5)], rtol=1e-3, atol=1e-3)


def test_verdicts_stand_where_something_was_expected(tmp_path: Path) -> None:
    claims = [
        claim("one", "slope 1.02", True, expected="1 within 0.03"),
        claim("two", "swelling 1.2", None, expected=""),
        claim("three", "no slope", None, expected="1", why="too few cells"),
    ]
    page = draw(make_run(tmp_path / "r", [row("0")], claims)).read_text(encoding="utf-8")
    assert re.search(r"Expected: 1 within 0.03. <span[^>]+>✓ holds", page)
    assert page.count("cannot be said") == 1 and "too few cells" in page


def test_a_study_states_its_claim_and_what_would_refute_it(tmp_path: Path) -> None:
    path = make_run(tmp_path / "r", [row("0")])
    results = Folder(path).read_json("results.json")
    told = {
        "name": "potential",
        "claim": "SGD descends a `potential` (1710.11029)",
        "refutation": ["Refuted by <b>clouds</b>."],
        "background": [],
    }
    Folder(path).write_json("results.json", {**results, "study": told})
    page = draw(path).read_text(encoding="utf-8")
    assert "<code>potential</code>" in page and 'href="https://arxiv.org/abs/1710.11029"' in page
    assert "Refuted by &lt;b&gt;clouds" in page and "SGD descends a potential of its own" in page


def test_every_section_that_is_named_is_there() -> None:
    """Of commands and studies, in docs/theory.yaml, under the heading that pages name."""
    entries = yaml.safe_load(Path("docs/theory.yaml").read_text(encoding="utf-8"))
    titles = {entry["command"].split()[-1]: entry["title"] for entry in entries}
    assert {name: title for name, title in SECTIONS.items() if name != "train"} == titles


def test_star_and_cycles_are_shown() -> None:
    lines = [
        {"pair": [0, k], "straight_barrier": {"value": 2.0, "stderr": 0.1}, "aligned_barrier": None}
        for k in (1, 2)
    ]
    star = {"centre": 0, "lines": lines, "straight_barrier": 2.0, "straight_barrier_stderr": 0.07}
    results = {
        "star": star,
        "scores": {"unit": "nats"},
        "cycles": [{"minima": [0, 1, 2], "moved": 3, "units": 12, "defect": 0.25}],
    }
    found = star_table(results)
    assert found.headings == ["", "barrier / nats:\nstraight line"]
    assert found.rows[-1] == ["mean", "2.000 ± 0.070"] and "minimum 0" in found.notes[0]
    assert cycles_table(results).rows == [["0-1-2", "3", "12", "25"]]


def test_equal_runs_are_equal_bytes(run: Path) -> None:
    def content() -> dict[str, bytes]:
        draw(run)
        return {str(p): p.read_bytes() for p in [run / "report.html", *(run / "figures").iterdir()]}

    first = content()
    assert len(first) == 10  # three pictures, twice, with their numbers, and the page
    assert content() == first


def test_the_numbers_stand_beside_the_pictures(run: Path) -> None:
    draw(run)
    found = list(
        csv.DictReader(io.StringIO((run / "figures" / "minima.csv").read_text(encoding="utf-8")))
    )
    assert [float(r["test_loss_stderr"]) for r in found] == [0.0123, 0.0123]
    assert (
        len((run / "figures" / "losses.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 20
    )
    assert (
        len((run / "figures" / "distances.csv").read_text(encoding="utf-8").splitlines()) == 1 + 1
    )


def test_names_are_text_and_not_markup(tmp_path: Path) -> None:
    evil = "<b>&$x_1$"
    claims = [
        claim("one", f"{evil} one", True),
        claim("two", f"{evil} two", None, why=f"{evil} why"),
    ]
    page = draw(
        make_run(
            tmp_path / "r",
            [row(evil), row("1")],
            claims,
            command_line=f"sgdtheory train run.name={evil}",
        )
    ).read_text(encoding="utf-8")
    assert "<b>&$" not in page
    assert page.count("&lt;b&gt;&amp;$x_1$") >= 6


def test_verdicts_and_failed_units_are_told(tmp_path: Path) -> None:
    claims = [
        claim("one", "headline", None, value=None, why="no unit finished"),
        claim("two", "other", False),
    ]
    path = make_run(tmp_path / "r", [row("0")], claims)
    units = Folder(path).read_json("units.json")
    Folder(path).write_json(
        "units.json",
        [*units, {"name": "minimum-1", "status": "failed", "why": "the loss is not finite"}],
    )
    page = draw(path).read_text(encoding="utf-8")
    assert "? cannot be said" in page and "no unit finished" in page
    assert "✗ does not hold" in page
    assert "1 of 2 units failed" in page and "the loss is not finite" in page
    assert "Figure 3" not in page  # one minimum has no distances


def test_a_formula_has_values_instead_of_scores(tmp_path: Path) -> None:
    page = draw(
        make_run(tmp_path / "r", [row("0", formula=True), row("1", formula=True)])
    ).read_text(encoding="utf-8")
    assert "value at the minimum" in page
    assert f"– train error / %, test loss, test error / %: {NO_EXAMPLES}" in page


def test_a_run_that_diverged_everywhere_still_has_a_page(tmp_path: Path) -> None:
    page = draw(
        make_run(
            tmp_path / "r",
            [],
            [claim("minima", "no minimum", None, value=None, why="no unit finished")],
        )
    ).read_text(encoding="utf-8")
    assert "no minimum</h1>" in page and "Figure 1" not in page


def test_an_unfinished_run_names_the_command_that_goes_on(tmp_path: Path) -> None:
    path = make_run(tmp_path / "r", [row("0")])
    (path / "results.json").unlink()
    with pytest.raises(UserError, match=r"not finished(.|\n)*sgdtheory train minima=2"):
        draw(path)
    with pytest.raises(UserError, match="no run is here"):
        draw(tmp_path / "nowhere")


def test_stages_follow_one_another_and_gaps_stay_gaps(tmp_path: Path) -> None:
    path = make_run(tmp_path / "r", [row("0")])
    polish = {"unit": "minimum-0", "stage": "polish", "learning_rate": 0.1, "lost": []}
    Folder(path).append(
        "metrics.jsonl",
        [{**polish, "step": s, "loss": [None if s == 4 else 0.01]} for s in (2, 4, 6)],
    )
    figure = losses(RunData.read(path))
    assert figure is not None
    assert [r["step"] for r in figure.numbers if r["stage"] == "polish"] == [42, 44, 46]
    assert [r["loss"] for r in figure.numbers][-2] is None
    assert "polish begins" in figure.caption


@pytest.mark.parametrize(
    ("value", "stderr", "text", "set_"),
    [
        (0.0123456, 0.0021, "0.0123 ± 0.0021", "0.0123 ± 0.0021"),
        (1.0, 0.0996, "1.00 ± 0.10", "1.00 ± 0.10"),
        (1.23e-7, 2.1e-8, "(1.23 ± 0.21)e-7", "(1.23 ± 0.21) × 10⁻⁷"),
        (12345.6, 678.0, "12,350 ± 680", "12,350 ± 680"),
        (0.0, 0.07, "0.000 ± 0.070", "0.000 ± 0.070"),
        (-2.1e-9, None, "-2.1e-9", "−2.1 × 10⁻⁹"),
        (0.0, 0.0, "0", "0"),
        (None, None, "–", "–"),
        (1234, None, "1,234", "1,234"),
        (True, None, "yes", "yes"),
        ([0, 3], None, "0-3", "0-3"),
    ],
)  # fmt: skip
def test_numbers(value: Any, stderr: float | None, text: str, set_: str) -> None:
    assert number(value, stderr) == text
    assert typeset(text) == set_


def test_text_stays_text(tmp_path: Path) -> None:
    """A run's name may look like a number: only what `number` wrote is set as one. Errors have one unit on a page."""
    assert [typeset(text) for text in ("cnn3-digits-40e71387", "a 2e5", Text("40e71387"), Text("-1"))] == [
        "cnn3-digits-40e71387", "a 2e5", "40e71387", "-1",
    ]  # fmt: skip
    assert typeset("-2.1e-9 %") == "−2.1 × 10⁻⁹ %" and typeset(number("40e71387")) == "40e71387"
    claims = [
        claim("training_error", "training error 6.2 %", False, value=0.06193),
        claim("test_error", "it", None, value=0.05278),
    ]
    names = ("cnn3-digits-40e71387", "x-1e5")
    paths = [
        make_run(tmp_path / "runs" / "train" / name, [row("0")], claims, seed=k)
        for k, name in enumerate(names)
    ]
    page = compare(paths, None).read_text(encoding="utf-8")
    assert "× 10" not in page and page.count("40e71387") >= 2
    assert "6.193 %" in page and "5.278 %" in page and "0.06193" not in page
    assert "5.278 %" in draw(paths[0]).read_text(encoding="utf-8")


def test_nested_numbers_become_columns_with_errors() -> None:
    rows = [
        {
            "pair": [0, 1],
            "path": {"test_error": 0.02, "test_error_stderr": 0.01},
            "barrier": {"value": 0.5, "stderr": 0.1},
        },
        {"pair": [1, 2], "path": None},
    ]
    found = table(rows)
    assert found.headings == ["pair", "path: test error / %", "barrier"]
    assert found.rows == [["0-1", "2.0 ± 1.0", "0.50 ± 0.10"], ["1-2", "–", "–"]]


def test_table_csv_is_tidy() -> None:
    text = table_csv(
        {
            "minima": [{"name": "0"}],
            "edges": [
                {"pair": [0, 1], "barrier": {"value": 0.1, "stderr": None}, "verdict": "a,b"}
            ],
        }
    )
    assert list(csv.reader(io.StringIO(text))) == [
        ["pair", "barrier.value", "barrier.stderr", "verdict"],
        ["0-1", "0.1", "", "a,b"],
    ]
    assert table_csv({"tables": {"first": [{"x": 0.1}], "second": [{"y": 1}]}}) == "x\n0.1\n"
    assert table_csv({"minima": []}) == ""


def test_runs_are_compared(tmp_path: Path) -> None:
    paths = [
        make_run(tmp_path / "runs" / "train" / f"net-{seed}", [row("0")], seed=seed)
        for seed in (1, 2)
    ]
    page = compare(paths, None)
    assert page.parent == tmp_path / "runs" and re.fullmatch(
        r"compare-[0-9a-f]{8}\.html", page.name
    )
    assert compare(paths[::-1], None) == page
    text = compare(paths, None).read_text(encoding="utf-8")
    assert 'href="train/net-1/report.html"' in text and (paths[0] / "report.html").exists()
    assert "sgd.steps" in text and "sgd.momentum" not in text
    out = compare(paths, tmp_path / "elsewhere" / "page.html")
    assert 'href="../runs/train/net-2/report.html"' in out.read_text(encoding="utf-8")


def test_text_stays_text_and_ids_are_the_figures_own() -> None:
    svg = drawing_of("mine", 2.0, lambda canvas: canvas.subplots().set_xlabel("a $b$ label")).svg
    assert "a $b$ label" in svg and "sans-serif" in svg and "DejaVu" not in svg
    assert all(name.startswith("mine-") for name in re.findall(r'\bid="([^"]+)"', svg))


def test_torch_is_never_needed(run: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from sgdtheory.report.page import draw
import sgdtheory.report.results, sgdtheory.report.status
assert "matplotlib" not in sys.modules and "jinja2" not in sys.modules
draw(Path({str(run)!r}))
assert "torch" not in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
