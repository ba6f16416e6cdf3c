"""What a column is of: its heading and its cells agree on what they are measured in."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sgdtheory.report.figures.columns import FRACTIONS, heading, is_fraction, quantity, with_error
from sgdtheory.report.figures.table import table

ROOT = Path(__file__).parents[1]
OF_ONE = re.compile(r"(?<![a-z])(fraction|share|error)s?(?![a-z])")
# columns that are called so and are not read in per cent: what pictures of studies draw, as it
# stands there, and what is no fraction
AS_IT_STANDS = {
    "share",  # of training, an axis of instability; of mistakes, in results.json alone
    "share_left",  # an axis of compensation
    "error",  # an axis of instability
    "batches_error",  # the standard error of batch sharpness
}
# no columns: settings, objects of columns, names in other files
ELSEWHERE = {"test_share", "shared_mistakes", "errors"}


def keys_of(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield key
            yield from keys_of(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from keys_of(value)


def words_of_the_code() -> Iterator[str]:
    """Every text in the package that could name a column, also where no pinned run has it."""
    for path in (ROOT / "sgdtheory").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.keyword) and node.arg:
                yield node.arg


def written() -> set[str]:
    """All columns that any command, diagnostic and study has, without their errors and reasons."""
    pinned = json.loads((ROOT / "tests" / "pinned.json").read_text(encoding="utf-8"))
    names = {*keys_of(pinned["jobs"])}
    columns = {name for name in names if not name.endswith(("_stderr", "_why"))}
    assert {"flat_fraction_data", "test_error", "noise_top10_share", "made_up"} <= columns
    return {name for name in columns if re.fullmatch(r"[a-z]\w*", name)}


def shown(name: str, value: float) -> tuple[str, str]:
    """A column's heading and its cell."""
    found = table([{"name": "a", name: value, f"{name}_stderr": None}], unit="nats")
    return found.headings[1], found.rows[0][1]


@pytest.mark.parametrize("form", ["{}", "path.{}", "{}[bias]", "{}[encoder.weight]", "{}[^[0-9]%]"])
def test_a_heading_in_per_cent_has_cells_in_per_cent(form: str) -> None:
    for name in sorted(written() | {*FRACTIONS}):
        title, cell = shown(form.format(name), 0.25)
        is_percent = title.endswith(" / %")
        assert cell == ("25" if is_percent else "0.25"), name
        assert is_percent == (name in FRACTIONS) == is_fraction(form.format(name)), name


def test_errors_of_a_fraction_are_in_per_cent_too() -> None:
    rows = [{"flat_fraction[a.b]": 0.3571, "flat_fraction[a.b]_stderr": 0.012}]
    found = table(rows)
    assert (found.headings, found.rows) == (["flat fraction[a.b] / %"], [["35.7 ± 1.2"]])


def test_what_is_called_a_fraction_is_one_or_is_said_to_be_none() -> None:
    called = {quantity(name) for name in written() if OF_ONE.search(name.replace("_", " "))}
    is_name = re.compile(r"[a-z][a-z0-9]*_[a-z0-9_]*[a-z0-9]")
    words = {word for word in words_of_the_code() if is_name.fullmatch(word)}
    stems = {re.sub("_(stderr|why)$", "", word) for word in words}
    called |= {name for name in stems if OF_ONE.search(name.replace("_", " "))}
    assert called - {*FRACTIONS} <= AS_IT_STANDS | ELSEWHERE
    assert not AS_IT_STANDS & {*FRACTIONS}


def test_other_words_for_a_fraction_say_per_cent() -> None:
    """A study's words for its axes, of which the table multiplies the cells by 100."""
    rows = [{"test_error": 0.25, "share": 0.25}]
    found = table(rows, labels={"test_error": "error of the copies", "share": "share before"})
    assert found.headings == ["error of the copies / %", "share before"]
    assert found.rows == [["25", "0.25"]]
    assert heading("test_error", label="error (%)") == "error (%)"


def test_dots_in_brackets_are_no_parents() -> None:
    rows = [{"trace[a": 1.0, "trace[a.b]": 2.0}]
    assert table(rows).headings == ["trace[a", "trace[a.b]"]


def test_what_errors_are_called_leaves_expressions_alone() -> None:
    told = with_error("train error[error_head] / %", "1 − R²")
    assert told == "train 1 − R²[error_head] / %"
