"""The page of several runs: where it is kept, what its columns are called, and what it leaves out."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdtheory.errors import UserError
from sgdtheory.report import quantities
from sgdtheory.report.compared import compare, means_table, runs_csv
from sgdtheory.report.many_runs import briefs_of, groups_of
from sgdtheory.report.quantities import quantities_of
from sgdtheory.report.summaries import NOTE, summaries_of, summaries_table
from sgdtheory.runs.folder import Folder


def write(
    path: Path,
    command: str,
    claims: dict[str, float],
    config: str = "",
    words: Sequence[str] = (),
    root: str | None = None,
    **results: Any,
) -> Path:
    """A small finished run, written by hand."""
    rest = {"stderr": None, "expected": "", "holds": True, "why": ""}
    rows = [{"name": k, "statement": k, "value": v, **rest} for k, v in claims.items()]
    told = {"command": command, "seed": 0, "config_hash": str(path), "claims": rows}
    folder = Folder(path)
    folder.write_json("results.json", {**told, "seconds": 1.0, **results})
    manifest = {"command": command, "status": "done", "overrides": list(words)}
    folder.write_json("manifest.json", {**manifest, **({"root": root} if root else {})})
    folder.write_json("units.json", [])
    folder.write_text("config.yaml", config)
    folder.write_text("report.html", "<p>there already</p>")
    return path


def trained(path: Path, **more: Any) -> Path:
    return write(path, "train", {"training_error": 0.02, "test_error": 0.1}, **more)


@pytest.mark.parametrize(
    ("names", "root", "home"),
    [
        (("mine", "mine2"), "../runs", "runs"),
        (("mine", "mine2"), "..", "."),  # connect(..., run="mine")
        (("mine", "mine2"), None, "."),
        (("mine", "mine2"), "../..", "."),  # it was moved: this leads out of where all is done
        (("mine", "deep/mine"), "../..", "."),
        (("a/train/x", "a/train/y"), "../..", "a"),
        (("a/train/x", "b/train/x"), "../..", "."),
        (("a/x", "a/y"), None, "a"),
    ],
)
def test_a_page_is_kept_where_its_runs_are(
    names: Sequence[str],
    root: str | None,
    home: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under the root of the runs, and never outside of the working directory that they are in."""
    here = tmp_path / "one" / "two"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    paths = [trained(Path(name), root=root) for name in names]
    page = compare(paths, None)
    assert not page.is_absolute() and page.parent == Path(home)
    assert compare(paths[::-1], None) == page
    assert {file.name for file in tmp_path.iterdir()} == {"one"}
    assert {file.name for file in (tmp_path / "one").iterdir()} == {"two"}


def test_a_page_of_runs_elsewhere_is_kept_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    moved = [trained(tmp_path / "there" / name, root="../..") for name in "xy"]
    assert compare(moved, None).parent == tmp_path / "there"
    usual = [trained(tmp_path / "runs" / "train" / name, root="../..") for name in "xy"]
    assert compare(usual, None).parent == tmp_path / "runs"


def connected(path: Path, barrier: float, **more: Any) -> Path:
    edges = [{"verdict": "connected by a line"}]
    claims = {"connected": barrier, "test_error": 0.0}
    return write(path, "connect", claims, edges=edges, scores={"unit": "nats"}, **more)


def test_barriers_have_one_column_with_their_unit(tmp_path: Path) -> None:
    net = connected(tmp_path / "net", -0.002, config="model: a\n")
    formula = write(tmp_path / "formula", "connect", {"barrier": 0.25}, scores={"unit": ""})
    page = compare([net, formula], tmp_path / "page.html").read_text(encoding="utf-8")
    titles = re.findall("<th[^>]*>(.*?)</th>", page)
    assert "barrier" in titles and "connected" not in titles
    assert "−0.002 nats" in page and "0.25</td>" in page
    rows = list(csv.DictReader(io.StringIO(runs_csv([net, formula]))))
    assert [(row["barrier"], row["barrier_unit"]) for row in rows] == [
        ("-0.002", "nats"),
        ("0.25", ""),
    ]
    assert "connected" not in rows[0]


