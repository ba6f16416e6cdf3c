"""The claims of the study of Adam's temperature."""

from collections.abc import Mapping

import numpy as np

from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import known
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.studies.shared.parts import headline
from sgdtheory.temperature.adam_claims import adam_claims
from sgdtheory.temperature.claims import fit_over_minima, only_with_known_errors

CLOSE = 0.05  # of a slope, and of a ratio to one
SIGMAS = 3.0
SHOWN = ("directions", "linear")  # whatever they say
RULES = ("as it is", "square root", "linear")  # by which a batch grows


def claims_of(axes: Rows, cells: Rows, rules: Rows) -> list[Claim]:
    """On the axes of a quadratic, over the cells of a sweep, and by the rules for larger
    batches, a headline first."""
    of_network = only_with_known_errors(cells, [*_sweep_claims(cells), *_rule_claims(rules)])
    claims = [_axes_claim(axes), _sgd_claim(axes), *of_network]
    judged = [claim for claim in claims if claim.name not in SHOWN]
    words = "Adam's cloud has a temperature η/2√b, on a quadratic and on a network"
    return [headline("adam", judged, words), *claims]


def _axes_claim(rows: Rows) -> Claim:
    """The axis that is farthest from Adam's law, in standard errors."""
    expected = f"1 within {SIGMAS:g} standard errors on every axis"
    if not rows:
        unknown = Measured.nothing("the bowl is not finished")
        return Claim("axes", "nothing is known of a quadratic", unknown, expected, None)
    worst = max(rows, key=_errors_from_one)
    ratio = Measured(worst["ratio"], worst["ratio_stderr"])
    words = f"on a quadratic hᵢΣᵢᵢ is {ratio} of ησᵢ/2√b on the axis that is farthest from it"
    holds = abs(worst["ratio"] - 1) < SIGMAS * worst["ratio_stderr"]
    claim = Claim("axes", words, ratio, expected, holds)
    largest = max(row["ratio_stderr"] for row in rows)
    if holds and largest > CLOSE:
        return claim.left_open(f"an error of {largest:.2f} says little: raise replicas")
    return claim


def _errors_from_one(row: Row) -> float:
    """By how many of its standard errors a ratio is off 1."""
    errors: float = abs(row["ratio"] - 1) / row["ratio_stderr"]
    return errors


def _sgd_claim(rows: Rows) -> Claim:
    """That SGD's law is not Adam's."""
    expected = "1 excluded by 10 standard errors on an axis whose σ is not √b"
    if not rows:
        unknown = Measured.nothing("the bowl is not finished")
        return Claim("sgd", "nothing is known of a quadratic", unknown, expected, None)
    worst = max(rows, key=lambda row: abs(row["of_sgd"] - 1))
    ratio = Measured(worst["of_sgd"], worst["of_sgd_stderr"])
    words = f"SGD's law ησᵢ²/2b is off by a factor of {ratio} on an axis"
    holds = abs(worst["of_sgd"] - 1) > 10 * worst["of_sgd_stderr"]
    return Claim("sgd", words, ratio, expected, holds)


def _sweep_claims(cells: Rows) -> list[Claim]:
    """Slope, exponent of b, and how unlike the directions are."""
    expected = f"1 within {CLOSE}"
    if not cells:
        unknown = Measured.nothing("no cell is finished")
        return [Claim("slope", "nothing is known of a network", unknown, expected, None)]
    fit = fit_over_minima(cells)
    if isinstance(fit, str):
        return [Claim("slope", "no line through the sweep", Measured.nothing(fit), expected, None)]
    slope = Measured(fit.slope, fit.slope_stderr)
    words = f"of a network T has slope {slope} in log(η/√b) over {fit.cells} of {len(cells)} cells"
    _, holds, why = all_near([slope], 1, CLOSE, "lower sweep.precision")
    claims = [Claim("slope", words, slope._replace(why=why), expected, holds)]
    claims += adam_claims(cells)
    claims.append(_directions_claim(cells))
    return claims


def _directions_claim(cells: Rows) -> Claim:
    """T of the steepest directions of φ over the law, the median over the sweep's cells."""
    names = ("equipartition", "equipartition_low", "equipartition_high")
    found = []
    for cell in cells:
        estimates = cell["temperature"]
        numbers = [estimates.get(name, {}).get("value") for name in names]
        if None not in numbers:
            found.append([number / cell["predicted"] for number in numbers])
    expected = "1 in every direction of φ"
    if not found:
        unknown = Measured.nothing("equipartition is not among the estimators")
        return Claim("directions", "nothing is known by direction", unknown, expected, None)
    middle, low, high = np.median(np.array(found), 0)
    words = f"by direction of φ T_i/T_law is {middle:.2f}, quartiles {low:.2f}–{high:.2f}"
    return Claim("directions", words, Measured(float(middle)), expected, None)


def _rule_claims(rows: Rows) -> list[Claim]:
    """T after the batch has grown, over T before, by the rule and by the linear one."""
    found = {row["rule"]: row for row in known(rows, "temperature")}
    return [_rule_claim(found, rule) for rule in RULES[1:]]


def _rule_claim(found: Mapping[str, Row], rule: str) -> Claim:
    expected = f"1 within {CLOSE}" if rule == "square root" else "√κ: it heats"
    if RULES[0] not in found or rule not in found:
        unknown = Measured.nothing("a cell is not stationary, or not finished")
        return Claim(rule, f"by the {rule} rule nothing is known", unknown, expected, None)
    ratio = _ratio(found[rule], found[RULES[0]])
    words = f"by the {rule} rule a larger batch has {ratio} times the temperature"
    holds = None
    if rule == "square root":
        _, holds, why = all_near([ratio], 1, CLOSE, "lower sweep.precision")
        ratio = ratio._replace(why=why)
    return Claim(rule, words, ratio, expected, holds)


def _ratio(after: Row, before: Row) -> Measured:
    value = after["temperature"] / before["temperature"]
    error_after = after["temperature_stderr"] / after["temperature"]
    error_before = before["temperature_stderr"] / before["temperature"]
    relative = np.hypot(error_after, error_before)
    return Measured(float(value), float(value * relative))


PLOTS = [
    Plot(
        "temperatures",
        "Adam's temperature against η/2√b",
        "T = 2⟨L − L*⟩ over the noise of a sample in the coordinates φ = √σ·θ, in units of the "
        "law, with one standard error. At the hottest cells the gradient has a part in ŝ, which "
        "cools.",
        "cells",
        "predicted",
        ("ratio",),
        by="batch_size",
        level=1.0,
        labels={"predicted": "η/2√b", "ratio": "T / (η/2√b)", "batch_size": "b"},
    ),
]
