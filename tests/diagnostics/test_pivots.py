"""Diagnostics at the pivots of paths."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file


@pytest.mark.pictures
def test_the_curvature_along_a_path_is_the_formulas(sgdtheory: Any) -> None:
    """The double well (x² − 1)²/4: L″ = 3x² − 1 at every pivot, negative in the middle, 2 at both
    ends."""
    words = (
        "landscape=double_well",
        "autoneb.steps=20",
        "diagnostic=[spectrum,sharpness]",
        "run.dir=here",
        "--quiet",
    )
    said = sgdtheory("connect", *words)
    assert said.code == 0, said.err
    found = json.loads(Path("here/results.json").read_text(encoding="utf-8"))
    path = load_file("here/paths/0-1.safetensors")
    rows = found["points"]
    assert [row["t"] for row in rows] == pytest.approx(path["t"].tolist()) and {
        row["edge"] for row in rows
    } == {"0-1"}
    exact = (3 * path["path"][:, 0].double() ** 2 - 1).tolist()
    assert [row["trace"] for row in rows] == pytest.approx(exact, abs=1e-5) and min(exact) < -0.9
    assert (rows[0]["t"], rows[-1]["t"]) == (0, 1) and rows[0]["sharpness"] > 0
    figure = Path("here/figures/along_paths.svg").read_text(encoding="utf-8")
    assert "arc position" in figure and "Tr H" in figure
    assert sgdtheory("connect", *words).code == 0  # already done


def test_without_diagnostics_there_are_none(sgdtheory: Any) -> None:
    assert (
        sgdtheory(
            "connect", "landscape=double_well", "autoneb.steps=20", "run.dir=here", "--quiet"
        ).code
        == 0
    )
    assert "points" not in json.loads(Path("here/results.json").read_text(encoding="utf-8"))
