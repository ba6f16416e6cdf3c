"""A picture described as data: what is drawn of it, and what its file of numbers holds."""

from pathlib import Path
from typing import Any

import pytest

from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.plots import plots
from sgdtheory.statistics.measured import Plot

pytestmark = pytest.mark.pictures

ROWS = [
    {
        "rate": rate,
        "size": size,
        "t": rate / size,
        "t_stderr": 0.01,
        "law": rate / size,
        "area": None if size == 8 else 1.0,
    }
    for size in (2, 8)
    for rate in (0.1, 0.2, 0.4)
]


def run_of(plot: Plot, rows: list[dict[str, Any]]) -> RunData:
    return RunData(Path(), {"tables": {"cells": rows}, "plots": [plot.as_dict()]}, [], [], {}, "")


def plot(**changes: Any) -> Plot:
    given = {"name": "law", "title": "T follows the law", "caption": "Marks.", "table": "cells"}
    return Plot(
        **(
            given
            | {
                "x": "rate",
                "y": ("t", "area"),
                "by": "size",
                "labels": {"rate": "learning rate", "size": "b ="},
            }
            | changes
        )
    )


def test_a_panel_for_each_column_and_a_curve_for_each_value() -> None:
    (figure,) = plots(run_of(plot(), ROWS))
    assert figure[:3] == ("law", "T follows the law", "Marks.") and figure.numbers == ROWS
    assert figure.svg.count(">learning rate<") == 2 and ">area<" in figure.svg
    assert ">b = 2<" in figure.svg and ">b = 8<" in figure.svg


def test_theory_is_a_line_of_its_own_and_a_number_that_is_missing_is_left_out() -> None:
    (bare,) = plots(run_of(plot(by=None, y=("t",)), ROWS))
    (told,) = plots(run_of(plot(by=None, y=("t",), theory=("law",)), ROWS))
    assert told.svg != bare.svg
    (gap,) = plots(run_of(plot(by=None, y=("area",)), ROWS))
    (full,) = plots(run_of(plot(by=None, y=("area",)), [row | {"area": 1.0} for row in ROWS]))
    assert gap.svg.count("<use") == full.svg.count("<use") - 3  # the marks of b = 8


def test_equal_data_give_equal_bytes_and_no_rows_no_picture() -> None:
    assert plots(run_of(plot(log="xy"), ROWS)) == plots(run_of(plot(log="xy"), ROWS))
    assert plots(run_of(plot(), [])) == []


def test_single_measurements_are_dots_beside_their_mean_and_the_numbers_of_the_picture() -> None:
    singles = [row | {"t": row["t"] + off} for row in ROWS for off in (-0.02, 0.02)]
    run = run_of(plot(y=("t",), singles="pairs"), ROWS)
    run.results["tables"]["pairs"] = singles
    (figure,), (bare,) = plots(run), plots(run_of(plot(y=("t",)), ROWS))
    assert figure.numbers == singles and figure.svg.count("<use") == bare.svg.count("<use") + len(
        singles
    )
