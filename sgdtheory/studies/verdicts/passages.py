"""What first passages say beside the exact integral and Kramers' formula: rows, claims and pictures of the study of escape."""

from typing import Any

from sgdtheory.fokker_planck.law import temperature
from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.sgd import SGD
from sgdtheory.studies.study import ratio, row_of

CLOSE = 0.08  # of the mean time to the integral's
Rows = list[dict[str, Any]]


def passage_row(landscape: Any, sgd: SGD, time: Measured) -> dict[str, Any]:
    """One temperature: SGD's mean time, the exact integral, Kramers' formula, and the two as shares of the integral."""
    T = temperature(sgd)
    exact, kramers = float(landscape.mean_first_passage(T)), 1 / float(landscape.kramers_rate(T))
    barrier = float(landscape.barrier()) / (T * landscape.noise)
    facts = {"batch_size": sgd.batch_size, "barrier": barrier, "exact": exact, "kramers": kramers}
    return row_of(facts, time=time, ratio=ratio(time, Measured(exact), time.why)) | {"kramers_ratio": kramers / exact}


def curves(rows: Rows) -> Rows:
    """The same a row a mark: SGD's with the integral as its line, Kramers' formula as a line without marks."""
    sgd = [{"of": "SGD, and the integral", **row, "line": row["exact"], "ratio_line": 1.0} for row in rows]
    nothing = {"time": None, "ratio": None}
    formula = [
        {
            "of": "Kramers' formula",
            "barrier": row["barrier"],
            **nothing,
            "line": row["kramers"],
            "ratio_line": row["kramers_ratio"],
        }
        for row in rows
    ]
    return [*sgd, *formula]


def claims(rows: list[dict[str, Any]]) -> list[Claim]:
    """That every mean time is the integral's, and how far Kramers' formula is."""
    expected = f"within {100 * CLOSE:g} % of the exact mean first passage at every temperature"
    known = [row for row in rows if row["time"] is not None]
    if not known:
        why = rows[0]["time_why"] if rows else "nothing is finished"
        return [Claim("escape", "no mean first passage is known", Measured.nothing(why), expected, None)]
    worst = max(known, key=lambda row: abs(row["ratio"] - 1))
    found = Measured(worst["ratio"], worst["ratio_stderr"])
    hot, cold = (pick(known, key=lambda row: row["barrier"]) for pick in (min, max))
    words = (
        f"from a barrier of {hot['barrier']:.2g} T to one of {cold['barrier']:.2g} T escape takes {hot['time']:.3g} to "
        f"{cold['time']:.3g} units of time, {found} times the exact integral's at worst"
    )
    holds = abs(worst["ratio"] - 1) < CLOSE
    said = Claim("escape", words, found, expected, holds if len(known) == len(rows) or not holds else None)
    return [said, _kramers(rows)]


def _kramers(rows: list[dict[str, Any]]) -> Claim:
    """The formula against the integral: exact numbers both."""
    off = {row["barrier"]: abs(row["kramers_ratio"] - 1) for row in rows}
    lowest, highest = min(off), max(off)
    words = (
        f"Kramers' formula is {100 * off[lowest]:.0f} % off the integral at a barrier of {lowest:.2g} T and "
        f"{100 * off[highest]:.0f} % at {highest:.2g} T"
    )
    holds = off[highest] < off[lowest] if len(off) > 1 else None
    return Claim("kramers", words, Measured(off[highest]), "nearer at the lowest temperature than at the highest", holds)


PLOTS = [
    Plot(
        "escape",
        "Escape takes the time that theory says",
        "Mean time from the bottom of one well to that of the other against the height of the barrier in units of D = c·η/2b, "
        "which the batch size sets: marks with one standard error; the line through them is the exact integral, the other one "
        "Kramers' formula, its limit at low temperature.",
        "curves", "barrier", ("time",), by="of", log="y", theory=("line",),
        labels={"barrier": "barrier / D", "time": "mean first passage, time η·step"},
    ),
    Plot(
        "escape_ratio",
        "The integral is exact, Kramers' formula its limit",
        "The same mean times over the exact integral's. What SGD's are off is the finite learning rate and the sampling error; "
        "Kramers' formula (line) is off by the next order in T.",
        "curves", "barrier", ("ratio",), by="of", theory=("ratio_line",), level=1.0,
        labels={"barrier": "barrier / D", "ratio": "time / exact integral"},
    ),
]  # fmt: skip
