"""Numbers with error bars, and what is claimed with them."""

from collections.abc import Callable, Mapping
from math import isfinite, sqrt
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Row: TypeAlias = dict[str, Any]  # of a table, as in results.json: column → number, text or null
Rows: TypeAlias = list[Row]


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
        """No number can be given, for this reason."""
        return cls(None, None, "", why)

    @classmethod
    def mean(cls, samples: Any, unit: str = "") -> "Measured":
        """Mean of independent samples [N] and its standard error s/√N, in float64."""
        values = np.asarray(samples, dtype=np.float64)
        if values.size == 0:
            return cls.nothing("no samples")
        mean = float(values.mean())
        if not isfinite(mean):
            return cls.nothing("not finite")
        stderr = float(values.std(ddof=1) / sqrt(values.size)) if values.size > 1 else None
        return cls(mean, stderr, unit)

    @classmethod
    def read(cls, row: Mapping[str, Any], name: str) -> "Measured":
        """The number that `columns` has written into a row under this name."""
        return cls(row[name], row.get(f"{name}_stderr"), "", row.get(f"{name}_why", ""))

    def columns(self, name: str) -> dict[str, Any]:
        """As it stands in results.json: `name`, `name_stderr` where there is one, `name_why` where
        there is no number."""
        found: dict[str, Any] = {name: self.value}
        if self.stderr is not None:
            found[f"{name}_stderr"] = self.stderr
        if self.value is None:
            found[f"{name}_why"] = self.why
        return found

    def __str__(self) -> str:
        if self.value is None:
            return f"– ({self.why})"
        unit = f" {self.unit}" if self.unit else ""
        if self.stderr is None or not isfinite(self.stderr) or self.stderr <= 0:
            return f"{self.value:.4g}{unit}"
        # two significant digits of the error
        digits = max(0, min(12, 1 - int(np.floor(np.log10(self.stderr)))))
        return f"{self.value:.{digits}f} ± {self.stderr:.{digits}f}{unit}"


def row_of(facts: dict[str, Any], **measured: Measured) -> dict[str, Any]:
    """One row of a table: facts, then numbers with their errors."""
    columns = [number.columns(name) for name, number in measured.items()]
    return facts | {key: value for column in columns for key, value in column.items()}


class Claim(NamedTuple):
    """One thing that a run says, in words and numbers, with what was expected and whether it holds
    (None: cannot be said)."""

    name: str
    statement: str
    measured: Measured
    expected: str
    holds: bool | None

    def as_dict(self) -> dict[str, Any]:
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

    def as_dict(self) -> dict[str, Any]:
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
    tables: Mapping[str, list[dict[str, Any]]]
    numbers: Mapping[str, Any] = {}
    clouds: Mapping[str, Mapping[str, Any]] = {}


def bootstrap(
    statistic: Callable[[np.ndarray], float], count: int, resamples: int = 200, seed: int = 0
) -> Measured:
    """Value and standard error of `statistic(rows)`, rows [count] drawn with replacement (Efron
    1979).

    `rows` are indices; the value is the statistic of all rows in order.

    """
    generator = np.random.Generator(np.random.PCG64(seed))
    value = float(statistic(np.arange(count)))
    draws = [float(statistic(generator.integers(0, count, count))) for _ in range(resamples)]
    return Measured(value, float(np.std(draws, ddof=1)))


def in_full(number: float) -> str:
    """A number with all its digits, as short as that can be: what is named by it is named by no
    other number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))
