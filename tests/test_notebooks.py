"""The notebooks run from the first cell to the last."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def drawn_nowhere() -> Iterator[None]:
    before = matplotlib.get_backend()
    matplotlib.use("agg")
    yield
    matplotlib.use(before)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "notebooks are kept without what they print"
            exec(compile("".join(cell["source"]), f"{notebook.name}[{number}]", "exec"), names)
    assert not any(path.is_dir() for path in tmp_path.iterdir())  # no run is left


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3
