"""Descents that are watched beside their edge of stability, and where optimisers begin to grow on a
parabola."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log
from typing import Literal

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.geometry.step_curvature import batch_sharpness, critical_sharpness
from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.sam import SAM
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.rng import key, stream
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows

STEPS = 800  # on a parabola: in half of them 0.9ᵏ has died out
TINY = 1e-140  # far below ε = 1 until the end: Adam's preconditioner stands still
WIDE = 0.03  # of the stated edge, to either side: where the true one is sought
SEEN = ("objective", "curvature", "edge", "batches", "batches_error", "critical")


@dataclass(frozen=True)
class Descent:
    """A descent on one of a study's landscapes, and what is said to hover at its edge: the largest
    `curvature`, that of the `batches` along their own gradients, or nothing (`below`)."""

    landscape: str
    sgd: SGD
    expects: Literal["curvature", "batches", "below"] = "curvature"

    @property
    def kind(self) -> str:
        """Descents of one kind are judged together."""
        if self.expects != "curvature":
            return self.expects
        return type(self.sgd).__name__


def watched(
    folder: UnitFolder,
    descent: Descent,
    landscape: Landscape,
    start: Cloud,
    looks: int,
    draws: int,
    seed: int,
) -> Rows:
    """One row at each of `looks` equally spaced steps of a descent from one point [1, n]:
    curvatures in units of the edge there."""
    spacing = max(1, descent.sgd.length // looks)

    def observe(state: SGDState, seen: Seen) -> None:
        look, rest = divmod(state.step, spacing)
        if not rest and look <= looks:
            source = stream(seed, "batches", look)
            seen["looks"][look - 1] = _look(descent.sgd, landscape, state, draws, source)

    looked = torch.full((looks, len(SEEN)), torch.nan, dtype=torch.float64)
    _, seen = watch(
        folder,
        descent.sgd,
        landscape,
        start,
        key(seed, "descent"),
        {"looks": looked},
        observe,
    )
    return [
        look_row((look + 1) * spacing, numbers) for look, numbers in enumerate(seen["looks"].cpu())
    ]


def _look(
    sgd: SGD,
    landscape: Landscape,
    state: SGDState,
    draws: int,
    source: torch.Generator,
) -> Tensor:
    """What `SEEN` names, at one state."""
    theta = state.cloud[0]
    losses, gradients = value_and_grad(landscape, state.cloud)
    if isinstance(sgd, Adam):
        edge = sgd.preconditioned_edge(sgd.rate)
        preconditioner = sgd.preconditioner(state.velocity, state.step)
        landscape = Rescaled(landscape, preconditioner[0].sqrt())
        theta = landscape.stretched(theta)
    else:
        edge = sgd.edge(sgd.rate, float(gradients[0].norm()))
    eigenvalues, _ = top_eigenpairs(landscape, theta, 1)
    batches = Measured.nothing("there are no mini-batches")
    if sgd.batch_size is not None:
        batches = batch_sharpness(landscape, theta, sgd.batch_size, draws, source)
    _, downhill = value_and_grad(landscape, theta[None])
    critical = critical_sharpness(landscape, theta, downhill[0])
    found = (
        float(losses[0]),
        float(eigenvalues[0]),
        edge.value,
        batches.value,
        batches.stderr,
        critical.value,
    )
    numbers = [torch.nan if number is None else number for number in found]
    return torch.tensor(numbers, dtype=torch.float64)


def look_row(step: int, numbers: Tensor) -> Row:
    """The numbers [len(SEEN)] of a look as a row, curvatures in units of the edge."""
    found = dict(zip(SEEN, numbers.tolist(), strict=True))
    edge = found["edge"]
    facts = {
        "step": step,
        "objective": found["objective"],
        "edge": edge,
        "curvature": found["curvature"] / edge,
    }
    batches = Measured.nothing("there are no mini-batches")
    if found["batches"] == found["batches"]:
        batches = Measured(found["batches"] / edge, found["batches_error"] / edge)
    critical = Measured.nothing("no step along the gradient raises the loss")
    if found["critical"] == found["critical"]:
        critical = Measured(found["critical"] / edge)
    return row_of(facts, batches=batches, critical=critical)


def threshold_row(sgd: SGD, parabola: Callable[..., Landscape]) -> Row:
    """The edge that an optimiser states, and the curvature of ½hθ² above which it grows, found by
    running it.

    `parabola`: of curvatures (h,), ½hθ². Of SAM the curvature at which a step from a gradient of 1
    turns θ into −θ, and its velocity too. RunError where it does not begin to grow anywhere near.
    """
    from scipy.optimize import brentq  # here, because importing it takes its time

    sgd = replace(sgd, batch_size=None, steps=STEPS)
    if isinstance(sgd, SAM):
        sgd = replace(sgd, steps=1)
    stated = sgd.edge(sgd.rate, 1.0)
    if isinstance(sgd, Adam):
        sgd = replace(sgd, epsilon=1.0)
        stated = sgd.preconditioned_edge(sgd.rate)
    assert stated.value is not None

    def grows(h: float) -> float:
        return growth(sgd, parabola(curvatures=(h,)), h)

    low, high = ((1 + side * WIDE) * stated.value for side in (-1, 1))
    if not grows(low) < 0 < grows(high):
        raise RunError(
            f"{type(sgd).__name__} does not begin to grow within {100 * WIDE:g} % of the edge of "
            f"stability that it states, {stated.value:.6g} (`{type(sgd).__name__}.edge`)"
        )
    found = float(brentq(grows, low, high, xtol=1e-15 * low, rtol=1e-15))
    return {
        "optimiser": type(sgd).__name__,
        "learning_rate": sgd.rate,
        "momentum": sgd.momentum,
        "stated": stated.value,
        "measured": found,
        "apart": abs(found / stated.value - 1),
    }


def growth(sgd: SGD, parabola: Landscape, h: float) -> float:
    """log |θ| after all steps on a parabola ½hθ² less log |θ| after half of them."""
    start, velocity = 1.0, 0.0
    if isinstance(sgd, Adam):
        start = TINY
    elif isinstance(sgd, SAM):
        # where θ turns into −θ at every step the velocity does too: v = μv + g = −v before
        start = 1 / h
        velocity = -(1 + h * sgd.rho) / (1 + sgd.momentum)
    half = log(start)
    theta = torch.full((1, 1), start, dtype=torch.float64)
    begins = SGDState(0, theta, sgd.init_state(theta) + velocity)
    for state in sgd.run(parabola, begins, 0):
        last = log(abs(float(state.cloud)))
        if 2 * state.step == sgd.length:
            half = last
    return last - half
