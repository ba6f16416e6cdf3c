"""Large batches' minima over small ones', pair by pair, and what is said of them."""

from collections.abc import Mapping, Sequence

from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.measured import Claim, Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, means_of
from sgdtheory.statistics.trends import above, geometric_mean, mean_above
from sgdtheory.studies.study import left_open

BAR, EVERY = 2.0, 1.5  # for the geometric mean over seeds, and for every single seed
EQUAL = 0.02  # relative difference of losses up to which they count as equal


def ratio_of(rows: Rows, column: str) -> tuple[Measured, list[float]]:
    """Large batch over small: geometric mean over points that began together, and each of them."""
    small, large = pairs(rows, column)
    return geometric_mean([b / a for a, b in zip(small, large, strict=True)], column)


def pairs(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    """The column at the small and at the large batch size, point by point."""
    by_size = grouped(rows, "batch_size")
    small, large = (column_of(by_size[size], column) for size in sorted(by_size))
    return small, large


def mean_rows(points: Rows, columns: Sequence[str]) -> Rows:
    """One row for each recipe and batch size, means over seeds."""
    means = []
    for name, rows in grouped(points, "recipe").items():
        for size, same in sorted(grouped(rows, "batch_size").items()):
            facts = {"recipe": name, "batch_size": size}
            means.append(row_of(facts, **means_of(same, *columns)))
    return means


def ratio_row(name: str, rows: Rows, columns: Sequence[str]) -> Row:
    """Ratios large over small, that of the losses with them: flatness at unequal loss compares
    nothing.
    """
    compared = [column for column in ("loss", *columns) if column != "test_error"]
    ratios = {column: ratio_of(rows, column)[0] for column in compared}
    least = min(ratio_of(rows, "sharpness")[1])
    return row_of({"recipe": name, "least_sharpness": least}, **ratios)


def claims_of(by_name: Mapping[str, Rows], recipes: list[str], target: float) -> list[Claim]:
    """The headline's claims, then every other recipe without a verdict."""
    headline = recipes[0]
    if headline not in by_name:
        unknown = Measured.nothing(f"{headline} is not finished")
        return [Claim("sharpness", f"nothing is known of {headline}", unknown, f"≥ {BAR:g}", None)]
    rows = by_name[headline]
    claims = [
        _flatter("sharpness", "sharpness (metric 2.1)", rows, target),
        _flatter("top_eigenvalue", "h_max", rows, target),
        _generalises(rows),
    ]
    doubts = [row["untrained"] for row in rows if row.get("untrained")]
    if doubts:  # then full-batch descent has made the minima, at either batch size
        claims = left_open(claims, f"SGD has not trained: {doubts[0]}; raise sgd.steps")
    others = [name for name in recipes[1:] if name in by_name]
    return claims + [_shown(name, by_name[name], target) for name in others]


def _flatter(column: str, words: str, rows: Rows, target: float) -> Claim:
    ratio, ratios = ratio_of(rows, column)
    expected = f"geometric mean ≥ {BAR:g}, every seed > {EVERY:g}, at equal loss"
    if ratio.value is None or not _equal(rows, target):
        why = ratio.why or "the losses are not equal; see the table"
        told = f"{words}: nothing can be said, {why}"
        return Claim(column, told, Measured.nothing(why), expected, None)
    holds = False if min(ratios) <= EVERY else above(of_few(ratio, len(ratios)), BAR)
    small, large = sorted(grouped(rows, "batch_size"))
    told = (
        f"at equal loss {target:g} {words} of b = {large} is {ratio} times that of b = {small}, "
        f"at the least {min(ratios):.2f} times ({len(ratios)} seeds)"
    )
    why = f"within two errors it may be {BAR:g}: raise seeds" if holds is None else ""
    return Claim(column, told, ratio._replace(why=why), expected, holds)


def _equal(rows: Rows, target: float) -> bool:
    """Whether all have come down to the target and none went far below it."""
    return all((1 - EQUAL) * target <= row["loss"] <= target for row in rows)


def _generalises(rows: Rows) -> Claim:
    small, large = pairs(rows, "test_error")
    differences = [b - a for a, b in zip(small, large, strict=True)]
    fewer = Measured.mean(differences)
    low, high, more = (_percent(errors) for errors in (small, large, differences))
    told = f"test error {low} with small batches, {high} with large: {more} more"
    expected = "the flatter minima generalise better: above 0 by two errors"
    holds, fewer = mean_above(fewer, 0.0, "raise seeds", samples=len(differences))
    return Claim("test_error", told, fewer, expected, holds)


def _percent(errors: list[float]) -> Measured:
    return Measured.mean([100 * error for error in errors], "%")


def _shown(name: str, rows: Rows, target: float) -> Claim:
    """A recipe that is shown without a verdict."""
    ratio, _ = ratio_of(rows, "sharpness")
    low, high = (sum(losses) / len(losses) for losses in pairs(rows, "loss"))
    at = f"at unequal loss, {low:.2g} small and {high:.2g} large"
    if _equal(rows, target):
        at = f"at equal loss {target:g}"
    told = f"{name}: sharpness large over small {ratio} {at}"
    return Claim(name, told, ratio, "shown beside it, whatever it says", None)
