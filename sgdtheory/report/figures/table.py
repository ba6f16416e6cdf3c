"""Rows of results as people read them: numbers with their standard errors, and why a number is
missing."""

import csv
import io
import json
import re
from math import floor, isfinite, log10
from typing import Any, NamedTuple

from sgdtheory.report.stdio import harmless
from sgdtheory.statistics.rows import Row, Rows

HEADINGS = {
    "name": "",
    "train_loss": "train loss",
    "train_error": "train error",
    "objective": "objective",
    "gradient_norm": "|∇objective|",
    "parameter_norm": "|θ|",
    "learning_rate": "learning rate",
}
# chosen, not found
SETTINGS = (
    "steps",
    "learning_rate",
    "batch_size",
    "momentum",
    "sampling",
    "replicas",
)
MOST_LISTED = 8  # numbers in one cell; more are a curve, which figures and results.json hold
# as `number` writes it
NUMBER = re.compile(r"\(?-?[\d,]+(\.\d+)?( ± [\d,]+(\.\d+)?\)?)?(e-?\d+)?( %)?")
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
BESIDE = ("_stderr", "_why")  # columns that belong to the one before


class Text(str):
    """A cell that is a name or a sentence: whatever it looks like, it is no number."""


class Table(NamedTuple):
    """Text in rows and columns; `notes` say why there are dashes, and what was left out because it
    is all dashes."""

    headings: list[str]
    rows: list[list[str]]
    notes: list[str]


def number(value: Any, stderr: float | None = None) -> str:
    """A number to four digits, or with its standard error to two digits of the error; – for none.

    0.0123 ± 0.0021 · (1.23 ± 0.21)e-7 · 2.1e-9 · 1,234 · yes · 0-3, a pair
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_pair(value):
        return Text(pair_name(value))
    if isinstance(value, list):
        return ", ".join(number(each) for each in value)
    if not isinstance(value, int | float):
        return Text(value)
    if stderr is None or not isfinite(stderr) or stderr <= 0 or not isfinite(value):
        return f"{value:,}" if isinstance(value, int) else _tidy_power(f"{value:.4g}")
    stderr = float(f"{stderr:.1e}")
    power = floor(log10(max(abs(value), stderr)))
    if not -4 < power < 6:
        return f"({_fixed(value / 10**power, stderr / 10**power)})e{power}"
    return _fixed(value, stderr)


def _fixed(value: float, stderr: float) -> str:
    digits = min(12, 1 - floor(log10(stderr)))
    if digits < 0:
        return f"{round(value, digits):,.0f} ± {round(stderr, digits):,.0f}"
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def _tidy_power(text: str) -> str:
    return re.sub(r"e([+-])0*(\d)", lambda found: f"e{found[1].strip('+')}{found[2]}", text)


def _is_pair(value: Any) -> bool:
    """Two minima, by their numbers."""
    return isinstance(value, list) and len(value) == 2 and all(type(each) is int for each in value)


def pair_name(pair: list[int]) -> str:
    """0-1: two minima, as they are called everywhere."""
    return f"{pair[0]}-{pair[1]}"


def typeset(text: str) -> str:
    """A number for a page: a true minus, and × 10⁻⁷ for e-7. Text is left as it is."""
    if isinstance(text, Text) or not NUMBER.fullmatch(text):
        return text
    high = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    text = re.sub(r"^(\(?)-(?=\d)", r"\1−", text)
    return re.sub(
        r"(?<=[\d)])e(-?\d+)(?= %|$)", lambda found: " × 10" + found[1].translate(high), text
    )


def table(rows: Rows, columns: dict[str, str] | None = None) -> Table:
    """Rows of results.json as text. `columns`: which ones and their headings; without, all of them,
    settings that are the same in every row as a note."""
    flat = [flatten(_joined(row)) for row in rows]
    named = columns or {name: heading(name) for name in _columns(flat)}
    missing: dict[str, list[str]] = {}  # why → headings
    shown = []
    for name, label in named.items():
        whys = {str(row.get(f"{name}_why") or "") for row in flat if row.get(name) is None}
        for why in sorted(whys):
            missing.setdefault(why, []).append(label.replace("\n", " "))
        if any(row.get(name) is not None for row in flat):
            shown.append(name)
    equal = [] if columns else [name for name in shown if _is_constant(flat, name)]
    shown = [name for name in shown if name not in equal]
    body = [[_cell(row, name) for name in shown] for row in flat]
    notes = [f"– {', '.join(labels)}: {why}" for why, labels in missing.items() if why]
    if equal:
        notes.insert(
            0,
            "In every row: " + ", ".join(f"{named[name]} {_cell(flat[0], name)}" for name in equal),
        )
    return Table([named[name] for name in shown], body, notes)


def _is_constant(rows: Rows, name: str) -> bool:
    """A setting that is the same in all of several rows."""
    return name in SETTINGS and len(rows) > 1 and len({str(row.get(name)) for row in rows}) == 1


def heading(name: str) -> str:
    """What a column is called; nested ones as "path: training loss"."""
    *parents, last = name.split(".")
    words = HEADINGS.get(last, last.replace("_", " "))
    if _is_fraction(last):
        words += " / %"
    return ": ".join([*(parent.replace("_", " ") for parent in parents), words])


def percent(value: Any, stderr: float | None = None) -> str:
    """A fraction as people read it: 5.3 ± 1.2 %."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return number(value)
    return f"{number(100 * value, None if stderr is None else 100 * stderr)} %"


