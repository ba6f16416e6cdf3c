"""What the middle of a path has more of than its ends."""

from typing import Any

from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.study import higher, ratio, row_of

RISE = 1.3  # of Tr C, on every pair (the project's table)
PAIRS = 3  # that it must be seen on
MIDDLE = (1 / 3, 2 / 3)  # arc positions


def pair_row(facts: dict[str, Any], points: list[dict[str, Any]]) -> dict[str, Any]:
    """One row a path: the mean over its middle third over the mean of its ends, for each column."""
    middle = [row for row in points if MIDDLE[0] <= row["t"] <= MIDDLE[1]]
    ends = [points[0], points[-1]]
    columns = {"noise": "noise_trace", "curvature": "trace", "loss": "data_loss", "objective": "objective"}
    found = {f"{name}_ratio": ratio(_mean(middle, x), _mean(ends, x), f"no {x} at the ends") for name, x in columns.items()}
    loss = found["loss_ratio"]
    squared = (
        Measured.nothing(loss.why) if loss.value is None else Measured(loss.value**2, 2 * loss.value * (loss.stderr or 0.0))
    )
    found["beyond_loss_ratio"] = ratio(found["noise_ratio"], squared, "no data loss")
    return row_of(facts, **found)


def _mean(rows: list[dict[str, Any]], name: str) -> Measured:
    """Mean of the column over these points, its error from those of the points alone: they are not a sample of anything."""
    if any(row[name] is None for row in rows):
        return Measured.nothing(f"{name} is not known everywhere")
    errors = [row.get(f"{name}_stderr") for row in rows]
    spread = sum((error or 0.0) ** 2 for error in errors) ** 0.5 / len(rows)
    return Measured(sum(row[name] for row in rows) / len(rows), spread if any(errors) else None)


def claims(pairs: list[dict[str, Any]], asked: int) -> list[Claim]:
    """That Tr C rises in the middle, and Tr H; what the data loss does, and how much of the noise is not its doing."""
    if not pairs:
        return [Claim("noise", "no path was found", Measured.nothing("no path was found"), f"> {RISE:g}", None)]
    noise, curvature, loss, beyond = (
        Measured.mean([row[f"{name}_ratio"] for row in pairs if row[f"{name}_ratio"] is not None])
        for name in ("noise", "curvature", "loss", "beyond_loss")
    )
    above = sum((row["noise_ratio"] or 0.0) > RISE for row in pairs)
    held = above == len(pairs) if len(pairs) >= PAIRS else None
    told = f"Tr C is {noise} times as high in the middle third of a path as at its ends (above {RISE:g} on {above} of {asked}"
    one = Measured(1.0)
    return [
        Claim(
            "noise", f"{told} pairs), the data loss {loss} times", noise, f"> {RISE:g} on each of {PAIRS} pairs or more", held
        ),
        Claim("curvature", f"Tr H is {curvature} times as high there", curvature, "above 1", higher(curvature, one)),
        Claim(
            "loss",
            f"the path is not exactly flat: its data loss is {loss} times as high in the middle",
            loss,
            "rises less than Tr C",
            higher(noise, loss),
        ),
        Claim(
            "beyond_loss",
            f"Tr C over the square of the data loss, as which it would go were every example's loss to rise alike, is {beyond} "
            "times as high in the middle",
            beyond,
            "above 1: the rise is not the loss's alone",
            higher(beyond, one),
        ),
    ]


def plots() -> list[Plot]:
    labels = {
        "t": "arc position on the path", "noise_trace": "Tr C", "trace": "Tr H", "data_loss": "training loss (nats)",
        "objective": "objective, with L2",
    }  # fmt: skip
    caption = (
        "Noise of one sample's gradient, trace of the Hessian, mean training loss without L2 and the objective with it, along "
        "paths by AutoNEB between minima; minima stand at 0 and 1. Bars: one standard error of the trace's estimate; Tr C and "
        "losses are exact sums over the training examples. Noise and curvature rise by more than the loss. The path is not "
        "exactly flat, though, and both vanish with the loss, so the pictures do not show what a flat path would do."
    )
    title = "Between two minima noise and curvature rise more than the loss"
    return [Plot("along_paths", title, caption, "points", "t", tuple(list(labels)[1:]), by="path", labels=labels)]
