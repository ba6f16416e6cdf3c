"""What a study of epochs says: the hottest cell, all cells against the prediction, the controls."""

from sgdtheory.statistics.few import SIGMAS as TWO
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped, known
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import above

COLD = 0.8  # T/T_law that epochs are below at the hottest cell
CLOSE = 0.1  # of T/T_law to Σ r(x_i)C_ii/Tr C
# of T/T_law to the exact factor where the noise is frozen, and to one where draws are independent
EXACT = 0.02
SIGMAS = 3.0
MORE = "lower the sweeps' precision"  # what would tell


def claims_of(rows: Rows) -> list[Claim]:
    """The hottest cell, all cells against the prediction, and both controls."""
    by_kind = grouped(rows, "kind")
    epochs = by_kind.get("epochs", [])
    measured = known(epochs, "ratio")
    if not measured:
        why = epochs[0]["ratio_why"] if epochs else "nothing is finished"
        words = "no temperature under reshuffling"
        expected = f"below {COLD:g}"
        return [Claim("epoch", words, Measured.nothing(why), expected, None)]
    measured.sort(key=lambda row: row["rate_per_sample"])
    claims = [_cold(measured[-1]), _prediction(measured, epochs)]
    controls = [
        ("independent", "draws are independent", "predicted"),
        ("frozen", "the noise is frozen at the minimum", "exact"),
    ]
    for kind, condition, theory in controls:
        if kind in by_kind:
            claims.append(_control(by_kind[kind], kind, condition, theory))
    return claims


def _ratio(row: Row, less: float = 0.0) -> Measured:
    return Measured(row["ratio"] - less, row.get("ratio_stderr"))


def _cold(row: Row) -> Claim:
    ratio = _ratio(row)
    rate = row["learning_rate"]
    size = row["batch_size"]
    words = f"reshuffled noise is colder: T/T_law is {ratio} at η = {rate:g}, b = {size}"
    is_above = above(ratio, COLD)
    if is_above is None:
        why = f"within {TWO:g} standard errors of {COLD:g}: {MORE}"
        return Claim("epoch", words, ratio._replace(why=why), f"below {COLD:g}", None)
    return Claim("epoch", words, ratio, f"below {COLD:g}", not is_above)


def _prediction(measured: Rows, asked: Rows) -> Claim:
    differences = [_ratio(row, row["predicted"]) for row in measured]
    at, holds, why = all_near(differences, 0, CLOSE, MORE)
    off = max(abs(row["predicted"] - row["exact"]) for row in measured)
    if off > CLOSE:
        holds = None
        why = f"r(x) is of many steps in an epoch: here the exact sum is {off:.2g} away from it"
    apart = differences[at]
    words = (
        f"T/T_law is {apart} from Σ r(x_i)C_ii/Tr C at worst, over {len(measured)} of {len(asked)} "
        "cells"
    )
    expected = f"within {CLOSE:g} in every cell"
    return Claim("prediction", words, apart._replace(why=why), expected, holds)


def _apart(row: Row, theory: str) -> float:
    return float(abs(row["ratio"] - row[theory]))


def _control(
    rows: Rows,
    kind: str,
    condition: str,
    theory: str,
) -> Claim:
    expected = f"theory's within {EXACT:g} or {SIGMAS:g} standard errors"
    measured = known(rows, "ratio")
    if not measured:
        unknown = Measured.nothing(rows[0]["ratio_why"])
        return Claim(kind, f"no temperature where {condition}", unknown, expected, None)
    worst = max(measured, key=lambda row: _apart(row, theory))
    ratio = _ratio(worst)
    error = worst["ratio_stderr"]
    holds: bool | None = _apart(worst, theory) < max(EXACT, SIGMAS * error)
    if holds and error > EXACT:
        holds = None
        ratio = ratio._replace(why=f"its error is more than {EXACT:g}: {MORE}")
    words = f"where {condition} T/T_law is {ratio}, theory's {worst[theory]:.3f}"
    return Claim(kind, words, ratio, expected, holds)
