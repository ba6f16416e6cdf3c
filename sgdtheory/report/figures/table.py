"""Rows of results as people read them: numbers with their standard errors, and why a number is
missing."""

import csv
import io
import json
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple, TypeGuard

from sgdtheory.report.figures.columns import heading, is_fraction
from sgdtheory.report.stdio import harmless
from sgdtheory.statistics.numbers import SMALL, in_cell, on_page
from sgdtheory.statistics.rows import Row, Rows

# chosen, not found
SETTINGS = (
    "minimum",
    "steps",
    "learning_rate",
    "batch_size",
    "momentum",
    "sampling",
    "replicas",
)
MOST_LISTED = 8  # numbers in one cell; more are a curve, which figures and results.json hold
# what a formula begins with in a spreadsheet
FORMULAS = (
    "=",
    "+",
    "-",
    "@",
    "＝",
    "＋",
    "－",
    "＠",
)
NO_LABELS: Mapping[str, str] = {}
BESIDE = ("_stderr", "_why")  # columns that belong to the one before
MEASURED = {"value", "stderr", "why", "unit"}  # of a number with its error in results.json


class Text(str):
    """A cell that is a name or a sentence: whatever it looks like, it is no number."""


class Table(NamedTuple):
    """Text in rows and columns; `notes` say why there are dashes, and what was left out because it
    is all dashes."""

    headings: list[str]
    rows: list[list[str]]
    notes: list[str]


def number(value: object, stderr: float | None = None, small: float = SMALL) -> str:
    """A number to four digits, or with its standard error to two digits of the error; – for none.
    Below `small` it has a power of ten.

    0.0123 ± 0.0021 · (1.23 ± 0.21)e-7 · 2.1e-9 · 1,234 · yes · 0-3, a pair
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_pair(value):
        return Text(pair_name(value))
    if isinstance(value, list):
        return ", ".join(map(number, value))
    if isinstance(value, int | float):
        return in_cell(value, stderr, small)
    return Text(value)


def is_pair(value: object) -> TypeGuard[list[int]]:
    """Two minima, by their numbers."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(type(item) is int for item in value)


def pair_name(pair: list[int]) -> str:
    """0-1: two minima, as they are called everywhere."""
    first, second = pair
    return f"{first}-{second}"


def typeset(text: str) -> str:
    """A number for a page: a true minus, and × 10⁻⁷ for e-7. Text is left as it is."""
    if isinstance(text, Text):
        return text
    return on_page(text)


def table(
    rows: Rows,
    columns: dict[str, str] | None = None,
    unit: str = "",
    labels: Mapping[str, str] = NO_LABELS,
) -> Table:
    """Rows of results.json as text. `columns`: which ones and their headings; without, all of them,
    settings that are the same in every row as a note. `unit`: of the loss; `labels`: what some
    columns are called."""
    flat = [flatten(_joined(row)) for row in rows]
    named = columns or {name: heading(name, unit, labels.get(name, "")) for name in _columns(flat)}
    shown = [name for name in named if _has_values(flat, name)]
    notes = _missing(flat, named)
    if columns is None:
        constant = [name for name in shown if _is_constant(flat, name)]
        shown = [name for name in shown if name not in constant]
        if constant:
            settings = [f"{named[name]} {_cell(flat[0], name)}" for name in constant]
            notes = [f"In every row: {', '.join(settings)}", *notes]
    smalls = {name: _smallest_plain(flat, name) for name in shown}
    body = []
    for row in flat:
        body.append([_cell(row, name, smalls[name]) for name in shown])
    return Table([named[name] for name in shown], body, notes)


def _missing(rows: Rows, named: dict[str, str]) -> list[str]:
    """Why there are dashes, a line for each reason with the columns it is one for."""
    missing: dict[str, list[str]] = {}
    for name, label in named.items():
        one_line = label.replace("\n", " ")
        reasons = [row.get(f"{name}_why") for row in rows if row.get(name) is None]
        for reason in sorted({str(reason) for reason in reasons if reason}):
            missing.setdefault(reason, []).append(one_line)
    return [f"– {', '.join(labels)}: {reason}" for reason, labels in missing.items()]


