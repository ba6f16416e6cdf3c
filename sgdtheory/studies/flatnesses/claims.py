"""What is said of the flatness of points against the temperature that they come from."""

from math import exp, log

from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.power_law import exponents
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of, grouped, grouped_by, means_of
from sgdtheory.statistics.tolerance import all_near, near
from sgdtheory.studies.study import Verdict

LOW, HIGH, SURE = -0.4, -0.15, 8.0  # of the slope, and its standard errors
ALIKE = 0.1  # the difference of the two exponents
VISIBLE = 0.1  # a slope at λ > 0 beyond this would be one that can be seen
EQUAL = 0.02  # relative spread of losses up to which they count as equal
# factors of Tr H: products of powers of columns
HEAT = {"learning_rate": 1.0, "batch_size": -1.0}
RATE = {"learning_rate": 1.0}
BATCH = {"batch_size": -1.0}


def slope_of(rows: Rows) -> Measured:
    """The exponent of Tr H in η/b, from every seed apart."""
    if not rows:
        return Measured.nothing("no cell is finished")
    return exponents(rows, "trace", [HEAT], "point")[0]


def slopes_of(rows: Rows) -> list[Measured]:
    """The exponents of Tr H in η and in 1/b, from every seed apart."""
    return exponents(rows, "trace", [RATE, BATCH], "point")


def verdict_of(free: Rows, decayed: Rows, weight_decay: float) -> Verdict:
    """One row for each point, `free` at λ = 0 and equal loss, `decayed` at the bottom of the loss
    with L2."""
    cells = [*_cells(free, 0.0), *_cells(decayed, weight_decay)]
    tables = {"cells": cells, "points": [*free, *decayed]}
    claims = [*_claims(free), _decayed(decayed, weight_decay)]
    return Verdict(claims, tables, [_plot(weight_decay)])


def _cells(rows: Rows, weight_decay: float) -> Rows:
    """Means over seeds of every learning rate and batch size, with the fitted power law there."""
    slope = slope_of(rows)
    cells = []
    for (eta, b), same in grouped_by(rows, "learning_rate", "batch_size").items():
        curve = f"λ = {in_full(weight_decay)}, η = {in_full(eta)}"
        facts = {
            "weight_decay": weight_decay,
            "learning_rate": eta,
            "batch_size": b,
            "ratio": eta / b,
            "curve": curve,
        }
        cells.append(row_of(facts, **means_of(same, "trace", "loss", "loss_before")))
    for row in cells:
        row["law"] = None
        if slope.value is not None:
            row["law"] = _law(rows, slope.value, row["ratio"])
    return cells


def _law(rows: Rows, slope: float, ratio: float) -> float:
    """The power law through the middle of all points."""
    offsets = []
    for row in rows:
        heat = row["learning_rate"] / row["batch_size"]
        offsets.append(log(row["trace"]) - slope * log(heat))
    return exp(sum(offsets) / len(offsets) + slope * log(ratio))


def _claims(rows: Rows) -> list[Claim]:
    band = f"between {LOW:g} and {HIGH:g}, |z| > {SURE:g}"
    if not rows or not _equal(rows):
        why = "not all points are at equal loss; see the table" if rows else "no cell is finished"
        words = f"d log Tr H / d log(η/b): {why}"
        return [Claim("slope", words, Measured.nothing(why), band, None)]
    slope = slope_of(rows)
    rate, batch = slopes_of(rows)
    words = (
        f"at equal loss Tr H falls with temperature: d log Tr H / d log(η/b) = {slope}, "
        f"{len(rows)} minima"
    )
    same = f"exponents of η {rate}, of 1/b {batch}"
    apart = _difference(rows)
    seeds = len(grouped(rows, "point"))
    _, are_alike, why = all_near([of_few(apart, seeds)], 0, ALIKE, "raise seeds")
    falls = _falls(of_few(slope, seeds))
    if falls is None:
        slope = slope._replace(why=slope.why or "its error over seeds does not tell: raise seeds")
    return [
        Claim("slope", words, slope, band, falls),
        Claim("exponents", same, apart._replace(why=why), f"equal within {ALIKE:g}", are_alike),
    ]


def _equal(rows: Rows) -> bool:
    losses = column_of(rows, "loss")
    return bool(max(losses) - min(losses) <= EQUAL * max(losses))


def _falls(slope: Measured) -> bool | None:
    if slope.value is None or not slope.stderr:
        return None
    inside = near(slope, (LOW + HIGH) / 2, (HIGH - LOW) / 2)
    is_sure = abs(slope.value) > SURE * slope.stderr
    return None if inside and not is_sure else inside


def _difference(rows: Rows) -> Measured:
    """Of the exponents of η and of 1/b, seed by seed."""
    differences = []
    for _, own in sorted(grouped(rows, "point").items()):
        rate, batch = slopes_of(own)
        if rate.value is None or batch.value is None:
            return rate
        differences.append(rate.value - batch.value)
    return Measured.mean(differences)


def _decayed(rows: Rows, weight_decay: float) -> Claim:
    """With weight decay hardly anything is left to see: the way to the bottom forgets where SGD has
    been.
    """
    expected = f"not to be seen: |slope| < {VISIBLE:g}"
    slope = slope_of(rows)
    if slope.value is None:
        return Claim("weight_decay", f"λ = {weight_decay:g}: {slope.why}", slope, expected, None)
    seeds = len(grouped(rows, "point"))
    _, holds, why = all_near([of_few(slope, seeds)], 0, VISIBLE, "raise seeds")
    left = {
        True: ": hardly anything is left to see",
        False: ": temperature is to be seen there too",
        None: "",
    }
    words = f"at the bottoms that λ = {weight_decay:g} makes, the slope is {slope}{left[holds]}"
    return Claim("weight_decay", words, slope._replace(why=why), expected, holds)


def _plot(weight_decay: float) -> Plot:
    return Plot(
        "flatness",
        "The hotter SGD was, the flatter is where it ends",
        "Tr H at equal loss against the temperature η/b (T = η/2b) at which SGD ran, means over "
        "seeds; every learning rate is a curve of its own, and they fall together. The line is "
        f"the power law through all points at λ = 0. At λ = {weight_decay:g}, at the bottom, "
        "hardly any slope is left. The exponent is not a law of nature: it grows with how long "
        "SGD runs.",
        "cells",
        "ratio",
        ("trace",),
        "curve",
        "xy",
        ("law",),
        labels={"ratio": "η/b", "trace": "Tr H", "curve": "λ, η"},
    )
