"""Does T follow η/b? A weighted power law through the cells of a sweep, and the scatter of cells
that should agree."""

from collections.abc import Mapping, Sequence
from math import exp, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from sgdtheory.statistics.measured import Row

LEAST = 3  # cells that a line with two parameters is fitted to


class Point(NamedTuple):
    """One cell: x = η/b (times what momentum and a finite population make of it), T and its
    standard error."""

    x: float
    temperature: float
    stderr: float


class Fit(NamedTuple):
    """T = prefactor·x^slope; errors are × √max(1, χ²/dof), so that cells which scatter more than
    their errors say count."""

    slope: float
    slope_stderr: float
    prefactor: float
    prefactor_stderr: float
    chi2_per_dof: float
    cells: int

    def as_dict(self) -> Row:
        return dict(self._asdict())


def fit_power_law(points: Sequence[Point]) -> Fit | str:
    """The weighted least-squares line of log T on log x; or why there is none."""
    usable = [point for point in points if point.temperature > 0 and point.stderr > 0]
    if len(usable) < LEAST:
        return f"{len(usable)} cells are too few for a line: {LEAST} are needed"
    x = np.log([point.x for point in usable])
    y = np.log([point.temperature for point in usable])
    weights = np.array([(point.temperature / point.stderr) ** 2 for point in usable])  # 1/σ²(log T)
    if np.ptp(x) < 1e-9:
        return "all cells have the same η/b"
    centre = float(np.average(x, weights=weights))
    spread = float((weights * (x - centre) ** 2).sum())
    slope = float((weights * (x - centre) * y).sum() / spread)
    middle = float(np.average(y, weights=weights))  # log T at the centre
    left = y - middle - slope * (x - centre)
    chi2 = float((weights * left**2).sum() / (len(usable) - 2))
    scale = sqrt(max(1.0, chi2))
    prefactor = exp(middle - slope * centre)
    log_error = sqrt(1 / weights.sum() + centre**2 / spread)
    return Fit(
        slope, scale / sqrt(spread), prefactor, scale * prefactor * log_error, chi2, len(usable)
    )


class Scatter(NamedTuple):
    """Relative standard deviation of T among cells of equal x: as observed, and as their own errors
    make expect."""

    observed: float
    expected: float


def scatter(points: Sequence[Point]) -> Scatter | str:
    """Pooled over all values of x that two cells or more have; or why there is none."""
    groups: dict[float, list[Point]] = {}
    for point in points:
        if point.temperature > 0:
            groups.setdefault(round(log(point.x), 9), []).append(point)
    squares, freedom, errors = 0.0, 0, []
    for group in groups.values():
        if len(group) > 1:
            logs = np.log([point.temperature for point in group])
            squares += float(((logs - logs.mean()) ** 2).sum())
            freedom += len(group) - 1
            errors += [(point.stderr / point.temperature) ** 2 for point in group]
    if not freedom:
        return "no two cells have the same η/b"
    return Scatter(sqrt(squares / freedom), sqrt(float(np.mean(errors))))


def points_of(
    cells: Sequence[Mapping[str, Any]], name: str = "excess_loss", harmonic: bool = True
) -> list[Point]:
    """The cells that a law is fitted to: stationary, harmonic where that is asked; x = 2·predicted,
    η/b at μ = 0."""
    chosen = [cell for cell in cells if cell["stationary"] and (cell["harmonic"] or not harmonic)]
    temperatures = [(cell, cell["temperature"].get(name, {})) for cell in chosen]
    return [
        Point(2 * cell["predicted"], found["value"], found["stderr"] or 0.0)
        for cell, found in temperatures
        if found.get("value") is not None
    ]
