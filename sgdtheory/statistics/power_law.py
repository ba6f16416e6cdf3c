"""Power laws: a weighted line through points on logarithmic axes, the scatter of points that should
agree, exponents of several factors, and a law seen through bins."""

from collections.abc import Mapping, Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped

Array = np.ndarray
LEAST = 3  # points that a line with two parameters is fitted to
# of log h, for the binned law: least squares on single directions weighs the many small ones only
BINS = 10
VAGUE = 1.0  # an error of γ beyond which a binned law says nothing


class Point(NamedTuple):
    """One cell of a sweep: x = η/b (times the factors of momentum and of a finite population), T
    and its standard error."""

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
    """The weighted least-squares line of log T on log x; or the reason why there is none.

    >>> law = fit_power_law([Point(x, 3 * x**2, 0.01) for x in (1.0, 2.0, 4.0)])
    >>> round(law.slope, 12), round(law.prefactor, 12)
    (2.0, 3.0)
    """
    usable = [point for point in points if _has_logarithm(point)]
    count = len(usable)
    if count < LEAST:
        others = len(points) - count
        left = f", {others} more have no error or are not above 0" if others else ""
        return f"{count} cells are too few for a line{left}: {LEAST} are needed"
    x = np.log([point.x for point in usable])
    y = np.log([point.temperature for point in usable])
    precisions = [point.temperature / point.stderr for point in usable]  # 1/σ(log T)
    weights = np.array([precision**2 for precision in precisions])
    if np.ptp(x) < 1e-9:
        return "all cells have the same η/b"
    centre = float(np.average(x, weights=weights))
    away = x - centre
    spread = float((weights * away**2).sum())
    products = weights * away * y
    slope = float(products.sum() / spread)
    middle = float(np.average(y, weights=weights))  # log T at the centre
    residuals = y - middle - slope * away
    freedom = count - 2
    squares = weights * residuals**2
    chi2 = float(squares.sum() / freedom)
    scale = sqrt(max(1.0, chi2))
    prefactor = exp(middle - slope * centre)
    of_middle = 1 / weights.sum()
    of_slope = centre**2 / spread
    log_error = sqrt(of_middle + of_slope)
    return Fit(
        slope=slope,
        slope_stderr=scale / sqrt(spread),
        prefactor=prefactor,
        prefactor_stderr=scale * prefactor * log_error,
        chi2_per_dof=chi2,
        cells=count,
    )


def _has_logarithm(point: Point) -> bool:
    return point.temperature > 0 and point.stderr > 0


class Scatter(NamedTuple):
    """Relative standard deviation of T among points of equal x: as observed, and as expected from
    their own errors."""

    observed: float
    expected: float


def scatter(points: Sequence[Point]) -> Scatter | str:
    """Pooled over all x at which there are two points or more; or the reason why there is none.

    >>> scatter([Point(1.0, 2.0, 0.1), Point(1.0, 2.0, 0.1)])
    Scatter(observed=0.0, expected=0.05)
    """
    groups: dict[float, list[Point]] = {}
    for point in points:
        if point.temperature > 0:
            x = round(log(point.x), 9)
            groups.setdefault(x, []).append(point)
    squares = 0.0
    freedom = 0
    errors = []
    for group in groups.values():
        if len(group) < 2:
            continue
        logs = np.log([point.temperature for point in group])
        deviations = logs - logs.mean()
        squares += float((deviations**2).sum())
        freedom += len(group) - 1
        for point in group:
            relative = point.stderr / point.temperature
            errors.append(relative**2)
    if not freedom:
        return "no two cells have the same η/b"
    observed = sqrt(squares / freedom)
    expected = sqrt(float(np.mean(errors)))
    return Scatter(observed, expected)