def _is_constant(rows: Rows, name: str) -> bool:
    """A setting that is the same in all of several rows."""
    if name not in SETTINGS or len(rows) < 2:
        return False
    values = {str(row.get(name)) for row in rows}
    return len(values) == 1


def percent(value: object, stderr: float | None = None) -> str:
    """A fraction as people read it: 5.3 ± 1.2 %."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return number(value)
    return f"{number(100 * value, _times_100(stderr))} %"


def claimed(claim: Row) -> str:
    """What a claim has measured, in the unit of its sentence: errors are fractions in files and per
    cent for people."""
    written = percent if is_fraction(claim["name"]) else number
    return written(claim["value"], claim["stderr"])


def _has_values(rows: Rows, name: str) -> bool:
    return any(row.get(name) not in (None, "") for row in rows)


def _smallest_plain(rows: Rows, name: str) -> float:
    """Below what a column's numbers have a power of ten: where one needs it, its neighbours, up to
    a hundred times as large, have one too."""
    values = [row.get(name) for row in rows]
    sizes = [abs(value) for value in values if isinstance(value, float)]
    is_small = any(0 < size < SMALL for size in sizes)
    return 100 * SMALL if is_small else SMALL


def _cell(row: Row, name: str, small: float = SMALL) -> str:
    value = row.get(name)
    stderr = row.get(f"{name}_stderr")
    if value is not None and is_fraction(name):
        return number(100 * value, _times_100(stderr))
    return number(value, stderr, small)


def _times_100(stderr: float | None) -> float | None:
    if stderr is None:
        return None
    return 100 * stderr


def _is_curve(thing: object) -> bool:
    """A list to be drawn, not read."""
    return isinstance(thing, list) and len(thing) > MOST_LISTED


def _columns(rows: Rows) -> list[str]:
    """Names in the order in which they first appear, without errors and reasons, and without
    parents of others."""
    names = _names(rows)
    others: set[str] = set()
    for name in names:
        others |= {name + ending for ending in BESIDE}
        plain = name.partition("[")[0]  # dots in brackets are the user's
        parents = accumulate(plain.split("."), "{}.{}".format)
        others |= set(parents) - {name}
    return [name for name in names if name not in others]


def _names(rows: Rows) -> list[str]:
    """The columns that are no curves, in the order in which they first appear."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(name for name in row if not _is_curve(row[name]))
    return list(names)


def _joined(row: Row) -> Row:
    """{"x": {"value": 1, "stderr": 2}} as {"x": 1, "x_stderr": 2}, at every depth."""
    joined: Row = {}
    for name, thing in row.items():
        if not isinstance(thing, dict):
            joined[name] = thing
        elif "value" in thing and set(thing) <= MEASURED:
            joined[name] = thing["value"]
            joined[f"{name}_stderr"] = thing.get("stderr")
            joined[f"{name}_why"] = thing.get("why")
        else:
            joined[name] = _joined(thing)
    return joined


def flatten(row: Row, prefix: str = "") -> Row:
    """Nested dictionaries as names with dots."""
    flat: Row = {}
    for name, thing in row.items():
        if isinstance(thing, dict):
            flat |= flatten(thing, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = thing
    return flat


def csv_text(rows: Rows) -> str:
    """Rows as CSV: full precision, nothing for null, a pair as 0-1, other short lists as JSON, no
    curves."""
    flat = [flatten(row) for row in rows]
    names = _names(flat)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_neutral(name) for name in names])
    for row in flat:
        writer.writerow([_as_csv(row.get(name)) for name in names])
    return out.getvalue()


def _as_csv(value: object) -> object:
    if is_pair(value):
        return pair_name(value)
    if isinstance(value, list | bool):
        return json.dumps(value)
    if isinstance(value, str):
        return _neutral(value)
    return value


def _neutral(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before what begins like one.
    Numbers are no text."""
    text = harmless(text)
    if text.lstrip().startswith(FORMULAS):
        return f"'{text}"
    return text
