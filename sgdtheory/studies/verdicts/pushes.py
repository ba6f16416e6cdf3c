"""What comes of pushing one parameter and letting all others adapt: the numbers of one push, rows, claims."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdtheory.descend import lbfgs
from sgdtheory.landscape import value_and_grad, values
from sgdtheory.measured import Claim, Measured, Plot, Results
from sgdtheory.studies.parts.held import Held
from sgdtheory.studies.study import row_of

MADE_UP, PRICE, TOO_FEW, SECOND_ORDER = 0.97, 2.0, 10.0, 0.2  # the bars: see `claims`

Rows = list[dict[str, Any]]


def push(landscape: Any, theta: Tensor, index: int, delta: float, steps: int) -> dict[str, Any]:
    """Losses when coordinate `index` of a minimum θ [n] is pushed by δ, before and after all others have adapted.

    `rise`, `left`: of the objective; `data_rise`, `data_left`: without ½λ|θ|². `gradient_norm` of the others at the end.
    """
    held = Held(landscape, index, float(theta[index]) + delta)
    pushed = held.place(theta[None])
    adapted = held.place(lbfgs(held, pushed, steps))
    objective = values(landscape, torch.cat([theta[None], pushed, adapted]))
    data = objective - 0.5 * getattr(landscape, "weight_decay", 0.0) * torch.cat([theta[None], pushed, adapted]).square().sum(1)
    (rise, left), (data_rise, data_left) = ((x[1:] - x[0]).tolist() for x in (objective, data))
    gradient = float(value_and_grad(held, adapted)[1].norm())
    facts = {"parameter": index, "delta": delta, "rise": rise, "left": left, "data_rise": data_rise, "data_left": data_left}
    return {**facts, "gradient_norm": gradient, "moved": float((adapted - pushed).norm())}


def second_order(whole: Tensor, indices: list[int]) -> list[float]:
    """1/(H_ii (H⁻¹)_ii) of H [n, n]: the share of a small push's rise that adapting leaves, all others eliminated (Schur)."""
    identity = torch.eye(len(whole), dtype=whole.dtype, device=whole.device)
    inverse = torch.linalg.solve(whole, identity[:, indices])  # [n, I]
    return [float(1 / (whole[i, i] * inverse[i, k])) for k, i in enumerate(indices)]


def describe(row: dict[str, Any], weight_decay: float) -> dict[str, Any]:
    """Beside the losses what they say: the share of the data loss made up, and what is left in units of ½λδ²."""
    return {
        **row,
        "made_up": 1 - row["data_left"] / row["data_rise"],
        "left_over_price": row["left"] / (0.5 * weight_decay * row["delta"] ** 2),
        "share_left": row["left"] / row["rise"],
    }


def made_up(rows: Rows) -> Measured:
    """1 − Σ data_left / Σ data_rise over parameters, with its error over them: a quotient of means.

    A single quotient may be anything, for a push along −θ_i lowers the weight decay and may raise the data loss by nothing.
    """
    if not rows:
        return Measured.nothing("no parameter was pushed")
    rise, left = (np.array([row[name] for row in rows]) for name in ("data_rise", "data_left"))
    if not rise.sum() > 0:
        return Measured.nothing("the data loss did not rise")
    share = left.sum() / rise.sum()
    spread = Measured.mean((left - share * rise) / rise.mean())
    return Measured(float(1 - share), spread.stderr)


def results(rows: Rows, deltas: list[float], names: list[str]) -> Results:
    """`rows`: a row a push; `names`: the networks, the wide one first."""
    means = [_mean(rows, name, delta) for name in names for delta in deltas]
    tables = {"means": means, "pushes": rows}
    return Results(_claims(rows, deltas, names), {}, {"tables": tables, "plots": [plot.as_dict() for plot in _plots()]})


def _of(rows: Rows, name: str, delta: float) -> Rows:
    return [row for row in rows if (row["network"], abs(row["delta"])) == (name, delta)]