def test_the_barrier_of_a_group_has_its_unit(tmp_path: Path) -> None:
    paths = [connected(tmp_path / f"r{k}", 0.1 + 0.1 * k) for k in range(2)]
    runs, _ = briefs_of(paths)
    (row,) = means_table(groups_of(runs), quantities_of(runs)).rows
    assert "0.150 ± 0.050 nats" in row
    first, *_ = summaries_of(groups_of(runs))
    assert (first["number"], first["unit"]) == ("barrier", "nats")


def test_errors_are_called_what_they_are(tmp_path: Path) -> None:
    paths = [trained(tmp_path / "t"), connected(tmp_path / "c", 0.1)]
    (header,) = list(csv.reader(io.StringIO(runs_csv(paths))))[:1]
    wanted = ["largest_training_error", "mean_test_error", "test_error_above_the_ends"]
    assert [name for name in header if name.endswith(("_error", "_ends"))] == wanted
    page = compare(paths, tmp_path / "page.html").read_text(encoding="utf-8")
    titles = re.findall("<th[^>]*>(.*?)</th>", page)
    assert [name.replace("_", " ") in titles for name in wanted] == [True] * 3
    assert "2 %" in page and "10 %" in page


def test_what_is_called_otherwise_is_claimed_somewhere() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path("sgdtheory").rglob("*.py")]
    for _, claim in quantities.NAMES:
        assert any(re.search(rf'Claim\(\s*"{claim}"', text) for text in sources), claim


def test_an_error_over_edges_is_told_as_one(tmp_path: Path) -> None:
    runs, _ = briefs_of([connected(tmp_path / f"r{k}", 0.1) for k in range(2)])
    rows = list(summaries_of(groups_of(runs)))
    assert rows[-1]["number"] == "share of edges connected (± over edges)"
    assert "over edges" in summaries_table(rows).rows[-1][1] and "share of edges" in NOTE


