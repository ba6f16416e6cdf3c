"""Copies of a run are one run; intervals of shares are shares."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

import sgdtheory
from sgdtheory.report.compared import compare, runs_csv
from sgdtheory.report.many_runs import brief, groups_of
from sgdtheory.report.summaries import summaries_of
from sgdtheory.runs.folder import Folder
from sgdtheory.statistics.over_seeds import over_seeds, shares_over_seeds

ERRORS = (0.0, 0.001, 0.005, 0.0)


def write_run(path: Path, seed: int, error: float, of: str = "error") -> Path:
    """A small finished run of `train` with one claim, written by hand."""
    folder = Folder(path)
    claim = {"name": "test_error", "statement": "test error", "value": error, "stderr": None}
    claim |= {"expected": "", "holds": None, "why": ""}
    edges = [{"verdict": "connected by a line"}, {"verdict": "not connected at this budget"}]
    computed = {"command": "train", "seed": seed, "config_hash": f"abc{seed}"}
    told = {"claims": [claim], "edges": edges, "seconds": 1.0, "scores": {"unit": "", "error": of}}
    folder.write_json("results.json", {**computed, **told})
    folder.write_json("manifest.json", {**computed, "status": "done", "overrides": []})
    folder.write_json("units.json", [])
    folder.write_text("config.yaml", f"seed: {seed}\nrun:\n  name: {path.name}\n")
    folder.write_text("report.html", "<p>there already</p>")
    return path


@pytest.fixture
def copied(tmp_path: Path) -> list[Path]:
    """Two runs, and a copy of the first between them."""
    root = tmp_path / "runs" / "train"
    first, other = (write_run(root / f"r{seed}", seed, 0.1 + 0.2 * seed) for seed in range(2))
    return [first, Path(shutil.copytree(first, tmp_path / "copy")), other]


def test_a_copy_is_no_further_seed(copied: list[Path]) -> None:
    (group,) = groups_of([brief(path) for path in copied])
    assert [run.path for run in group.runs] == copied[::2]
    assert group.remarks == [f"{copied[1]}: the same run as {copied[0]}, counted once"]
    error, edges = summaries_of([group])
    assert (error["runs"], error["seeds"]) == (edges["runs"], edges["seeds"]) == (2, 2)
    # 0.1 and 0.3: s/√2 = 0.1; of four edges two are connected
    assert error["mean"] == pytest.approx(0.2) and error["mean_stderr"] == pytest.approx(0.1)
    assert edges["mean_stderr"] == pytest.approx(np.sqrt(2 * 2 / 4 + 0.25) / 5)


def test_page_and_table_name_the_copy(
    copied: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    page = compare(copied, None)
    remark = f"{copied[1]}: the same run as {copied[0]}, counted once"
    assert remark in page.read_text(encoding="utf-8") and remark in capsys.readouterr().err
    assert page == compare(copied[::2], None)
    rows = list(csv.DictReader(io.StringIO(runs_csv(copied))))
    assert [row["run"] for row in rows] == [str(path) for path in copied[::2]]
    assert "1 run compared" in compare(copied[:2], None).read_text(encoding="utf-8")


def test_the_table_in_python_has_each_run_once(
    copied: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = sgdtheory.table([*copied, copied[0]])
    assert found["run"].to_list() == [str(path) for path in copied[::2]]
    (remark,) = capsys.readouterr().err.splitlines()
    assert str(copied[1]) in remark and "counted once" in remark


def test_runs_of_equal_seeds_that_began_elsewhere_are_runs_and_one_seed(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"r{k}", 0, 0.1 * k) for k in range(3)]
    for k, path in enumerate(paths):
        Folder(path).write_json(
            "results.json", {**Folder(path).read_json("results.json"), "config_hash": str(k)}
        )
    (error, _) = summaries_of(groups_of([brief(path) for path in paths]))
    assert (error["runs"], error["seeds"]) == (3, 1)


@pytest.mark.parametrize(("of", "is_share"), [("error", True), ("1 − R²", False)])
def test_intervals_of_errors_of_classes_are_shares(of: str, is_share: bool, tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"r{k}", k, error, of) for k, error in enumerate(ERRORS)]
    error = next(summaries_of(groups_of([brief(path) for path in paths])))
    low, high = error["interval_low"], error["interval_high"]
    assert (low >= 0) == is_share and low < error["interquartile_mean"] < high < 1


def test_the_interval_of_shares_near_0_covers_what_it_says() -> None:
    """Errors of 1,000 examples at p = 0.002, five seeds, 400 times: 98 % measured over 4,000, which
    is ± 0.7 % here; in the middle it is that without a bound, to 1 % of its length."""
    source = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        interval = shares_over_seeds(source.binomial(1000, 0.002, 5) / 1000).interval
        assert interval is not None and 0 <= interval[0] <= interval[1] <= 1
        covered += interval[0] <= 0.002 <= interval[1]
    assert covered >= 376
    halves = 0.5 + 0.01 * source.normal(size=5)
    bounded, free = (found(halves).interval for found in (shares_over_seeds, over_seeds))
    assert bounded is not None and free is not None
    assert np.allclose(bounded, free, rtol=0, atol=0.01 * (free[1] - free[0]))
    assert shares_over_seeds([1.0, 1.0, 1.0]).interval == (1.0, 1.0)