def exponents(
    rows: Rows,
    y: str,
    factors: Sequence[Mapping[str, float]],
    sample: str,
) -> list[Measured]:
    """Exponents of the `factors` in y: least squares of log y for each sample, mean over samples.

    A factor is a product of powers of columns, by their exponents. The rows of one value of the
    column `sample` are the whole experiment once, so the scatter over samples is all of the error.
    No number where a y has no logarithm, or the grid does not tell the factors apart.

    >>> rows = [{"seed": s, "a": a, "y": 5 * a**2} for s in (0, 1) for a in (1.0, 2.0)]
    >>> round(exponents(rows, "y", [{"a": 1}], "seed")[0].value, 12)
    2.0
    """
    if not all(value is not None and value > 0 for value in column_of(rows, y)):
        return [Measured.nothing(f"{y} is not above 0 everywhere")] * len(factors)
    slopes = []
    for _, own in sorted(grouped(rows, sample).items()):
        columns = [_log_of(own, factor) for factor in factors]
        constant = np.ones(len(own))
        design = np.stack([*columns, constant], 1)
        if np.linalg.matrix_rank(design) < design.shape[1]:
            unknown = Measured.nothing("the grid is too small to tell")
            return [unknown] * len(columns)
        logs = np.log(column_of(own, y))
        solution, *_ = np.linalg.lstsq(design, logs, rcond=None)
        slopes.append(solution[:-1])
    by_factor = np.array(slopes).T
    return [Measured.mean(samples) for samples in by_factor]


def _log_of(rows: Rows, factor: Mapping[str, float]) -> Array:
    """log of a product of powers of columns, [rows]."""
    terms = []
    for name, power in factor.items():
        logs = np.log(column_of(rows, name))
        terms.append(power * logs)
    first, *others = terms
    total: Array = sum(others, first)
    return total


def binned_exponent(x: Array, y: Array, rounding: float = 0.0) -> Measured:
    """γ of y ∝ x^γ by least squares through the means of log-spaced bins of x.

    x [k] ascending, each known to ± `rounding`; y [1 + R, k], of which row 0 is the sample and the
    others are its resamples. The error holds the scatter about the line and that over resamples. No
    number where the bins are narrower than the rounding of x, or γ is not known to ± 1: a line
    cannot be told from a square then.

    >>> x = np.geomspace(1, 8, 4)
    >>> round(binned_exponent(x, x[None] ** 1.5).value, 12)
    1.5
    """
    if len(x) < LEAST or not x.min() > 0:
        return Measured.nothing("fewer than three curvatures above the flat ones")
    least = BINS * max(rounding, float(np.finfo(x.dtype).eps) * x[-1])
    if x[-1] - x[0] <= least:
        return Measured.nothing("the curvatures are all alike, to rounding")
    logs = np.log(x)
    scaled = BINS * (logs - logs[0]) / (logs[-1] - logs[0])
    bins = np.minimum(scaled.astype(int), BINS - 1)
    used = np.unique(bins)
    log_means = []
    columns = []
    for b in used:
        mask = bins == b
        log_means.append(logs[mask].mean())
        columns.append(y[:, mask].mean(1))
    centres = np.array(log_means)  # [m]
    means = np.stack(columns, 1)  # [1 + R, m]
    if len(used) < LEAST or not means.min() > 0:
        return Measured.nothing("fewer than three bins of curvatures that have noise")
    exponent = _slope(centres, np.log(means))
    if exponent.stderr is not None and exponent.stderr > VAGUE:
        apart = in_short(float(x[-1] / x[0]) - 1, 2)
        error = in_short(exponent.stderr, 2)
        return Measured.nothing(
            f"the curvatures tell too little: they differ by {apart} of themselves at most, which "
            f"makes γ known to ± {error}"
        )
    return exponent


def _slope(x: Array, y: Array) -> Measured:
    """The slope of y [1 + R, m] on x [m], of row 0, with its scatter and that over the others."""
    slopes, offsets = np.polyfit(x, y.T, 1)
    slope = slopes[0]
    residuals = y[0] - slope * x - offsets[0]
    freedom = len(x) - 2
    away = x - x.mean()
    spread = (away**2).sum()
    variance = (residuals**2).sum() / freedom
    scatter_error = np.sqrt(variance / spread)
    sampling_error = 0.0
    if len(slopes) > 1:
        sampling_error = float(slopes[1:].std(ddof=1))
    error = np.hypot(scatter_error, sampling_error)
    return Measured(float(slope), float(error))
