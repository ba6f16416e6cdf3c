"""A page is drawn again where anything that it shows is another than when it was drawn, and only
there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from sgdtheory.errors import UserError
from sgdtheory.report import page as page_module
from sgdtheory.report import seal, sources
from sgdtheory.report.drawing import show_report
from sgdtheory.report.figures.figure import SOURCES
from sgdtheory.report.page import draw
from sgdtheory.runs.folder import Folder
from tests.test_report import make_run, row


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sgdtheory.IMPORTED", float("inf"))  # the checkout may be a second old
    path = make_run(tmp_path / "runs" / "train" / "net-01234567", [row("0"), row("1")])
    folder = Folder(path)
    folder.write_text("table.csv", "name\n0\n1\n")
    folder.write_text("log.txt", "begun\n")
    show_report([path], None)
    return path


def drawn_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether `report` draws."""
    calls: list[Path] = []

    def counting(path: Path, out: Path | None = None) -> Path:
        calls.append(path)
        return draw(path, out)

    monkeypatch.setattr(page_module, "draw", counting)
    show_report([run], None)
    return bool(calls)


def test_a_page_that_is_as_it_would_be_drawn_is_named_and_not_drawn(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert not drawn_again(run, monkeypatch)
    said = capsys.readouterr()
    assert said.out == f"{run}/report.html\n"
    assert "up to date" in said.err


def changed(name: str) -> Callable[[Path], None]:
    """Another content of a file, of equal length and age, that still is one a run may have."""

    def change(run: Path) -> None:
        file = run / name
        before = file.stat()
        if name.endswith(".safetensors"):
            points = np.random.default_rng(1).normal(size=(2, 50)).astype("f4")
            file.write_bytes(save({"minima": points}))
        else:
            text = file.read_text(encoding="utf-8")
            other = text.replace("3", "4", 1) if "3" in text else text.replace("0", "1", 1)
            assert other != text
            file.write_text(other, encoding="utf-8")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_size == before.st_size

    return change


def deleted(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    """A file half-written by somebody who does not rename."""
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-100])


def added(run: Path) -> None:
    Folder(run).write_bytes("paths/0-1.safetensors", save({"t": np.zeros(2)}))


CHANGES = {
    **{f"another {name}": changed(name) for name in (*SOURCES, "minima.safetensors")},
    "no config": deleted("config.yaml"),
    "no points": deleted("minima.safetensors"),
    "no log to link": deleted("log.txt"),
    "a path to link": added,
    "no page": deleted("report.html"),
    "half a page": cut("report.html"),
    "an edited page": changed("report.html"),
    "no picture": deleted("figures/losses.svg"),
    "half a picture": cut("figures/losses.pdf"),
    "no seal": deleted(seal.NAME),
    "half a seal": cut(seal.NAME),
    "a list for a seal": lambda run: Folder(run).write_json(seal.NAME, []) and None,
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_anything_has_the_page_drawn_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    CHANGES[what](run)
    assert drawn_again(run, monkeypatch)
    page = (run / "report.html").read_bytes()
    assert not drawn_again(run, monkeypatch)
    draw(run)
    assert (run / "report.html").read_bytes() == page


def test_a_template_a_module_or_a_version_that_changes_has_it_drawn_again(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "sgdtheory"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sources.PACKAGE, package, ignore=ignored)
    monkeypatch.setattr(sources, "PACKAGE", package)
    for name in ("report/templates/page.js", "report/figures/style.py", "statistics/numbers.py"):
        with (package / name).open("a", encoding="utf-8") as file:
            file.write("\n")
        sources.drawing_code.cache_clear()
        assert drawn_again(run, monkeypatch), name
    assert not drawn_again(run, monkeypatch)
    monkeypatch.setattr("sgdtheory.__version__", "99")
    sources.drawing_code.cache_clear()
    assert drawn_again(run, monkeypatch)
    sources.drawing_code.cache_clear()


def test_another_name_of_a_run_has_it_drawn_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page says the command that makes it again, with the run as it was typed."""
    monkeypatch.chdir(run.parent)
    assert drawn_again(Path(run.name), monkeypatch)
    assert not drawn_again(Path(run.name), monkeypatch)


def test_what_a_stranger_says_of_his_page_is_not_believed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = run.with_name("elsewhere")
    run.rename(elsewhere)
    shutil.copytree(elsewhere, run)
    assert drawn_again(run, monkeypatch)


def test_what_the_end_of_a_run_notes_does_not_make_its_page_old(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(run)
    late = {"status": "failed", "finished": 2e9, "seconds": 5.0, "why": "x", "drawn": []}
    before = (run / "report.html").read_bytes()
    folder.write_json("manifest.json", {**folder.read_object("manifest.json"), **late})
    assert set(late) == set(sources.LATER)
    assert not drawn_again(run, monkeypatch)
    draw(run)
    assert (run / "report.html").read_bytes() == before


def test_code_that_changed_while_a_process_ran_seals_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / seal.NAME).unlink()
    monkeypatch.setattr("sgdtheory.IMPORTED", 0.0)
    assert drawn_again(run, monkeypatch)
    assert not (run / seal.NAME).exists()


def test_a_page_elsewhere_is_always_drawn(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "p.html"
    for _ in range(2):
        show_report([run], out)
        assert out.exists()
        out.unlink()
    assert not drawn_again(run, monkeypatch)


def test_a_run_that_is_damaged_is_said_to_be_so(run: Path) -> None:
    Folder(run).write_text("config.yaml", "- " * (1 << 18))
    with pytest.raises(UserError, match=r"config\.yaml"):
        show_report([run], None)


def test_all_code_that_draws_is_looked_at_and_none_of_it_imported_for_that(run: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from sgdtheory.report.drawing import show_report
show_report([Path({str(run)!r})], None)
heavy = {{"torch", "matplotlib", "jinja2", "numpy", "yaml"}} & set(sys.modules)
assert not heavy, heavy
from sgdtheory.report.page import draw
from sgdtheory.report.sources import _code
draw(Path({str(run)!r}))
mine = [m.__file__ for name, m in sys.modules.items() if name.split(".")[0] == "sgdtheory"]
assert {{Path(file) for file in mine}} <= set(_code())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
