"""A diagnostic that fails at one point keeps what it knows of the others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.diagnostics.diagnostic import diagnose
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Measured


class Picky:
    """Fails where the first coordinate is negative, or everywhere."""

    def __init__(self, never: bool = False) -> None:
        self.never = never

    def __call__(self, landscape: Any, cloud: Tensor) -> list[dict[str, Measured]]:
        if self.never or bool((cloud[:, 0] < 0).any()):
            raise NotImplementedError(
                "derivative for aten::hardsigmoid_backward is not implemented"
            )
        return [
            {"top": Measured(float(theta[0]), 0.1), "share": Measured.nothing("it is flat")}
            for theta in cloud
        ]


def rows_of(diagnostic: Any, tmp_path: Path) -> list[dict[str, Any]]:
    cloud = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]])
    minimum = Unit("minimum", {})
    before = UnitFolder(tmp_path / minimum.hash, minimum)
    before.finish({}, {"minima": cloud})
    before.write_json("status.json", {"status": "done"})
    folder = UnitFolder(tmp_path / "after", Unit("picky", {}, needs=(minimum,)))
    diagnose(diagnostic, "picky", Quadratic((1.0, 1.0)), "minima", folder)
    found = folder.written()
    assert found is not None
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def test_one_point_of_three(tmp_path: Path) -> None:
    why = "NotImplementedError: derivative for aten::hardsigmoid_backward is not implemented"
    first, lost, last = rows_of(Picky(), tmp_path)
    assert (
        first == {"top": 1.0, "top_stderr": 0.1, "share": None, "share_why": "it is flat"}
        and last["top"] == 2.0
    )
    assert lost == {"top": None, "top_why": why, "share": None, "share_why": why}


def test_all_points(tmp_path: Path) -> None:
    rows = rows_of(Picky(never=True), tmp_path)
    assert [row["picky"] for row in rows] == [None] * 3 and all(
        "hardsigmoid" in row["picky_why"] for row in rows
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda cloud: 0.5, "returned a float"),
        (lambda cloud: {"norm": 0.5}, "returned a dict"),
        (lambda cloud: cloud.norm(dim=1), "returned a Tensor"),
        (lambda cloud: "0.5", "returned a str"),
        (lambda cloud: [0.5] * len(cloud), "returned a list of float"),
        (lambda cloud: [{"norm": 0.5}] * len(cloud), "returned a float as 'norm'"),
        (lambda cloud: [{"norm": Measured(0.5)}] * 2, "returned 2 rows for 1 points"),
    ],
)
def test_what_is_no_answer_is_told_in_one_line(answer: Any, told: str, tmp_path: Path) -> None:
    """What it was, what it must be, and where that stands; no fault of Python's."""
    rows = rows_of(lambda landscape, cloud: answer(cloud), tmp_path)
    for row in rows:
        why = row["picky_why"]
        assert row["picky"] is None and why.startswith(f"diagnostic.picky {told}; it must return")
        assert "Measured" in why and "CONTRIBUTING.md" in why and "\n" not in why
    assert "### A diagnostic" in Path("CONTRIBUTING.md").read_text(encoding="utf-8")
