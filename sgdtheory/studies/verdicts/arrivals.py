"""How many replicas reach the centre of a spiky bowl, by method and width, and what that says."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.parts.shares import share
from sgdtheory.studies.study import row_of

STOCHASTIC, SMOOTHED, DESCENT = "SGD", "descent on the smoothed function", "gradient descent"
GONE, HERE = 0.01, 0.99  # shares that count as nobody and as everybody (the project's table)
LOW, HIGH = 0.25, 0.75  # of s*, between which SGD turns over
EDGE = 0.02  # of s*, within which the smoothed function turns over

Row = dict[str, Any]


def arrival_row(method: str, scale: float, steps: Tensor, distance: Tensor, near: float) -> Row:
    """Counts of one group: `steps` at which each replica arrived [P], infinite for never, and `distance` at the end [P];
    those closer than `near`, where the nearest one began, have stayed."""
    arrived = steps.isfinite()
    return {
        "method": method,
        "scale": scale,
        "replicas": len(steps),
        "arrived": int(arrived.sum()),
        "stayed": int((arrived & (distance < near)).sum()),
        "steps": float(steps[arrived].mean()) if arrived.any() else None,
        "distance": float(distance.square().mean().sqrt()),
        "lost": int((~torch.isfinite(distance)).sum()),
    }


def scale_rows(rows: list[Row]) -> list[Row]:
    """One row a method and width: all groups together."""
    found = []
    for method, scale in dict.fromkeys((row["method"], row["scale"]) for row in rows):
        own = [row for row in rows if (row["method"], row["scale"]) == (method, scale)]
        count, total, stayed = (sum(row[name] for row in own) for name in ("arrived", "replicas", "stayed"))
        steps = Measured.mean([row["steps"] for row in own if row["steps"] is not None])
        if count == 0:
            steps = Measured.nothing("none arrived")
        facts = {"method": method, "scale": scale, "replicas": total, "lost": sum(row["lost"] for row in own)}
        distance = Measured.mean([row["distance"] for row in own])
        columns = {"arrived": share(count, total), "stayed": share(stayed, count), "steps": steps, "distance_at_end": distance}
        found.append(row_of(facts, **columns))
    return found


def claims(scales: list[Row]) -> list[Claim]:
    """That SGD gets through and gradient descent does not; where each turns over, which is not at the same width."""
    high, low, still = _at(scales, STOCHASTIC, HIGH), _at(scales, STOCHASTIC, LOW), _at(scales, DESCENT, 0.0)
    below, above = _at(scales, SMOOTHED, 1 - EDGE), _at(scales, SMOOTHED, 1 + EDGE)
    return [
        Claim("sgd", f"SGD with noise of {HIGH:g} s* in a step reaches the centre: {_told(high)}", high, "≥ 99 %", _most(high)),
        Claim("sgd_of_little_noise", f"with {LOW:g} s* it is stuck: {_told(low)} arrive", low, "≤ 1 %", _few(low)),
        Claim("gradient_descent", f"gradient descent is stuck: {_told(still)} arrive", still, "≤ 1 %", _few(still)),
        _edge(below, above),
        _turning(scales),
    ]


def _edge(below: Measured, above: Measured) -> Claim:
    words = (
        f"descent on the smoothed function turns over at s*: {_told(below)} arrive at {1 - EDGE:g} s*, "
        f"{_told(above)} at {1 + EDGE:g} s*"
    )
    holds = None if below.value is None or above.value is None else below.value == 0 and above.value == 1
    return Claim("threshold", words, above, f"none at {1 - EDGE:g} s*, all at {1 + EDGE:g} s*", holds)


def _turning(scales: list[Row]) -> Claim:
    """SGD is more than descent on the smoothed function: its noise also carries it over what is left of the spikes."""
    half = half_way(scales)
    words = (
        f"SGD does no more than descend the smoothed function: half of its replicas arrive at {half} s*, where spikes are left"
    )
    holds = None if half.value is None else abs(half.value - 1) <= EDGE
    return Claim("where_sgd_turns_over", words, half, "1 s*, where they are gone", holds)


def half_way(scales: list[Row]) -> Measured:
    """The width over s* at which half of SGD's replicas arrive, by linear interpolation, with the error of the shares."""
    rows = sorted((row for row in scales if row["method"] == STOCHASTIC), key=lambda row: row["scale"])
    for first, second in pairwise(rows):
        if first["arrived"] < 0.5 <= second["arrived"]:
            slope = (second["arrived"] - first["arrived"]) / (second["scale"] - first["scale"])
            error = max(first["arrived_stderr"], second["arrived_stderr"]) / slope
            return Measured(first["scale"] + (0.5 - first["arrived"]) / slope, error)
    return Measured.nothing("the share of SGD's replicas does not pass one half")


def plots() -> list[Plot]:
    labels = {"scale": "width s / s*", "arrived": "share that reaches the centre", "method": "method"}
    caption = (
        "Share of replicas that come within the radius of the centre, by the standard deviation s of the noise in a step. "
        "s* is where the function smoothed by a Gaussian of width s has no other minimum left. "
        "Descent on the smoothed function turns over there and nowhere else; SGD does so earlier, since its noise also "
        "carries it over what is left of the spikes. Bars are Wilson's. One dimension and Gaussian noise: no network is shown."
    )
    return [Plot("arrivals", "SGD gets past spikes long before they are smoothed away", caption, "scales", "scale",
                 ("arrived",), by="method", labels=labels)]  # fmt: skip


def _at(scales: list[Row], method: str, scale: float) -> Measured:
    for row in scales:
        if row["method"] == method and abs(row["scale"] - scale) < 1e-9:
            return Measured(row["arrived"], row["arrived_stderr"])
    return Measured.nothing(f"{method} was not run at {scale:g} s*")


def _told(measured: Measured) -> str:
    return "–" if measured.value is None else f"{100 * measured.value:.4g} %"


def _few(measured: Measured) -> bool | None:
    return None if measured.value is None else measured.value <= GONE


def _most(measured: Measured) -> bool | None:
    return None if measured.value is None else measured.value >= HERE
