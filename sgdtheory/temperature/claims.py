"""What a sweep says, in words and numbers: does T follow η/2b?"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from sgdtheory.statistics.measured import Claim, Measured, Row
from sgdtheory.statistics.power_law import Fit, Scatter, fit_power_law, points_of, scatter
from sgdtheory.temperature.norm_claims import pace_claims

CLOSE = 0.03  # of a slope to one, of a ratio to one
EPOCH = 0.1  # of T/T_law to what reshuffling leaves
Cells = Sequence[Mapping[str, Any]]


def numbers_of(cells: Cells) -> Row:
    """`fit`, `fit_all` and `scatter` of results.json, null with the reason where there is none."""
    found: Row = {}
    for name, harmonic in (("fit", True), ("fit_all", False)):
        line = fit_over_minima(cells, harmonic)
        found |= (
            {name: line.as_dict()} if isinstance(line, Fit) else {name: None, f"{name}_why": line}
        )
    spread = scatter(points_of(cells))
    found |= (
        {"scatter": dict(spread._asdict())}
        if isinstance(spread, Scatter)
        else {"scatter": None, "scatter_why": spread}
    )
    return found


def fit_over_minima(cells: Cells, harmonic: bool = True) -> Fit | str:
    """One line through the cells of all minima; its slope's error is at least what the slopes of
    single minima make of it."""
    line = fit_power_law(points_of(cells, harmonic=harmonic))
    groups = [
        [cell for cell in cells if cell.get("minimum") == number]
        for number in {cell.get("minimum") for cell in cells}
    ]
    slopes = [
        each.slope
        for each in (fit_power_law(points_of(group, harmonic=harmonic)) for group in groups)
        if isinstance(each, Fit)
    ]
    if not isinstance(line, Fit) or len(slopes) < 2:
        return line
    return line._replace(
        slope_stderr=max(line.slope_stderr, float(np.std(slopes, ddof=1)) / sqrt(len(slopes)))
    )


def claims_of(cells: Cells, title: str) -> list[Claim]:
    """The headline first: the slope of log T on log η/b, T from the excess loss."""
    if not cells:
        return [
            Claim(
                "slope",
                f"no temperature on {title}",
                Measured.nothing("no cell is finished"),
                "1",
                None,
            )
        ]
    said = [
        *([_epoch(cells)] if cells[0]["sampling"] == "epoch" else []),
        _slope(cells, title),
        _ratio(cells),
        _scatter(cells),
    ]
    return [
        claim
        for claim in (*said, _swelling(cells), _modes(cells), *pace_claims(cells))
        if claim is not None
    ]


def _slope(cells: Cells, title: str) -> Claim:
    law = "η/2b" if cells[0]["momentum"] == 0 else "η/2b(1−μ)"
    fit = fit_over_minima(cells)
    expected = f"1 within {CLOSE}; T from the excess loss, normalised by ⟨Tr C(θ)⟩"
    if not isinstance(fit, Fit):
        return Claim(
            "slope",
            f"T on {title}: {_left_out(cells) or 'no line'}",
            Measured.nothing(fit),
            expected,
            None,
        )
    slope = Measured(fit.slope, fit.slope_stderr)
    holds = (
        abs(fit.slope - 1) < max(CLOSE, 2 * fit.slope_stderr) if fit.slope_stderr < 0.1 else None
    )
    does = "follows" if holds else "does not follow" if holds is False else "may follow"
    minima = len({cell.get("minimum") for cell in cells})
    of = f" at {minima} minima" if minima > 1 else ""
    words = f"T {does} {law} on {title}: slope {slope} over {fit.cells} of {len(cells)} cells{of}"
    left = _left_out(cells)
    return Claim("slope", words + (f"; {left}" if left else ""), slope, expected, holds)


def _left_out(cells: Cells) -> str:
    """3 cells leave the harmonic range, 1 cell is not stationary"""
    if not any("excess_loss" in cell["temperature"] for cell in cells):
        return (
            "it is judged by excess_loss, which is not among the estimators; add it to "
            "estimator=[…]"
        )
    unsteady = sum(not cell["stationary"] for cell in cells)
    wild = sum(cell["stationary"] and not cell["harmonic"] for cell in cells)
    deep = sum(
        cell["stationary"]
        and cell["harmonic"]
        and not cell["temperature"].get("excess_loss", {}).get("value")
        for cell in cells
    )
    parts = [
        (wild, "leave", "leaves", "the harmonic range"),
        (unsteady, "are", "is", "not stationary"),
        (deep, "have", "has", "no bottom that a quench would find"),
    ]
    return ", ".join(
        f"{n} cell{'s' if n > 1 else ''} {many if n > 1 else one} {what}"
        for n, many, one, what in parts
        if n
    )


def _ratio(cells: Cells) -> Claim | None:
    """The weighted mean of T/T_law: a slope cannot see a factor of two."""
    points = points_of(cells)
    if not points:
        return None
    ratios = np.array([2 * point.temperature / point.x for point in points])
    errors = np.array([max(2 * point.stderr / point.x, 1e-12) for point in points])
    mean = float(np.average(ratios, weights=1 / errors**2))
    chi2 = float((((ratios - mean) / errors) ** 2).sum() / max(1, len(points) - 1))
    error = sqrt(max(1.0, chi2) / (1 / errors**2).sum())
    found = Measured(mean, error)
    holds = abs(mean - 1) < max(CLOSE, 3 * error)
    if cells[0]["sampling"] == "epoch":
        return Claim(
            "ratio",
            f"T/T_law of white noise is {found} on average",
            found,
            "below 1: reshuffled noise is not white",
            None,
        )
    return Claim(
        "ratio",
        f"T/T_law is {found} on average over the same cells",
        found,
        f"1 within {CLOSE}",
        holds,
    )


def _scatter(cells: Cells) -> Claim | None:
    found = scatter(points_of(cells))
    if not isinstance(found, Scatter):
        return None
    words = (
        f"cells of equal η/b differ by {100 * found.observed:.1f} %, their errors alone "
        f"make {100 * found.expected:.1f} %"
    )
    holds = found.observed < max(0.02, 2 * found.expected)
    return Claim(
        "scatter",
        words,
        Measured(found.observed),
        "at most 2 %, or twice what the errors make",
        holds,
    )


def _swelling(cells: Cells) -> Claim | None:
    """Anharmonicity: T/T_law above one follows ⟨Tr C⟩/Tr C(θ*)."""
    stationary = [
        cell
        for cell in cells
        if cell["stationary"] and cell["temperature"].get("excess_loss", {}).get("value")
    ]
    if not stationary or not stationary[0]["noise_trace_at_minimum"]:
        return None
    swollen = [cell["noise_trace"] / cell["noise_trace_at_minimum"] for cell in stationary]
    ratios = [
        cell["temperature"]["excess_loss"]["value"] / cell["predicted"] for cell in stationary
    ]
    worst = int(np.argmax(swollen))
    words = (
        f"⟨Tr C⟩/Tr C(θ*) runs from {min(swollen):.2f} to {max(swollen):.2f}: where it is "
        f"largest T/T_law "
        f"is {ratios[worst]:.2f}, the anharmonicity that one temperature cannot tell"
    )
    return Claim("anharmonicity", words, Measured(max(swollen)), "no fixed value", None)


def _modes(cells: Cells) -> Claim | None:
    """Whether the directions share one temperature: not implied by the rest."""
    names = ("equipartition", "equipartition_low", "equipartition_high")
    rows = [
        [cell["temperature"][name]["value"] / cell["predicted"] for name in names]
        for cell in cells
        if cell["harmonic"]
        and all(cell["temperature"].get(name, {}).get("value") for name in names)
    ]
    if not rows:
        return None
    middle, low, high = np.median(np.array(rows), 0)
    words = (
        f"by direction T_i/T_law has median {middle:.2f}, quartiles "
        f"{low:.2f}–{high:.2f}, over the steepest Hessian directions"
    )
    return Claim(
        "equipartition",
        words,
        Measured(float(middle)),
        "1 in every direction that has equilibrated",
        None,
    )


def _epoch(cells: Cells) -> Claim:
    """With reshuffling T/T_law is what the factor r(x) per mode leaves."""
    rows = [
        (
            cell["temperature"]["excess_loss"]["value"] / cell["predicted"],
            cell["predicted_epoch"] / cell["predicted"],
        )
        for cell in cells
        if cell["stationary"]
        and cell["temperature"].get("excess_loss", {}).get("value") is not None
    ]
    expected = f"T/T_law within {EPOCH} of Σ r(x_i)C_ii/Tr C"
    if not rows:
        return Claim(
            "epoch",
            "epoch sampling: no cell is stationary",
            Measured.nothing(_left_out(cells)),
            expected,
            None,
        )
    worst = max(abs(found - law) for found, law in rows)
    lowest, predicted = min(rows)
    words = (
        f"reshuffled noise is colder: T/T_law down to {lowest:.2f} (predicted "
        f"{predicted:.2f}), at most {worst:.2f} from the "
        f"prediction over {len(rows)} cells"
    )
    return Claim("epoch", words, Measured(worst), expected, worst < EPOCH)
