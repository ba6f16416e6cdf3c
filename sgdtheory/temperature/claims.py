"""The claims of a sweep, in words and numbers: does T follow η/2b?"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.power_law import Fit, Point, Scatter, fit_power_law, scatter
from sgdtheory.statistics.rows import Row
from sgdtheory.statistics.tolerance import Judged, all_near
from sgdtheory.statistics.trends import weighted_mean
from sgdtheory.temperature.adam_claims import adam_claims
from sgdtheory.temperature.distinct_minima import at_minima, by_minimum, distinct_claims
from sgdtheory.temperature.doubts import LEAST, SADDLE, SLOPE
from sgdtheory.temperature.epoch_claims import epoch_claim
from sgdtheory.temperature.norm_claims import norm_claims

CLOSE = 0.03  # of a slope to one, of a ratio to one
NOISE_ALONE = 0.03  # of the scatter of cells: where their errors make more, it says nothing
SMALLER = "raise replicas, set precision lower or widen the grid"
TOO_FEW = f"{LEAST} replicas or more are needed to know the errors"
Cells = Sequence[Row]


def points_of(cells: Cells, name: str = "excess_loss", harmonic: bool = True) -> list[Point]:
    """The cells that a law is fitted to: stationary, harmonic where that is asked; x = 2·predicted,
    η/b at μ = 0."""
    points = []
    for cell in cells:
        is_fitted = cell["harmonic"] or not harmonic
        if not cell["stationary"] or not is_fitted:
            continue
        number = cell["temperature"].get(name, {})
        value = number.get("value")
        if value is not None:
            x = 2 * cell["predicted"]
            points.append(Point(x, value, number["stderr"] or 0.0))
    return points


def numbers_of(cells: Cells) -> Row:
    """`fit`, `fit_all` and `scatter` of results.json, null with the reason where there is none."""
    numbers: Row = {}
    for name, harmonic in (("fit", True), ("fit_all", False)):
        line = fit_over_minima(cells, harmonic)
        if isinstance(line, Fit):
            numbers[name] = line.as_dict()
        else:
            numbers |= {name: None, f"{name}_why": line}
    spread = scatter(points_of(cells))
    if isinstance(spread, Scatter):
        numbers["scatter"] = dict(spread._asdict())
    else:
        numbers |= {"scatter": None, "scatter_why": spread}
    return numbers


def fit_over_minima(cells: Cells, harmonic: bool = True) -> Fit | str:
    """One line through the cells of all minima; its slope's error is at least that which the spread
    of the slopes of single minima makes, one that was found several times weighing as many."""
    line = fit_power_law(points_of(cells, harmonic=harmonic))
    slopes = []
    counts = []
    for group in by_minimum(cells):
        fit = fit_power_law(points_of(group, harmonic=harmonic))
        if isinstance(fit, Fit):
            slopes.append(fit.slope)
            counts.append(fit.cells)
    if not isinstance(line, Fit) or len(slopes) < 2:
        return line
    squares = sum(count**2 for count in counts)
    spread = float(np.std(slopes, ddof=1)) * sqrt(squares) / sum(counts)
    stderr = max(line.slope_stderr, spread)
    return line._replace(slope_stderr=stderr)


def claims_of(cells: Cells, title: str) -> list[Claim]:
    """The headline first: the slope of log T on log η/b, T from the excess loss."""
    if not cells:
        unknown = Measured.nothing("no cell is finished")
        return [Claim("slope", f"no temperature on {title}", unknown, "1", None)]
    claims: list[Claim | None] = [
        _slope(cells, title),
        _ratio(cells),
        _scatter(cells),
        _swelling(cells),
        _modes(cells),
    ]
    if cells[0]["sampling"] == "epoch":
        claims.insert(0, epoch_claim(cells))
    stated = [claim for claim in claims if claim is not None]
    stated += [*adam_claims(cells), *norm_claims(cells), *distinct_claims(cells)]
    return only_with_known_errors(cells, stated)


def only_with_known_errors(cells: Cells, claims: Sequence[Claim]) -> list[Claim]:
    """The same claims, left open where a stationary cell has fewer than LEAST replicas that stayed
    finite."""
    return not_judged(claims) if _too_few(cells) else list(claims)


def not_judged(claims: Sequence[Claim]) -> list[Claim]:
    """The same claims, none of which can be said to hold or not, for want of replicas."""
    return [claim if claim.holds is None else claim.left_open(TOO_FEW) for claim in claims]


def _too_few(cells: Cells) -> bool:
    return any(
        cell["stationary"] and cell.get("replicas", LEAST) - cell.get("lost", 0) < LEAST
        for cell in cells
    )


def _slope(cells: Cells, title: str) -> Claim:
    fit = fit_over_minima(cells)
    noise = "⟨Σ C_ii(θ)/σ_i⟩" if is_of_adam(cells) else "⟨Tr C(θ)⟩"
    expected = f"1 within {CLOSE}; T from the excess loss, normalised by {noise}"
    left_out = _left_out(cells)
    if not isinstance(fit, Fit):
        words = f"T on {title}: {left_out or 'no line'}"
        return Claim("slope", words, Measured.nothing(fit), expected, None)
    slope = Measured(fit.slope, fit.slope_stderr)
    judged = Judged(0, None, TOO_FEW)
    if not _too_few(cells):
        judged = all_near([slope], 1, CLOSE, SMALLER)
    does = {True: "follows", False: "does not follow", None: "may follow"}[judged.holds]
    words = (
        f"T {does} {law_of(cells)} on {title}: slope {slope} over {fit.cells} of {len(cells)} cells"
    )
    words += at_minima(cells)
    if left_out:
        words += f"; {left_out}"
    return Claim("slope", words, slope._replace(why=judged.why), expected, judged.holds)


def is_of_adam(cells: Cells) -> bool:
    return bool(cells[0].get("optimiser") == "adam")


def law_of(cells: Cells) -> str:
    """What T is by theory."""
    if is_of_adam(cells):
        return "η/2√b"
    return "η/2b" if cells[0]["momentum"] == 0 else "η/2b(1−μ)"


def _left_out(cells: Cells) -> str:
    """3 cells leave the harmonic range, 1 cell is not stationary"""
    if not any("excess_loss" in cell["temperature"] for cell in cells):
        return (
            "it is judged by excess_loss, which is not among the estimators; add it to "
            "estimator=[…]"
        )
    on_saddles = [cell for cell in cells if cell.get("why", "").startswith(SADDLE)]
    on_slopes = [cell for cell in cells if cell.get("why", "").startswith(SLOPE)]
    others = [cell for cell in cells if cell not in [*on_saddles, *on_slopes]]
    stationary = [cell for cell in others if cell["stationary"]]
    harmonic = [cell for cell in stationary if cell["harmonic"]]
    bottomless = [cell for cell in harmonic if not _excess(cell)]
    parts = [
        (len(on_saddles), "start", "starts", "on a saddle"),
        (len(on_slopes), "start", "starts", "where a descent still falls"),
        (len(stationary) - len(harmonic), "leave", "leaves", "the harmonic range"),
        (len(others) - len(stationary), "are", "is", "not stationary"),
        (len(bottomless), "have", "has", "no bottom that a quench would find"),
    ]
    told = []
    for number, many, one, rest in parts:
        if number > 1:
            told.append(f"{number} cells {many} {rest}")
        elif number == 1:
            told.append(f"1 cell {one} {rest}")
    return ", ".join(told)


def _excess(cell: Row) -> float | None:
    """T from the excess loss; None where there is no number."""
    return _temperature(cell, "excess_loss")


def _temperature(cell: Row, name: str) -> float | None:
    """T from one estimator; None where there is no number."""
    number = cell["temperature"].get(name, {})
    value: float | None = number.get("value")
    return value


def _ratio(cells: Cells) -> Claim | None:
    """The weighted mean of T/T_law: a slope cannot see a factor of two."""
    points = points_of(cells)
    if not points:
        return None
    ratios = []
    errors = []
    for x, temperature, stderr in points:
        ratios.append(2 * temperature / x)
        errors.append(max(2 * stderr / x, 1e-12))
    mean = weighted_mean(ratios, errors)
    if cells[0]["sampling"] == "epoch":
        words = f"T/T_law of white noise is {mean} on average"
        return Claim("ratio", words, mean, "below 1: reshuffled noise is not white", None)
    words = f"T/T_law is {mean} on average over the same cells"
    judged = all_near([mean], 1, CLOSE, SMALLER)
    measured = mean._replace(why=judged.why)
    return Claim("ratio", words, measured, f"1 within {CLOSE}", judged.holds)


def _scatter(cells: Cells) -> Claim | None:
    spread = scatter(points_of(cells))
    if not isinstance(spread, Scatter):
        return None
    ratio = "η/√b" if is_of_adam(cells) else "η/b"
    words = (
        f"cells of equal {ratio} differ by {100 * spread.observed:.1f} %, their errors alone "
        f"make {100 * spread.expected:.1f} %"
    )
    holds = spread.observed < max(0.02, 2 * spread.expected)
    expected = "at most 2 %, or twice what the errors make"
    claim = Claim("scatter", words, Measured(spread.observed), expected, holds)
    if holds and spread.expected > NOISE_ALONE:
        return claim.left_open(f"errors of more than {100 * NOISE_ALONE:g} % hide it: {SMALLER}")
    return claim


def _swelling(cells: Cells) -> Claim | None:
    """Anharmonicity: T/T_law above one follows ⟨Tr C⟩/Tr C(θ*)."""
    stationary = [cell for cell in cells if cell["stationary"] and _excess(cell)]
    if not stationary or not stationary[0]["noise_trace_at_minimum"]:
        return None
    swellings = [cell["noise_trace"] / cell["noise_trace_at_minimum"] for cell in stationary]
    least = min(swellings)
    most = max(swellings)
    worst = stationary[swellings.index(most)]
    excess = _excess(worst)
    assert excess is not None
    ratio = excess / worst["predicted"]
    noise = "Σ C_ii/σ_i" if is_of_adam(cells) else "Tr C"
    words = (
        f"⟨{noise}⟩/{noise}(θ*) runs from {least:.2f} to {most:.2f}: where it is largest T/T_law "
        f"is {ratio:.2f}, the anharmonicity that one temperature cannot tell"
    )
    return Claim("anharmonicity", words, Measured(most), "", None)


def _modes(cells: Cells) -> Claim | None:
    """Whether the directions share one temperature, which the other claims do not imply."""
    names = ("equipartition", "equipartition_low", "equipartition_high")
    rows = []
    for cell in cells:
        values = [_temperature(cell, name) for name in names]
        known = [value for value in values if value]
        if cell["harmonic"] and len(known) == len(names):
            rows.append([value / cell["predicted"] for value in known])
    if not rows:
        return None
    middle, low, high = np.median(np.array(rows), 0)
    words = (
        f"by direction T_i/T_law has median {middle:.2f}, quartiles "
        f"{low:.2f}–{high:.2f}, over the steepest Hessian directions"
    )
    expected = "1 in every direction that has equilibrated, about a mean that is at θ*"
    return Claim("equipartition", words, Measured(float(middle)), expected, None)