def test_names_are_of_what_tells_a_group_from_others_of_its_command(tmp_path: Path) -> None:
    shared = ["model=mlp", "data.limit=1000"]
    paths = []
    for k, width in enumerate((8, 16)):
        word = f"model.widths=[{width}]"
        paths.append(trained(tmp_path / f"t{k}", config=f"w: {k}\n", words=[*shared, word]))
    paths.append(connected(tmp_path / "c", 0.1, words=["pairs=all"]))
    runs, _ = briefs_of(paths)
    names = [group.name for group in groups_of(runs)]
    assert names == ["train model.widths=[8]", "train model.widths=[16]", "connect"]
    page = compare(paths, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "All of train with model=mlp data.limit=1000" in page
    assert "All of connect with pairs=all" in page


def test_long_names_go_on_in_a_second_line_and_are_not_cut(tmp_path: Path) -> None:
    paths = []
    for k in range(4):
        words = [f"landscape.something={'xy'[k // 2] * 60}", "model=mlp"]
        config = f"sgd:\n  batch_size: {k // 2}\n"
        paths.append(trained(tmp_path / f"t{k}", config=config, words=words))
    page = compare(paths, tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'class="folded">' in page
    assert "ellipsis" not in page
    assert "<td>2</td>" in page  # a number stays in its line


CONFIG = """seed: 0
run:
  root: {root}
landscape:
  model: ${{model}}
  home: ${{run.root}}
  rate: ${{sgd.rate}}
model:
  widths: [{widths}]
  bias: {bias}
sgd:
  rate: {rate}
"""


def test_differences_are_told_for_each_command_as_values(tmp_path: Path) -> None:
    told = [
        {"widths": "16, 32", "bias": "true", "rate": 1, "root": "a"},
        {"widths": "16, 32, 64", "bias": "null", "rate": 1, "root": "b"},
    ]
    paths = [trained(tmp_path / f"t{k}", config=CONFIG.format(**told[k])) for k in range(2)]
    for k in range(2):
        config = f"autoneb:\n  steps: {k}\n  other: 1\n"
        paths.append(connected(tmp_path / f"c{k}", 0.1, config=config))
    text = compare(paths, tmp_path / "page.html").read_text(encoding="utf-8")
    text = text.partition("Where their configurations differ")[2]
    of_train, of_connect = text.split("<table")[1:]
    cells = [re.findall("<td[^>]*>(.*?)</td>", row) for row in of_train.split("<tr>")[2:]]
    assert cells == [
        ["model.widths", "[16, 32]", "[16, 32, 64]"],
        ["model.bias", "true", "null"],
    ]
    assert "autoneb.steps" in of_connect and "autoneb.other" not in of_connect
    assert "Of train" in text and "Of connect" in text
    rows = list(csv.DictReader(io.StringIO(runs_csv(paths[:2]))))
    assert [row["model.widths"] for row in rows] == ["[16, 32]", "[16, 32, 64]"]
    assert "landscape.rate" not in rows[0]


def test_settings_that_a_run_does_not_use_are_no_difference(tmp_path: Path) -> None:
    """The model of a formula is the default that no one reads."""
    used = "landscape:\n  model: ${model}\n"
    paths = []
    for k, (head, width) in enumerate(((used, 8), (used, 16), ("", 32))):
        config = f"{head}model:\n  width: {width}\n  depth: {1 + k // 2}\n"
        paths.append(connected(tmp_path / f"c{k}", 0.1, config=config))
    text = compare(paths, tmp_path / "page.html").read_text(encoding="utf-8")
    text = text.partition("Where their configurations differ")[2]
    rows = [re.findall("<td[^>]*>(.*?)</td>", row) for row in text.split("<tr>")[2:]]
    assert rows == [["model.width", "8", "16", ""]]


def test_names_by_settings_tell_all_groups_apart(tmp_path: Path) -> None:
    first = "landscape:\n  _target_: some.where.Bowl\n  a: 1\n"
    paths = []
    for k in range(3):
        more = "".join(f"  {key}: {k // 2}\n" for key in "bcdef")
        paths.append(trained(tmp_path / f"t{k}", config=f"{first}{more}last: {k}\n"))
    config = "landscape:\n  _target_: some.where.Ring\n"
    paths.append(trained(tmp_path / "ring", config=config))
    names = [group.name for group in groups_of(briefs_of(paths)[0])]
    assert len(set(names)) == 4 and names[0].startswith("landscape=Bowl landscape.a=1")


def test_a_reference_is_what_it_leads_to(tmp_path: Path) -> None:
    given = ("rate: ${sgd.rate}", "rate: 2")
    paths = []
    for k, line in enumerate(given):
        config = f"sgd:\n  rate: 1\nloop: ${{loop}}\n{line}\n"
        paths.append(trained(tmp_path / f"t{k}", config=config))
    rows = list(csv.DictReader(io.StringIO(runs_csv(paths))))
    assert [row["rate"] for row in rows] == ["1", "2"]


def test_unfinished_runs_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [trained(tmp_path / f"t{k}", config=f"w: {k}\n") for k in range(3)]
    (paths[1] / "results.json").unlink()
    page = compare(paths, tmp_path / "page.html").read_text(encoding="utf-8")
    remark = f"left out, it is not finished yet: {paths[1]}"
    assert remark in page and remark in capsys.readouterr().err and "2 runs compared" in page
    rows = list(csv.DictReader(io.StringIO(runs_csv(paths))))
    assert [row["run"] for row in rows] == [str(paths[0]), str(paths[2])]
    for path in paths[::2]:
        (path / "results.json").unlink()
    with pytest.raises(UserError, match=r"t0: this run is not finished"):
        compare(paths, tmp_path / "page.html")
