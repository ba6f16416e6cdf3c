"""What critical points say of index and loss, and what searches for them are worth."""

from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from sgdtheory.critical import STATIONARY, Critical
from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.parts.shares import share

ITERATIONS = 40  # within which a search from nearby must be back (the project's table)
BACK = 1e-3  # of the way that it was shaken: nearer than this it has returned
RISES = 0.9  # rank correlation of index and loss above which the one rises with the other

Row = dict[str, Any]


def kept(landscape: Any, trained: int) -> Tensor:
    """1 for the weights of the first `trained` hidden units and for the biases of the outputs, 0 for the others, [n]."""
    into, bias, out, last = (torch.ones(shape, dtype=torch.float64) for shape in landscape.shapes.values())
    into[trained:], bias[trained:], out[:, trained:] = 0, 0, 0
    return torch.cat([x.flatten() for x in (into, bias, out, last)]).to(landscape.device)


def _data_loss(landscape: Any, point: Critical) -> float:
    """Without L2, nats."""
    return point.loss - 0.5 * float(landscape.weight_decay) * float(point.theta.square().sum())


def saddle_row(landscape: Any, hidden: int, trained: int, at: Critical, back: Critical, shaken: float) -> Row:
    """A point whose index is known: (classes − 1) for each unit left out."""
    distance = float((back.theta - at.theta).norm())
    return {
        "weight_decay": landscape.weight_decay,
        "trained": trained,
        "loss": _data_loss(landscape, at),
        "index": at.index,
        "known_index": (landscape.data.classes - 1) * (hidden - trained),
        "gradient_norm": at.gradient_norm,
        "margin": at.margin,
        "back_iterations": back.iterations,
        "back_distance": distance / shaken,
        "returned": back.kind == "critical" and distance <= BACK * shaken,
    }


def search_row(landscape: Any, step: int, begin: Critical, end: Critical) -> Row:
    """A search from a snapshot of SGD: what stood at its beginning, what at its end."""
    row: Row = {"weight_decay": landscape.weight_decay, "step": step, "iterations": end.iterations}
    for name, point in (("start", begin), ("end", end)):
        row |= {
            f"{name}_loss": _data_loss(landscape, point),
            f"{name}_index": point.index,
            f"{name}_gradient_norm": point.gradient_norm,
            f"{name}_gradient_curvature": point.gradient_curvature,
            f"{name}_top_curvature": point.top,
            f"{name}_kind": point.kind,
        }
    return row


def point_rows(saddles: list[Row], searches: list[Row]) -> list[Row]:
    """All points together, for a picture of index against loss."""
    found = [{"what": f"exact, λ = {row['weight_decay']:g}", "loss": row["loss"], "index": row["index"]} for row in saddles]
    for name, what in (("start", "snapshot of SGD"), ("end", "end of its search")):
        found += [{"what": what, "loss": row[f"{name}_loss"], "index": row[f"{name}_index"]} for row in searches]
    return found


def claims(saddles: list[Row], searches: list[Row]) -> list[Claim]:
    """That indices are the known ones and rise with the loss, that searches come back, and where others end."""
    return [*(_exact(saddles) if saddles else []), *(_rising(saddles)), *([_searches(searches)] if searches else [])]


def _exact(saddles: list[Row]) -> list[Claim]:
    count = len(saddles)
    right = sum(row["index"] == row["known_index"] for row in saddles)
    steepest = max(row["gradient_norm"] for row in saddles)
    back = sum(row["returned"] for row in saddles)
    longest = max(row["back_iterations"] for row in saddles)
    losses = [row["loss"] for row in saddles]
    between = f"loss {max(losses):.2f} to {min(losses):.2f}"
    words = f"{right} of {count} points with units left out have index (classes − 1) × units left out, {between}"
    found = f"{back} of {count} searches from nearby come back, in at most {longest} iterations"
    return [
        Claim("index", words, Measured(right / count), "1: exact", right == count),
        Claim(
            "stationary",
            f"|∇L| ≤ {steepest:.1e} at all of them",
            Measured(steepest),
            f"< {STATIONARY:g}",
            steepest < STATIONARY,
        ),
        Claim("returns", found, Measured(float(longest)), f"all, in ≤ {ITERATIONS}", back == count and longest <= ITERATIONS),
    ]


def _rising(saddles: list[Row]) -> list[Claim]:
    """The lowest rank correlation among the weight decays, each of which has its own losses."""
    ranks = []
    for decay in dict.fromkeys(row["weight_decay"] for row in saddles):
        own = [row for row in saddles if row["weight_decay"] == decay]
        if len(own) > 2:
            ranks.append(float(spearmanr([row["loss"] for row in own], [row["index"] for row in own]).statistic))
    if not ranks:
        return []
    words = f"their index rises with the loss: rank correlation {min(ranks):.2f} or more at each λ"
    return [Claim("index_against_loss", words, Measured(min(ranks)), f"> {RISES:g}", min(ranks) > RISES)]


def _searches(searches: list[Row]) -> Claim:
    """Searches as the paper's: where they end, and whether one can tell."""
    kinds = [row["end_kind"] for row in searches]
    flat, critical = kinds.count("gradient-flat"), kinds.count("critical")
    norms = [row["end_gradient_norm"] for row in searches if row["end_kind"] != "critical"]
    between = f" (|∇L| {min(norms):.1g} to {max(norms):.1g})" if norms else ""
    words = (
        f"of {len(searches)} searches from snapshots of SGD {critical} end at a critical point, {flat} where the loss is only "
        f"flat along its gradient{between}, and {len(kinds) - flat - critical} are told to be neither"
    )
    told = flat + critical == len(kinds)
    return Claim("searches", words, share(critical, len(kinds)), "each end is critical or told to be gradient-flat", told)


def plots() -> list[Plot]:
    labels = {
        "loss": "data loss / nats",
        "index": "index",
        "end_gradient_norm": "|∇L| at the end of the search",
        "end_gradient_curvature": "|H∇L| / |∇L| there",
        "end_loss": "data loss there / nats",
    }
    index = (
        "Number of directions down against the data loss: at points that are exactly critical, at snapshots of SGD, and where "
        "searches for critical points from those snapshots end. "
        "All three rise alike, so the rise alone is no evidence that a point is critical. One hidden layer, few units."
    )
    flat = (
        "Gradient, and curvature along it, where searches from snapshots of SGD end. At a critical point the gradient is "
        "below 1e-8; where it is not and the curvature along it is near 0, the search is at a minimum of |∇L|, and stuck."
    )
    return [
        Plot("index_against_loss", "The index rises with the loss, at critical points and elsewhere", index, "points", "loss",
             ("index",), by="what", labels=labels, joined=False),
        Plot("searches", "Where searches from points of SGD end", flat, "searches", "end_loss",
             ("end_gradient_norm", "end_gradient_curvature"), by="end_kind", log="y", labels=labels, joined=False),
    ]  # fmt: skip