def claimed(claim: Row) -> str:
    """What a claim has measured, in the unit of its sentence: errors are fractions in files and per
    cent for people."""
    unit = percent if _is_fraction(claim["name"]) else number
    return unit(claim["value"], claim["stderr"])


def _is_fraction(name: str) -> bool:
    return name.rpartition(".")[2] in ("train_error", "training_error", "test_error")


def _cell(row: Row, name: str) -> str:
    value, stderr = row.get(name), row.get(f"{name}_stderr")
    if value is not None and _is_fraction(name):
        value, stderr = 100 * value, None if stderr is None else 100 * stderr
    return number(value, stderr)


def _is_curve(thing: Any) -> bool:
    """A list to be drawn, not read."""
    return isinstance(thing, list) and len(thing) > MOST_LISTED


def _columns(rows: Rows) -> list[str]:
    """Names in the order in which they first appear, without errors and reasons, and without
    parents of others."""
    names = list(dict.fromkeys(name for row in rows for name in row if not _is_curve(row[name])))
    beside = {f"{name}{end}" for name in names for end in BESIDE}
    return [
        n
        for n in names
        if n not in beside and not any(other.startswith(f"{n}.") for other in names)
    ]


def _joined(row: Row) -> Row:
    """{"x": {"value": 1, "stderr": 2}} as {"x": 1, "x_stderr": 2}, at every depth."""
    found: Row = {}
    for name, thing in row.items():
        if (
            isinstance(thing, dict)
            and "value" in thing
            and set(thing) <= {"value", "stderr", "why", "unit"}
        ):
            found |= {
                name: thing["value"],
                f"{name}_stderr": thing.get("stderr"),
                f"{name}_why": thing.get("why"),
            }
        else:
            found[name] = _joined(thing) if isinstance(thing, dict) else thing
    return found


def flatten(row: Row, prefix: str = "") -> Row:
    """Nested dictionaries as names with dots."""
    found: Row = {}
    for name, thing in row.items():
        found |= (
            flatten(thing, f"{prefix}{name}.")
            if isinstance(thing, dict)
            else {f"{prefix}{name}": thing}
        )
    return found


def csv_text(rows: Rows) -> str:
    """Rows as CSV: full precision, nothing for null, a pair as 0-1, other short lists as JSON, no
    curves."""
    flat = [flatten(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row if not _is_curve(row[name])))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_neutral(name) for name in names])
    for row in flat:
        writer.writerow([_as_csv(row.get(name)) for name in names])
    return out.getvalue()


def _as_csv(value: Any) -> Any:
    if _is_pair(value):
        return pair_name(value)
    return (
        json.dumps(value)
        if isinstance(value, list | bool)
        else _neutral(value)
        if isinstance(value, str)
        else value
    )


def _neutral(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe before what begins like one.
    Numbers are no text."""
    text = harmless(text)
    return f"'{text}" if text.lstrip().startswith(FORMULAS) else text