def _mean(rows: Rows, name: str, delta: float) -> dict[str, Any]:
    mine = _of(rows, name, delta)
    columns = {what: Measured.mean([row[what] for row in mine]) for what in ("left_over_price", "rise", "left")}
    highest = max((row["left_over_price"] for row in mine), default=None)
    return row_of({"network": name, "delta": delta, "pushes": len(mine), "highest": highest}, made_up=made_up(mine), **columns)


def _claims(rows: Rows, deltas: list[float], names: list[str]) -> list[Claim]:
    (wide, narrow), small, large = names, min(deltas), max(deltas)
    far, few = _of(rows, wide, large), _of(rows, narrow, large)
    share, price = made_up(far), Measured.mean([row["left_over_price"] for row in far])
    dear = Measured.mean([row["left_over_price"] for row in few])
    worst = max((abs(row["share_left"] / row["theory"] - 1) for row in rows if abs(row["delta"]) == small), default=None)
    off = Measured.nothing("no parameter was pushed") if worst is None else Measured(worst)
    least = "–" if not far else f"{min(row['made_up'] for row in far):.3f}"
    percent = share._replace(value=None if share.value is None else 100 * share.value, unit="%")
    percent = percent._replace(stderr=None if share.stderr is None else 100 * share.stderr)
    return [
        Claim(
            "made_up",
            f"{wide}: of the data loss's rise when one parameter is pushed by {large:g}, the others make up {percent} "
            f"(the least of {len(far)} parameters: {least})",
            share,
            f"≥ {MADE_UP:g}",
            None if share.value is None else share.value >= MADE_UP,
        ),
        Claim(
            "price",
            f"{wide}: what is left is {price} times the price ½λδ² of the pushed parameter",
            price,
            f"≤ {PRICE:g} at every one",
            None if not far else max(row["left_over_price"] for row in far) <= PRICE,
        ),
        Claim(
            "too_few",
            f"{narrow}: few others leave {dear} times the price and make up {_percent(made_up(few))} of the data loss's rise",
            dear,
            f"> {TOO_FEW:g}, by two standard errors",
            None if dear.value is None else dear.value - 2 * (dear.stderr or 0.0) > TOO_FEW,
        ),
        Claim(
            "second_order",
            f"at δ = {small:g} what is left is 1/(H_ii (H⁻¹)_ii) of the rise, to within {_percent(off)}",
            off,
            f"within {SECOND_ORDER:.0%} for every parameter of both networks",
            None if worst is None else worst <= SECOND_ORDER,
        ),
    ]


def _percent(share: Measured) -> str:
    return "–" if share.value is None else f"{share.value:.1%}"


def _plots() -> list[Plot]:
    labels = {
        "rise": "rise of the loss at once",
        "left": "what is left when all others have adapted",
        "predicted": "H_ii δ²/2 · 1/(H_ii (H⁻¹)_ii)",
        "price": "½λδ²",
        "theory": "1/(H_ii (H⁻¹)_ii)",
        "share_left": "share of the rise that is left",
    }
    paid = Plot(
        "compensation",
        "The others make up for a pushed parameter, if there are enough of them",
        "One parameter of a minimum is pushed by δ and held while all others are minimised again; a mark is one parameter. In "
        "the wide network what is left hardly depends on how much the loss rose at first: it is about the price ½λδ² that the "
        "pushed parameter pays itself. With few hidden units what is left rises with what was taken.",
        "pushes",
        "rise",
        ("left",),
        "series",
        "xy",
        labels=labels,
        joined=False,
    )
    theory = Plot(
        "second_order",
        "Second-order theory says what is left",
        "The share of the rise that is left, against 1/(H_ii (H⁻¹)_ii), which is what eliminating all other parameters from "
        "the quadratic form leaves. The line is equality. It is exact for small pushes; after large ones the others find more "
        "than the quadratic form knows.",
        "pushes",
        "theory",
        ("share_left",),
        "series",
        "xy",
        ("theory",),
        labels=labels,
    )
    return [paid, theory]
