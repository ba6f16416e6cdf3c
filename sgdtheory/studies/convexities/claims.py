"""What is claimed of the gradient along runs that train, and along one that does not."""

from typing import NamedTuple

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.proportions import at_most, interval
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.trends import above

# fractions not positive: at most of a run that trains, at least of another (the project's table)
FEW, MANY = 0.01, 0.05
# of what the best constant prediction has above the lowest loss: with less left training has
# converged, with more than half nothing is learned
CONVERGED, HALF = 0.05, 0.5
ROUNDING = 1e-9  # nats: a mean loss that falls by less does not fall
TOO_FEW = "too few looks to say it: raise snapshots or seeds"


class Losses(NamedTuple):
    """The loss of the best constant prediction, None where that is not stated, and the lowest
    there is."""

    constant: float | None
    lowest: float = 0.0

    def has_left(self, loss: float | None) -> float | None:
        """What a loss has left of all that there is to learn; None where that is not known."""
        if loss is None or self.constant is None or self.constant <= self.lowest:
            return None
        return (loss - self.lowest) / (self.constant - self.lowest)


def claims_of(runs: Rows, losses: Losses) -> list[Claim]:
    """The gradient points at the end of a run that trains, at no other end, and not where nothing
    is learned."""
    by_name = {row["run"]: row for row in runs}
    claims = []
    if "trained" in by_name:
        claims += _of_trained(by_name.pop("trained"), losses)
    if "untrained" in by_name:
        claims.append(_of_untrained(by_name.pop("untrained"), losses))
    return claims + [_without_verdict(row) for row in by_name.values()]


def _of_trained(row: Row, losses: Losses) -> list[Claim]:
    words = {
        "snapshots": "the gradient points at the end of the run",
        "ball": "so it does in a ball round each",
        "smoothed": "and the smoothed loss's",
    }
    why = _not_converged(row, losses)
    other = Measured.read(row, "other_not_positive")
    elsewhere = f"it does not point at another run's end: {_percent(other)} are not positive there"
    expected = f"> {100 * MANY:g} %: it is no property of directions at large"
    claims = []
    for kind, statement in words.items():
        told = f"{statement}: {_counted(row, kind)} are not positive"
        claims.append(_hardly_any(row, kind, told, why))
    claim = Claim("other_end", elsewhere, other, expected, _many(row, "other"))
    return [*claims, _open(claim, why or other.why)]


def _not_converged(row: Row, losses: Losses) -> str:
    """Why a run is not one that training has converged in; empty where it is."""
    worst = row["worst_end_loss"]
    left = losses.has_left(worst)
    if worst is None:
        return "training did not converge: its loss is not finite"
    if left is None:
        return "whether training converged is not known: the landscape states no constant_loss"
    if not left <= CONVERGED:
        return (
            f"training did not converge, its loss is {worst:.2g}: {100 * left:.2g} % of what there "
            f"is to learn is left, {100 * CONVERGED:g} % are asked"
        )
    return ""


def _hardly_any(row: Row, kind: str, words: str, why: str) -> Claim:
    measured = Measured.read(row, f"{kind}_not_positive")
    if why:
        words += f"; but {why}"
    count, total = _count(row, kind)
    low, _ = interval(count, total)
    holds = None
    if at_most(count, total) <= FEW:
        holds = True
    elif low > FEW:
        holds = False
    claim = Claim(kind, words, measured, f"≤ {100 * FEW:g} % where training converged", holds)
    return _open(claim, why)


def _many(row: Row, kind: str) -> bool | None:
    """Whether many are not positive; None where the count is compatible with both."""
    if row[f"{kind}_not_positive"] is None:
        return None
    low, high = interval(*_count(row, kind))
    if low > MANY:
        return True
    return False if high < MANY else None


def _open(claim: Claim, why: str) -> Claim:
    """A claim without a verdict, with the reason: this one, or too small a count."""
    if why or claim.holds is None:
        return claim.left_open(why or TOO_FEW)
    return claim


def _of_untrained(row: Row, losses: Losses) -> Claim:
    measured = Measured.read(row, "snapshots_not_positive")
    words = (
        f"where nothing is learned (loss {_loss(row)} at the end) {_percent(measured)} are not "
        "positive"
    )
    expected = f"> {100 * MANY:g} %"
    claim = Claim("untrained", words, measured, expected, _many(row, "snapshots"))
    return _open(claim, _learns(row, losses))


def _learns(row: Row, losses: Losses) -> str:
    """Why a run is no control: it learns; empty where it does not, as one that diverges."""
    left = losses.has_left(row["end_loss"])
    if left is not None and left <= HALF:
        return f"the control learns, to a loss of {_loss(row)}: raise runs.untrained.learning_rate"
    if above(Measured.read(row, "late_fall"), ROUNDING):
        return "the control still learns, slowly: raise runs.untrained.learning_rate"
    return ""


def _without_verdict(row: Row) -> Claim:
    measured = Measured.read(row, "snapshots_not_positive")
    last = row["last_not_positive"]
    when = "" if last is None else f", the last at step {last:,}"
    words = (
        f"{row['run']}: {_percent(measured)} are not positive{when}; loss {_loss(row)} at the end"
    )
    return Claim(row["run"], words, measured, "", None)


def _loss(row: Row) -> str:
    loss = row["end_loss"]
    return "that is not finite" if loss is None else f"{loss:.2g}"


def _count(row: Row, kind: str) -> tuple[int, int]:
    """How many of how many are not positive."""
    total = row["ball_points"] if kind == "ball" else row["snapshots"]
    return round(row[f"{kind}_not_positive"] * total), total


def _counted(row: Row, kind: str) -> str:
    count, total = _count(row, kind)
    most = f"with 95 % confidence at most {100 * at_most(count, total):.2g} %"
    return f"{count:,} of {total:,} ({most}, were they independent)"


def _percent(share: Measured) -> str:
    if share.value is None:
        return "–"
    return f"{100 * share.value:.3g} ± {100 * (share.stderr or 0):.1g} %"
