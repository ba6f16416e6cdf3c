"""Minima that are one: their clouds are repeats, and what minima scatter is not known from them."""

import json
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.runs.folder import Folder
from sgdtheory.statistics.power_law import Fit
from sgdtheory.temperature.claims import claims_of, fit_over_minima
from sgdtheory.temperature.distinct_minima import same_as
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from tests.conftest import Command
from tests.plain_pictures import draw_plainly

WORDS = (
    "landscape=double_well", "sweep.learning_rate=[0.02,0.04]", "sweep.batch_size=[64,128]", "precision=0.2", "replicas=8",
    "executor.workers=1", "threads=1",
)  # fmt: skip


def swept(sgdtheory: Command, folder: Path, *points: float) -> dict[str, Any]:
    name = f"{len(points)}.safetensors"
    tensors = {"minima": torch.tensor(points, dtype=torch.float64)[:, None]}
    Folder(folder).write_tensors(name, tensors)
    said = sgdtheory("sweep-temperature", *WORDS, f"minima={name}", f"run.dir=sweep-{len(points)}")
    assert said.code == 0, said.err
    results = json.loads((folder / f"sweep-{len(points)}/results.json").read_text(encoding="utf-8"))
    return dict(results)


def test_a_minimum_that_is_there_again_is_a_repeat(
    sgdtheory: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 and its copy draw apart, and the mirror image −1 is as good as a copy; one minimum alone has
    the bits that it has among others."""
    draw_plainly(monkeypatch.setattr)
    one, three = swept(sgdtheory, tmp_path, 1.0), swept(sgdtheory, tmp_path, 1.0, 1.0, -1.0)
    assert three["cells"][:4] == one["cells"]
    values = {cell["fluctuation_dissipation"]["value"] for cell in three["cells"]}
    assert len(values) == 12
    assert [cell.get("same_as") for cell in three["cells"]] == [None] * 4 + [0] * 8
    assert [row.get("same_as") for row in three["minima"]] == [None, 0, 0]
    claims = {claim["name"]: claim for claim in three["claims"]}
    assert "at 3 minima that count as 1" in claims["slope"]["statement"]
    assert claims["distinct"]["value"] == 1 and claims["distinct"]["holds"] is None
    assert claims["distinct"]["statement"].startswith("minima 1, 2 are minimum 0 again")
    assert "distinct" not in {claim["name"] for claim in one["claims"]}


def ground(shift: float = 0.0) -> ReferenceMinimum:
    bowl = Quadratic((1.0, 0.3))
    known = reference_minimum_at(bowl, torch.zeros(2, dtype=torch.float64), 0, 8)
    numbers = known.numbers.clone()
    numbers[2] *= 1 + shift
    return known._replace(numbers=numbers)


def test_to_rounding_they_are_the_same() -> None:
    """Tr C that differs by 10⁻⁹ is rounding, by 10⁻³ another minimum."""
    apart, rounded = ground(1e-3), ground(1e-9)
    found = {(0, 0): ground(), (1, 0): apart, (2, 0): rounded, (3, 0): apart}
    assert same_as(found) == {2: 0, 3: 1}
    of_sizes = {(0, 8): ground(), (0, 16): ground(), (1, 8): rounded, (1, 16): apart}
    assert same_as(of_sizes) == {}


MIDDLE = 0.1 * sqrt(8)  # of the learning rates, where all lines meet


def cells(slope: float, minimum: int, **again: int) -> list[dict[str, Any]]:
    """Four cells on a law, with errors of 1 %."""
    rows = []
    for rate in (0.1, 0.2, 0.4, 0.8):
        value = rate / 16 * (rate / MIDDLE) ** (slope - 1)
        found = {"value": value, "stderr": 0.01 * value}
        rows.append({
            "minimum": minimum, **again, "learning_rate": rate, "batch_size": 8, "momentum": 0.0,
            "sampling": "iid", "predicted": rate / 16, "stationary": True, "harmonic": True, "why": "",
            "noise_trace": 1.0, "noise_trace_at_minimum": 1.0, "temperature": {"excess_loss": found},
        })  # fmt: skip
    return rows


def test_copies_say_nothing_of_how_minima_scatter() -> None:
    """Slopes 1 and 1.2 have a standard deviation of 0.2/√2. Of two minima the mean has it over √2;
    where the first is there three times it weighs ¾: √(9 + 1)/4 of it. Counted as four they had
    0.05."""
    two = fit_over_minima([*cells(1.0, 0), *cells(1.2, 1)])
    assert isinstance(two, Fit) and two.slope_stderr == pytest.approx(0.2 / sqrt(2) / sqrt(2))
    copies = [*cells(1.0, 1, same_as=0), *cells(1.0, 2, same_as=0)]
    four = fit_over_minima([*cells(1.0, 0), *copies, *cells(1.2, 3)])
    assert isinstance(four, Fit)
    assert four.slope_stderr == pytest.approx(0.2 / sqrt(2) * sqrt(10) / 4)
    told = {claim.name: claim for claim in claims_of([*cells(1.0, 0), *copies], "a bowl")}
    assert "at 3 minima that count as 1" in told["slope"].statement
    assert "3 minima count as 1" in told["distinct"].statement
