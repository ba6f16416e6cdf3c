"""Numbers with error bars, claims made of them, and their pictures."""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from sgdtheory.statistics.numbers import in_sentence
from sgdtheory.statistics.rows import Row, Rows


class Measured(NamedTuple):
    """A number, its standard error, its unit; or no number, and why.

    `stderr` is None for what has no error: an exact value, or one a formula gives.
    """

    value: float | None
    stderr: float | None = None
    unit: str = ""
    why: str = ""

    @classmethod
    def nothing(cls, why: str) -> "Measured":
        """No number can be given, for this reason.

        >>> print(Measured.nothing("no cell is finished"))
        – (no cell is finished)
        """
        return cls(None, None, "", why)

    @classmethod
    def mean(cls, samples: ArrayLike, unit: str = "") -> "Measured":
        """Mean of independent samples [N] and its standard error s/√N, in float64.

        >>> print(Measured.mean([1.0, 2.0, 3.0]))
        2.00 ± 0.58
        """
        values = np.asarray(samples, dtype=np.float64)
        if values.size == 0:
            return cls.nothing("no samples")
        mean = float(values.mean())
        if not isfinite(mean):
            return cls.nothing("not finite")
        if values.size == 1:
            return cls(mean, None, unit)
        scatter = values.std(ddof=1)
        stderr = float(scatter / sqrt(values.size))
        return cls(mean, stderr, unit)

    @classmethod
    def read(cls, row: Mapping[str, Any], name: str) -> "Measured":
        """The number that `columns` has written into a row under this name."""
        stderr = row.get(f"{name}_stderr")
        why = row.get(f"{name}_why", "")
        return cls(row[name], stderr, "", why)

    def columns(self, name: str) -> Row:
        """As it stands in results.json: `name`, `name_stderr` where there is one, `name_why` where
        there is no number."""
        columns: Row = {name: self.value}
        if self.stderr is not None:
            columns[f"{name}_stderr"] = self.stderr
        if self.value is None:
            columns[f"{name}_why"] = self.why
        return columns

    @classmethod
    def from_json(cls, number: Mapping[str, Any]) -> "Measured":
        """The number that `as_json` has written."""
        value = number["value"]
        stderr = number["stderr"]
        why = number.get("why", "")
        return cls(value, stderr, "", why)

    def as_json(self) -> Row:
        """{"value": …, "stderr": …}, and `why` where there is no number.

        >>> Measured(0.5, 0.1).as_json()
        {'value': 0.5, 'stderr': 0.1}
        """
        number: Row = {"value": self.value, "stderr": self.stderr}
        if self.value is None:
            number["why"] = self.why
        return number

    def in_units_of(self, unit: float) -> "Measured":
        """The number and its error over an exact one; no number stays none.

        >>> Measured(3.0, 0.5).in_units_of(2.0)
        Measured(value=1.5, stderr=0.25, unit='', why='')
        """
        if self.value is None:
            return self
        stderr = None
        if self.stderr is not None:
            stderr = self.stderr / abs(unit)
        return Measured(self.value / unit, stderr)

    def __str__(self) -> str:
        if self.value is None:
            return f"– ({self.why})"
        unit = ""
        if self.unit:
            unit = f" {self.unit}"
        return f"{in_sentence(self.value, self.stderr)}{unit}"


def row_of(facts: Row, **measured: Measured) -> Row:
    """One row of a table: facts, then numbers with their errors.

    >>> row_of({"b": 8}, T=Measured(0.5, 0.1))
    {'b': 8, 'T': 0.5, 'T_stderr': 0.1}
    """
    row = dict(facts)
    for name, number in measured.items():
        row |= number.columns(name)
    return row


class Claim(NamedTuple):
    """One thing that a run says, in words and numbers, with what was expected and whether it holds
    (None: cannot be said)."""

    name: str
    statement: str
    measured: Measured
    expected: str
    holds: bool | None

    def left_open(self, why: str) -> Self:
        """The same without a verdict, for this reason."""
        return self._replace(measured=self.measured._replace(why=why), holds=None)

    def as_dict(self) -> Row:
        value, stderr, _, why = self.measured
        return {
            "name": self.name,
            "statement": self.statement,
            "value": value,
            "stderr": stderr,
            "expected": self.expected,
            "holds": self.holds,
            "why": why,
        }


class Plot(NamedTuple):
    """A picture as data: columns of a table against each other, drawn by the report with no code of
    its own.

    `y` are columns, a panel each, with bars where the table has `<y>_stderr`; `by` is the column
    whose every value is a curve; `log` names the logarithmic axes: "", "x", "y" or "xy"; `theory`
    are columns drawn as lines behind the marks, one for each y or None; `level` is the height of a
    line to compare with; `labels` are the axes' words by column; `joined`: whether a curve's marks
    have an order that a line may follow; `singles` is a table of what the marks are means of, drawn
    as dots.
    """

    name: str
    title: str
    caption: str
    table: str
    x: str
    y: tuple[str, ...]
    by: str | None = None
    log: str = ""
    theory: tuple[str | None, ...] | None = None
    level: float | None = None
    labels: Mapping[str, str] = {}
    joined: bool = True
    singles: str | None = None

    def as_dict(self) -> Row:
        return {
            **self._asdict(),
            "y": list(self.y),
            "theory": list(self.theory) if self.theory else None,
            "labels": {**self.labels},
        }


class Results(NamedTuple):
    """What a pipeline has found: claims (the headline first), tables of rows by name, and clouds
    [P, n] by file name."""

    claims: list[Claim]
    tables: Mapping[str, Rows]
    numbers: Mapping[str, Any] = {}
    clouds: Mapping[str, Mapping[str, Any]] = {}
