"""What the directions of descent along runs of SGD say: do they point at the end?"""

from typing import Any

import numpy as np
from torch import Tensor

from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.parts.shares import at_most, share
from sgdtheory.studies.study import row_of

FEW, MANY = 0.01, 0.05  # shares not positive: of a run that trains, and of one that does not (the project's table)
TRAINED = 0.1  # nats: a mean training loss below which training has converged; uniform guessing among ten has 2.3
SCALARS = ("loss", "product", "cosine", "smoothed", "other")
COUNTED = {"snapshots": "product", "ball": "ball", "smoothed": "smoothed", "other": "other"}

Row = dict[str, Any]


def snapshot_row(seed: int, step: int, found: dict[str, Tensor], k: int) -> Row:
    """One snapshot: its numbers, and how many of each kind are not positive (not a number is not)."""
    row: Row = {"seed": seed, "step": step, **{name: float(found[name][k]) for name in SCALARS}}
    row["smoothed_loss"] = float(found["smoothed_loss"][k].mean())
    for name, source in COUNTED.items():
        products = found[source][k].flatten()
        row[f"{name}_not"], row[f"{name}_of"] = int((~(products > 0)).sum()), products.numel()
    return row


def mean_rows(name: str, rows: list[Row]) -> list[Row]:
    """One row a step: means over the runs with their standard errors."""
    found = []
    for step in dict.fromkeys(row["step"] for row in rows):
        own = [row for row in rows if row["step"] == step]
        columns = {what: Measured.mean([row[what] for row in own]) for what in ("loss", "smoothed_loss", "cosine")}
        lowest = min(row["cosine"] for row in own)
        found.append(row_of({"run": name, "step": step, "lowest_cosine": lowest}, **columns))
    return found


def run_rows(results: dict[str, Any], seeds: int) -> list[Row]:
    """One row a kind of run: the shares that are not positive, and how far training got."""
    found = []
    for name, result in results.items():
        rows = result["rows"]
        last = max((row["step"] for row in rows if row["snapshots_not"]), default=None)
        columns = {}
        for what in COUNTED:
            count, total = (sum(row[f"{what}_{part}"] for row in rows) for part in ("not", "of"))
            columns[f"{what}_not_positive"] = share(count, total)
        if seeds < 2:
            columns["other_not_positive"] = Measured.nothing("one run has no other")
        losses = result["end_losses"]
        facts = {"run": name, "seeds": seeds, "snapshots": sum(row["snapshots_of"] for row in rows), "last_not_positive": last}
        facts |= {"ball_points": sum(row["ball_of"] for row in rows), "worst_end_loss": float(np.max(losses))}
        found.append(row_of(facts, end_loss=Measured.mean(losses, "nats"), **columns))
    return found


def claims(runs: list[Row]) -> list[Claim]:
    """That the gradient points at the end of a run that trains, and at no other, and not where nothing is learned."""
    by_name = {row["run"]: row for row in runs}
    trained, untrained = by_name.get("trained"), by_name.get("untrained")
    others = [row for name, row in by_name.items() if name not in ("trained", "untrained")]
    return [
        *([] if trained is None else _of_trained(trained)),
        *([] if untrained is None else [_of_untrained(untrained)]),
        *(_told(row) for row in others),
    ]


def _of_trained(row: Row) -> list[Claim]:
    converged = row["worst_end_loss"] <= TRAINED
    what = {
        "snapshots": ("snapshots", f"the gradient points at the end of the run: {_counted(row, 'snapshots')} are not positive"),
        "ball": ("ball", f"so it does in a ball round each: {_counted(row, 'ball')} are not positive"),
        "smoothed": ("smoothed", f"and the smoothed loss's: {_counted(row, 'smoothed')} are not positive"),
    }
    found = [_few(row, name, kind, words, converged) for name, (kind, words) in what.items()]
    other = Measured(row["other_not_positive"], row.get("other_not_positive_stderr"))
    words = f"it does not point at another run's end: {_percent(other)} are not positive there"
    holds = None if other.value is None else other.value > MANY
    return [*found, Claim("other_end", words, other, f"> {100 * MANY:g} %: it is no property of directions at large", holds)]


def _few(row: Row, name: str, kind: str, words: str, converged: bool) -> Claim:
    measured = Measured(row[f"{kind}_not_positive"], row[f"{kind}_not_positive_stderr"])
    if not converged:
        words += f"; but training did not converge, its loss is {row['worst_end_loss']:.2g}"
    assert measured.value is not None
    return Claim(
        name, words, measured, f"≤ {100 * FEW:g} % where training converged", measured.value <= FEW if converged else None
    )


def _of_untrained(row: Row) -> Claim:
    measured = Measured(row["snapshots_not_positive"], row["snapshots_not_positive_stderr"])
    trains = row["end_loss"] <= TRAINED
    words = f"where nothing is learned (loss {row['end_loss']:.2g} at the end) {_percent(measured)} are not positive"
    assert measured.value is not None
    return Claim("untrained", words, measured, f"> {100 * MANY:g} %", None if trains else measured.value > MANY)


def _told(row: Row) -> Claim:
    measured = Measured(row["snapshots_not_positive"], row["snapshots_not_positive_stderr"])
    when = "" if row["last_not_positive"] is None else f", the last at step {row['last_not_positive']:,}"
    words = f"{row['run']}: {_percent(measured)} are not positive{when}; loss {row['end_loss']:.2g} at the end"
    return Claim(row["run"], words, measured, "no fixed value", None)


def plots() -> list[Plot]:
    labels = {
        "step": "step of SGD",
        "cosine": "cosine of −∇L and the way to the end, mean",
        "lowest_cosine": "the lowest of the runs",
        "loss": "loss / nats",
        "smoothed_loss": "smoothed loss / nats",
    }
    directions = (
        "Cosine of the angle between the descent direction and the way to where the run is going to end, at snapshots of SGD; "
        "bars are standard errors over runs. Above the line a small step down the gradient comes nearer to the end. "
        "It is seen afterwards, with the end known; why a run ends there it does not say."
    )
    losses = (
        "Loss at snapshots of SGD, and its mean over the next step's noise, E L(θ − ηω), the loss that SGD descends in the "
        "picture of Kleinberg et al.; both of the whole training set. "
        "Where the second is not much above the first, the noise of one step smooths little away."
    )
    return [
        Plot("directions", "The gradient points at the end of a run that trains", directions, "snapshots", "step",
             ("cosine", "lowest_cosine"), by="run", level=0.0, labels=labels),
        Plot("smoothed_losses", "What one step's noise adds to the loss", losses, "snapshots", "step",
             ("loss", "smoothed_loss"), by="run", log="y", labels=labels),
    ]  # fmt: skip


def _counted(row: Row, kind: str) -> str:
    total = row["ball_points"] if kind == "ball" else row["snapshots"]
    count = round(row[f"{kind}_not_positive"] * total)
    return f"{count:,} of {total:,} (with 95 % confidence at most {100 * at_most(count, total):.2g} %, were they independent)"


def _percent(measured: Measured) -> str:
    return "–" if measured.value is None else f"{100 * measured.value:.3g} ± {100 * (measured.stderr or 0):.1g} %"
