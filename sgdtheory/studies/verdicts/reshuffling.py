"""What reshuffled epochs leave of the noise: theory, rows, claims and pictures of the study of epoch noise."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.study import row_of
from sgdtheory.sweep.ground import Ground

COLD = 0.8  # T/T_law that epochs are below at the hottest cell
CLOSE = 0.1  # of T/T_law to Σ r(x_i)C_ii/Tr C
EXACT = 0.02  # of T/T_law to the exact factor where the noise is frozen, and to one where draws are independent
SIGMAS = 3.0
Rows = list[dict[str, Any]]


def exact_factor(ground: Ground, rate: float, size: int, count: int) -> float:
    """Σ_j w_j·T_j/T_law of additive noise, exactly: finite steps, and the examples that fill no batch and are left out.

    In a mode θ ← aθ − ηξ_k, a = 1 − ηh, the m = ⌊N/b⌋ batches of an epoch have ⟨ξ²⟩ = (C/b)(N−b)/(N−1) and ⟨ξ_jξ_k⟩ = −C/(N−1).
    So after k steps of an epoch ⟨θ²⟩ = a²ᵏv + η²[(⟨ξ²⟩ − ⟨ξξ′⟩)Σa²ⁱ + ⟨ξξ′⟩(Σaⁱ)²], sums over i < k, v its value at the epoch's
    start, the same at the next; the mean over k, times h(1 − ηh/2)/C, is T_j. As m → ∞ at fixed x = ηhN/b it is r(x).
    """
    h = np.clip(ground.spectrum.numpy(), 1e-5, None)
    steps, a = count // size, 1 - rate * h
    own, other = (count - size) / (size * (count - 1)), -1 / (count - 1)
    whole, end = a**steps, a ** (2 * steps)
    ones, twos = (1 - whole) / (steps * (1 - a)), (1 - end) / (steps * (1 - a**2))  # means of aᵏ and a²ᵏ over an epoch
    fresh = (own - other) * (1 - twos) / (1 - a**2) + other * (1 - 2 * ones + twos) / (1 - a) ** 2
    start = ((own - other) * (1 - end) / (1 - a**2) + other * ((1 - whole) / (1 - a)) ** 2) / (1 - end)
    variance = rate**2 * (twos * start + fresh)
    temperatures = h * (1 - rate * h / 2) * variance / (rate / (2 * size))
    return float((ground.weights.numpy() * temperatures).sum())


def cell_row(cell: Mapping[str, Any], kind: str, ground: Ground, count: int) -> dict[str, Any]:
    """One cell: T/T_law as the sweep has it, and theory's."""
    rate, size = cell["learning_rate"], cell["batch_size"]
    facts = {"kind": kind, "learning_rate": rate, "batch_size": size, "rate_per_sample": rate / size}
    facts |= {"predicted": 1.0, "exact": 1.0, "steps": cell["steps"]}
    if cell["sampling"] == "epoch":
        facts |= {"predicted": ground.epoch_factor(rate, count / size), "exact": exact_factor(ground, rate, size, count)}
    return row_of(facts, ratio=_of(cell["temperature"]["excess_loss"], cell["predicted"]))


def _of(number: Mapping[str, Any], unit: float) -> Measured:
    value, stderr = number["value"], number["stderr"]
    if value is None:
        return Measured.nothing(number.get("why", ""))
    return Measured(value / unit, None if stderr is None else stderr / unit)


def claims(rows: Rows) -> list[Claim]:
    """The hottest cell, all cells against the prediction, and both controls."""
    by = {kind: [row for row in rows if row["kind"] == kind] for kind in ("epochs", "independent", "frozen")}
    known = [row for row in by["epochs"] if row["ratio"] is not None]
    if not known:
        why = by["epochs"][0]["ratio_why"] if by["epochs"] else "nothing is finished"
        return [Claim("epoch", "no temperature under reshuffling", Measured.nothing(why), f"below {COLD:g}", None)]
    known.sort(key=lambda row: row["rate_per_sample"])
    said = [_cold(known[-1]), _prediction(known, by["epochs"])]
    controls = [
        ("independent", "draws are independent", "predicted"),
        ("frozen", "the noise is frozen at the minimum", "exact"),
    ]
    return [*said, *(_control(by[kind], kind, words, theory) for kind, words, theory in controls if by[kind])]


def _ratio(row: Mapping[str, Any], less: float = 0.0) -> Measured:
    return Measured(row["ratio"] - less, row.get("ratio_stderr"))


def _cold(row: Mapping[str, Any]) -> Claim:
    words = f"reshuffled noise is colder: T/T_law is {_ratio(row)} at η = {row['learning_rate']:g}, b = {row['batch_size']}"
    return Claim("epoch", words, _ratio(row), f"below {COLD:g}", row["ratio"] < COLD)


def _prediction(known: Rows, asked: Rows) -> Claim:
    worst = max(known, key=_apart)
    found = _ratio(worst, worst["predicted"])
    words = f"T/T_law is {found} from Σ r(x_i)C_ii/Tr C at worst, over {len(known)} of {len(asked)} cells"
    return Claim("prediction", words, found, f"within {CLOSE:g} in every cell", _apart(worst) < CLOSE)


def _apart(row: Mapping[str, Any], theory: str = "predicted") -> float:
    return float(abs(row["ratio"] - row[theory]))


def _control(rows: Rows, kind: str, condition: str, theory: str) -> Claim:
    expected = f"theory's within {EXACT:g} or {SIGMAS:g} standard errors"
    known = [row for row in rows if row["ratio"] is not None]
    if not known:
        return Claim(kind, f"no temperature where {condition}", Measured.nothing(rows[0]["ratio_why"]), expected, None)
    worst = max(known, key=lambda row: _apart(row, theory))
    holds = _apart(worst, theory) < max(EXACT, SIGMAS * worst["ratio_stderr"])
    words = f"where {condition} T/T_law is {_ratio(worst)}, theory's {worst[theory]:.3f}"
    return Claim(kind, words, _ratio(worst), expected, holds)


PLOTS = [
    Plot(
        "epoch_noise",
        "Epochs are colder than independent batches",
        "Excess-loss temperature over η/2b, marks with one standard error, against Σ r(x_i)C_ii/Tr C, which has no free "
        "number; the line is equality. Under reshuffling a mode slower than an epoch, x = ηhN/b < 1, feels little noise, for "
        "that of an epoch sums to almost nothing. Finite steps and noise that grows away from the minimum lift the marks "
        "a little.",
        "cells", "predicted", ("ratio",), by="kind", theory=("predicted",), level=1.0,
        labels={"predicted": "Σ r(x_i)C_ii/Tr C", "ratio": "T / (η/2b)"},
    ),
]  # fmt: skip
