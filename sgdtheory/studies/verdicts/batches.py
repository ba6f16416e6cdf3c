"""What minima of small and of large batches say about flatness: rows, the line between them, claims, pictures."""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any

import torch

from sgdtheory.landscape import Cloud, values
from sgdtheory.measured import Claim, Measured, Plot, Results
from sgdtheory.studies.study import higher, row_of

LINE = torch.linspace(-1, 2, 31, dtype=torch.float64)  # t: 0 at the small batch's minimum, 1 at the large one's
BAR, EVERY = 2.0, 1.5  # what the geometric mean over seeds, and what every single seed must reach
EQUAL = 0.02  # relative difference of losses up to which they count as equal
Rows = list[dict[str, Any]]


def line(landscape: Any, small: Cloud, large: Cloud) -> Rows:
    """The loss on the straight line through each pair of minima, mean over pairs: Keskar's picture (1609.04836, figure 3)."""
    rows = []
    for t in LINE.tolist():
        losses = values(landscape, torch.lerp(small, large, t))
        rows.append(row_of({"t": t}, loss=Measured.mean(losses.cpu())))
    return rows


def ratio_of(rows: Rows, column: str) -> tuple[Measured, list[float]]:
    """Large batch over small: geometric mean over the points that began together, with its error, and each of them."""
    small, large = pairs(rows, column)
    each = [b / a for a, b in zip(small, large, strict=True)]
    if not all(ratio > 0 for ratio in each):
        return Measured.nothing(f"{column} is not above zero everywhere"), each
    mean = Measured.mean([log(ratio) for ratio in each])
    assert mean.value is not None
    value = exp(mean.value)
    return Measured(value, None if mean.stderr is None else value * mean.stderr), each


def pairs(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    """The column at the small and at the large batch size, point by point."""
    sizes = sorted({row["batch_size"] for row in rows})
    small, large = ([row[column] for row in rows if row["batch_size"] == size] for size in sizes)
    return small, large


def results(found: Mapping[str, Any], recipes: list[str], columns: Sequence[str], target: float) -> Results:
    """`found`: the finished units by recipe; `recipes`: the names of all, the headline's first."""
    points = [{"recipe": name, **row} for name, unit in found.items() for row in unit["rows"]]
    means = []
    for name, unit in found.items():
        for size in sorted({row["batch_size"] for row in unit["rows"]}):
            rows = [row for row in unit["rows"] if row["batch_size"] == size]
            measured = {column: Measured.mean([row[column] for row in rows]) for column in ("loss", "norm", *columns)}
            means.append(row_of({"recipe": name, "batch_size": size}, **measured))
    ratios = [_ratio_row(name, unit["rows"], columns) for name, unit in found.items()]
    along = [{"recipe": name, **row} for name, unit in found.items() for row in unit["line"]]
    tables = {"ratios": ratios, "means": means, "points": points, "line": along}
    return Results(
        _claims(found, recipes, target), {}, {"tables": tables, "plots": [plot.as_dict() for plot in _plots(target)]}
    )


def _ratio_row(name: str, rows: Rows, columns: Sequence[str]) -> dict[str, Any]:
    """Ratios large over small, that of the losses with them: flatness at unequal loss compares nothing."""
    measured = {column: ratio_of(rows, column)[0] for column in ("loss", *columns) if column != "test_error"}
    least = min(ratio_of(rows, "sharpness")[1])
    return row_of({"recipe": name, "least_sharpness": least}, **measured)


def _claims(found: Mapping[str, Any], recipes: list[str], target: float) -> list[Claim]:
    headline = recipes[0]
    if headline not in found:
        nothing = Measured.nothing(f"{headline} is not finished")
        return [Claim("sharpness", f"nothing is known of {headline}", nothing, f"≥ {BAR:g}", None)]
    rows = found[headline]["rows"]
    claims = [
        _flatter("sharpness", "sharpness (metric 2.1)", rows, target),
        _flatter("top_eigenvalue", "h_max", rows, target),
        _generalises(rows),
    ]
    return claims + [_beside(name, found[name]["rows"], target) for name in recipes[1:] if name in found]


def _flatter(column: str, words: str, rows: Rows, target: float) -> Claim:
    ratio, each = ratio_of(rows, column)
    sizes = sorted({row["batch_size"] for row in rows})
    expected = f"geometric mean ≥ {BAR:g}, every seed > {EVERY:g}, at equal loss"
    if ratio.value is None or not _equal(rows, target):
        why = ratio.why or "the losses are not equal; see the table"
        return Claim(column, f"{words}: nothing can be said, {why}", Measured.nothing(why), expected, None)
    holds = ratio.value >= BAR and min(each) > EVERY
    told = f"at equal loss {target:g} {words} of b = {sizes[1]} is {ratio} times that of b = {sizes[0]}"
    return Claim(column, f"{told}, at the least {min(each):.2f} times ({len(each)} seeds)", ratio, expected, holds)


def _equal(rows: Rows, target: float) -> bool:
    """Whether all have come down to the target and none went far below it."""
    return all((1 - EQUAL) * target <= row["loss"] <= target for row in rows)


def _generalises(rows: Rows) -> Claim:
    small, large = pairs(rows, "test_error")
    fewer = Measured.mean([100 * (b - a) for a, b in zip(small, large, strict=True)], "%")
    low, high = (Measured.mean([100 * x for x in errors], "%") for errors in (small, large))
    told = f"test error {low} with small batches, {high} with large: {fewer} more"
    return Claim(
        "test_error", told, fewer, "the flatter minima generalise better: above 0 by two errors", higher(fewer, Measured(0.0))
    )


def _beside(name: str, rows: Rows, target: float) -> Claim:
    """A row that is shown whatever it says."""
    ratio, _ = ratio_of(rows, "sharpness")
    low, high = (sum(losses) / len(losses) for losses in pairs(rows, "loss"))
    at = f"at equal loss {target:g}" if _equal(rows, target) else f"at unequal loss, {low:.2g} small and {high:.2g} large"
    return Claim(name, f"{name}: sharpness large over small {ratio} {at}", ratio, "shown beside it, whatever it says", None)


def _plots(target: float) -> list[Plot]:
    names = {"batch_size": "batch size b", "sharpness": "sharpness (%)", "top_eigenvalue": "h_max", "loss": "training loss"}
    flatness = Plot(
        "flatness",
        "Small batches end in flatter minima, by SGD",
        f"Sharpness (metric 2.1 of Keskar et al. 2017) and largest curvature of the minima, means over seeds. All are at loss "
        f"{target:g} but those of a fixed number of epochs, whose large batches are far from it. That Adam and tanh show less, "
        "and that the same functions in other coordinates (reparametrised) reverse the order, says how far this carries.",
        "means",
        "batch_size",
        ("sharpness", "top_eigenvalue"),
        "recipe",
        "xy",
        labels=names,
    )
    between = Plot(
        "line",
        "The loss on the line through a small and a large batch's minimum",
        "t = 0 is the small batch's minimum, t = 1 the large one's; means over seeds. A wider valley at 0 is the picture that "
        "speaks for flat minima; it depends on how long the weights are, so weight decay alone can change it (Li et al. 2018, "
        "1712.09913), and it is one direction of thousands.",
        "line",
        "t",
        ("loss",),
        "recipe",
        "y",
        labels=names,
    )
    return [flatness, between]
