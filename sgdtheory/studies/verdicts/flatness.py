"""How the flatness of minima depends on the learning rate and on the batch size: power laws over a grid, and claims."""

from math import exp, log
from typing import Any

import numpy as np

from sgdtheory.measured import Claim, Measured, Plot, Results, in_full
from sgdtheory.studies.study import row_of

LOW, HIGH, SURE, ALIKE = -0.4, -0.15, 8.0, 0.1  # of the slope; its standard errors; the difference of the two exponents
VISIBLE = 0.1  # a slope at λ > 0 beyond this would be one that can be seen
EQUAL = 0.02  # relative spread of losses up to which they count as equal

Rows = list[dict[str, Any]]


def exponents(rows: Rows, apart: bool) -> list[Measured]:
    """Exponents of Tr H in η/b, or in η and in 1/b apart: least squares of its logarithm for every seed, mean over seeds.

    A seed is the whole experiment once more, from another start with other batches, so their scatter is all of the error:
    that of the traces is in it.
    """
    found = []
    for seed in sorted({row["point"] for row in rows}):
        mine = [row for row in rows if row["point"] == seed]
        rate, batch = (np.log([row[name] for row in mine]) for name in ("learning_rate", "batch_size"))
        columns = [rate, -batch] if apart else [rate - batch]
        design = np.stack([*columns, np.ones(len(mine))], 1)
        if np.linalg.matrix_rank(design) < design.shape[1]:
            return [Measured.nothing("the grid is too small to tell")] * len(columns)
        found.append(np.linalg.lstsq(design, np.log([row["trace"] for row in mine]), rcond=None)[0][:-1])
    return [Measured.mean(column) for column in np.array(found).T]


def results(free: Rows, held: Rows, weight_decay: float) -> Results:
    """`free`: a row a point at λ = 0, equal loss; `held`: at the bottoms that weight decay makes."""
    tables = {"cells": [*_cells(free, 0.0), *_cells(held, weight_decay)], "points": [*free, *held]}
    claims = [*_claims(free), _held(held, weight_decay)]
    return Results(claims, {}, {"tables": tables, "plots": [_plot(weight_decay).as_dict()]})


def _cells(rows: Rows, weight_decay: float) -> Rows:
    """Means over seeds of every learning rate and batch size, with what the fitted power law says there."""
    slope = exponents(rows, apart=False)[0] if rows else Measured.nothing("no cell is finished")
    found = []
    for eta, b in dict.fromkeys((row["learning_rate"], row["batch_size"]) for row in rows):
        mine = [row for row in rows if (row["learning_rate"], row["batch_size"]) == (eta, b)]
        curve = f"λ = {in_full(weight_decay)}, η = {in_full(eta)}"
        facts = {"weight_decay": weight_decay, "learning_rate": eta, "batch_size": b, "ratio": eta / b, "curve": curve}
        measured = {name: Measured.mean([row[name] for row in mine]) for name in ("trace", "loss", "loss_before")}
        found.append(row_of(facts, **measured))
    for row in found:
        row["law"] = None if slope.value is None else _law(rows, slope.value, row["ratio"])
    return found


def _law(rows: Rows, slope: float, ratio: float) -> float:
    """The power law through the middle of all points."""
    shift = [log(row["trace"]) - slope * log(row["learning_rate"] / row["batch_size"]) for row in rows]
    return exp(sum(shift) / len(shift) + slope * log(ratio))


def _claims(rows: Rows) -> list[Claim]:
    band = f"between {LOW:g} and {HIGH:g}, |z| > {SURE:g}"
    if not rows or not _equal(rows):
        nothing = Measured.nothing("not all points are at equal loss; see the table" if rows else "no cell is finished")
        return [Claim("slope", f"d log Tr H / d log(η/b): {nothing.why}", nothing, band, None)]
    slope, (rate, batch) = exponents(rows, apart=False)[0], exponents(rows, apart=True)
    told = f"at equal loss Tr H falls with temperature: d log Tr H / d log(η/b) = {slope}, {len(rows)} minima"
    same = f"exponents of η {rate}, of 1/b {batch}"
    return [
        Claim("slope", told, slope, band, _falls(slope)),
        Claim("exponents", same, _difference(rows), f"equal within {ALIKE:g}", _alike(rate, batch)),
    ]


def _equal(rows: Rows) -> bool:
    losses = [row["loss"] for row in rows]
    return bool(max(losses) - min(losses) <= EQUAL * max(losses))


def _falls(slope: Measured) -> bool | None:
    if slope.value is None or not slope.stderr:
        return None
    return LOW <= slope.value <= HIGH and abs(slope.value) > SURE * slope.stderr


def _difference(rows: Rows) -> Measured:
    """Of the exponents of η and of 1/b, seed by seed."""
    each = []
    for seed in sorted({row["point"] for row in rows}):
        rate, batch = exponents([row for row in rows if row["point"] == seed], apart=True)
        if rate.value is None or batch.value is None:
            return rate
        each.append(rate.value - batch.value)
    return Measured.mean(each)


def _alike(rate: Measured, batch: Measured) -> bool | None:
    if rate.value is None or batch.value is None:
        return None
    return abs(rate.value - batch.value) <= ALIKE


def _held(rows: Rows, weight_decay: float) -> Claim:
    """That with weight decay hardly anything is left to see: the way to the bottom forgets where SGD has been."""
    expected = f"not to be seen: |slope| < {VISIBLE:g}"
    slope = exponents(rows, apart=False)[0] if rows else Measured.nothing("no cell is finished")
    if slope.value is None:
        return Claim("weight_decay", f"λ = {weight_decay:g}: {slope.why}", slope, expected, None)
    left = "hardly anything is left to see" if abs(slope.value) < VISIBLE else "temperature is to be seen there too"
    told = f"at the bottoms that λ = {weight_decay:g} makes, the slope is {slope}: {left}"
    return Claim("weight_decay", told, slope, expected, abs(slope.value) < VISIBLE)


def _plot(weight_decay: float) -> Plot:
    return Plot(
        "flatness",
        "The hotter SGD was, the flatter is where it ends",
        "Tr H at equal loss against the temperature η/b (T = η/2b) at which SGD ran, means over seeds; every learning rate is "
        "a curve of its own, and they fall together. The line is the power law through all points at λ = 0. At "
        f"λ = {weight_decay:g}, at the bottom, hardly any slope is left. The exponent is not a law of nature: it grows with "
        "how long SGD runs.",
        "cells",
        "ratio",
        ("trace",),
        "curve",
        "xy",
        ("law",),
        labels={"ratio": "η/b", "trace": "Tr H", "curve": "λ, η"},
    )
