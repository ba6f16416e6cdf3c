"""The row of a cell in results.json: all estimators, and whether their numbers can be trusted."""

from collections.abc import Mapping
from dataclasses import replace
from math import hypot

from sgdtheory.fokker_planck.law import time_step
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import count_of
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row
from sgdtheory.temperature.cell import WINDOW, Cell
from sgdtheory.temperature.doubts import (
    above_the_minimum,
    doubt_of_minimum,
    doubt_of_parabola,
    doubt_of_rest,
    doubt_of_slope,
    doubt_of_survivors,
    doubt_of_warmth,
)
from sgdtheory.temperature.estimators.estimator import Estimator
from sgdtheory.temperature.estimators.exact import excess_columns
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.estimators.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.quench import QuenchResult
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.reshuffling import exact_epoch_factor
from sgdtheory.temperature.rounding import doubt_of_losses, doubt_of_steps
from sgdtheory.temperature.stationarity import Stationarity, Verdict
from sgdtheory.temperature.trajectory import Trajectory

HARMONIC = 1.5  # ⟨Tr C⟩/Tr C(θ*), either way, up to which a cell counts as harmonic
STEEP = 0.5  # of the stable limit ηh_max = 2(1+μ): beyond, anharmonic terms are amplified
# relative change of T when a quench takes half its time, up to which it has found a bottom
SENSITIVE = 0.15


def describe_cell(
    cell: Cell,
    landscape: Landscape,
    reference: ReferenceMinimum,
    trajectory: Trajectory,
    estimators: Mapping[str, Estimator],
    quenched: QuenchResult | None = None,
) -> Row:
    """One row of results.json: every estimator, null with the reason where the cloud is not
    stationary.

    `quenched`: where a quench of the cell's own points has ended, for networks without a minimum.
    """
    verdict = Stationarity(WINDOW)(trajectory)
    alive = trajectory.finite()
    if quenched is not None:
        alive = replace(
            alive, loss_at_minimum=quenched.loss, noise_trace_at_minimum=quenched.noise_trace
        )
    sampled = alive.part(verdict.first or 0)
    verdict = _reconsidered(verdict, cell, landscape, reference, sampled)
    no_minimum = ""
    # where points were quenched θ* is no minimum, and says nothing of the ground below them
    if quenched is None:
        no_minimum = _why_no_minimum(cell, landscape, reference, trajectory)
    temperature = _temperatures(estimators, landscape, sampled, no_minimum or verdict.why)
    bottom = _excess_from_quench(temperature.get("excess_loss"), sampled, quenched)
    if bottom is not None:
        temperature["excess_loss"] = bottom
    trace = float(sampled.noise_trace.mean()) if sampled.losses.size else None
    steepest = reference.steepest if quenched is None else quenched.top_curvature
    stability = cell.sgd.rate * steepest / (2 * (1 + cell.momentum))
    anharmonic = no_minimum or _anharmonicity(trace, sampled.noise_trace_at_minimum, stability)
    if quenched is None and not anharmonic:
        anharmonic = doubt_of_parabola(sampled)
    reasons = (anharmonic, bottom.why if bottom is not None else "")
    why = no_minimum or verdict.why or "; ".join(reason for reason in reasons if reason)
    stationary = verdict.first is not None
    row: Row = {**_settings(cell), **_predictions(cell, landscape, reference)}
    row["temperature"] = {name: number.as_json() for name, number in temperature.items()}
    if stationary and quenched is None:
        row |= excess_columns(landscape, reference, sampled)
    ratio = FluctuationDissipation()(landscape, sampled)["fluctuation_dissipation"]
    row |= {
        "fluctuation_dissipation": ratio.as_json(),
        "stationary": stationary,
        "harmonic": stationary and not anharmonic,
        "why": why,
        "noise_trace": trace,
        "noise_trace_at_minimum": sampled.noise_trace_at_minimum,
        "stability": stability,
    }
    if quenched is not None:
        row["quench_time"] = quenched.time
        row["quench_sensitivity"] = _sensitivity(sampled, quenched)
    row["steps"] = _steps(trajectory)
    row["records"] = len(sampled.steps)
    row["lost"] = cell.replicas - alive.replicas
    return row


def _why_no_minimum(
    cell: Cell,
    landscape: Landscape,
    reference: ReferenceMinimum,
    trajectory: Trajectory,
) -> str:
    """Why θ* is none to this cell; empty where it is one."""
    time = _steps(trajectory) * time_step(cell.sgd)
    law = cell.predicted(count_of(landscape))
    return doubt_of_minimum(reference, time) or doubt_of_slope(reference, law)


def _steps(trajectory: Trajectory) -> int:
    return int(trajectory.steps[-1]) if len(trajectory.steps) else 0


def _reconsidered(
    verdict: Verdict,
    cell: Cell,
    landscape: Landscape,
    reference: ReferenceMinimum,
    sampled: Trajectory,
) -> Verdict:
    """The verdict of two windows, unless replicas that are lost, a burn-in that was too short, all
    records, or the rounding of what the cloud is computed in speak against it."""
    if verdict.first is None:
        return verdict
    theta = reference.theta
    why = (
        doubt_of_survivors(cell.replicas, sampled.replicas)
        or doubt_of_warmth(cell, reference, sampled)
        or doubt_of_rest(sampled)
        or doubt_of_steps(cell.sgd, theta, sampled)
        or doubt_of_losses(landscape, theta, sampled)
    )
    return Verdict(None, why) if why else verdict


def _settings(cell: Cell) -> Row:
    names = ("learning_rate", "batch_size", "momentum", "sampling", "replicas")
    settings = {name: getattr(cell, name) for name in names}
    if cell.second_moment is None:
        return settings
    return {**settings, "optimiser": "adam", "equivalent_rate": cell.sgd.rate}


def _predictions(cell: Cell, landscape: Landscape, reference: ReferenceMinimum) -> Row:
    """T by theory, and under reshuffling what that leaves of it."""
    count = count_of(landscape)
    law = cell.predicted(count)
    if cell.sampling != "epoch" or count is None or count < 2:
        return {"predicted": law}
    factor = exact_epoch_factor(reference, cell.sgd.rate, cell.batch_size, count, cell.momentum)
    return {"predicted": law, "predicted_epoch": law * factor}


def _temperatures(
    estimators: Mapping[str, Estimator],
    landscape: Landscape,
    sampled: Trajectory,
    why: str,
) -> dict[str, Measured]:
    """The numbers of all estimators, those called like an estimator first; none where the cloud is
    not stationary or on a saddle, as `why` says."""
    if why:
        return dict.fromkeys(estimators, Measured.nothing(why))
    numbers: dict[str, Measured] = {}
    for estimator in estimators.values():
        numbers |= estimator(landscape, sampled)
    if "excess_loss" in numbers:
        numbers["excess_loss"] = above_the_minimum(numbers["excess_loss"])
    missing = Measured.nothing("")
    return {name: numbers.get(name, missing) for name in dict.fromkeys([*estimators, *numbers])}


def _anharmonicity(trace: float | None, at_minimum: float, stability: float) -> str:
    """Why a cell is out of the harmonic range; empty where it is in it."""
    if stability > STEEP:
        return f"leaves the harmonic range: ηh_max is {stability:.2f} of the stable limit 2(1+μ)"
    if trace is None or not at_minimum:
        return "leaves the harmonic range: Tr C is not known"
    swelling = trace / at_minimum
    if 1 / HARMONIC < swelling < HARMONIC:
        return ""
    return f"leaves the harmonic range: ⟨Tr C⟩ is {swelling:.2f} × Tr C(θ*)"


def _excess_from_quench(
    excess: Measured | None, sampled: Trajectory, quenched: QuenchResult | None
) -> Measured | None:
    """T from the excess loss with the error of the quench in it; no number where a longer quench
    would give another; None where nothing was quenched."""
    if quenched is None or excess is None or excess.value is None or excess.stderr is None:
        return None
    change = _sensitivity(sampled, quenched)
    if change is None or abs(change) > SENSITIVE:
        half = "not positive" if change is None else f"{excess.value * (1 + change):.3g}"
        return Measured.nothing(
            f"no bottom: T is {excess.value:.3g} after the quench and {half} after half of it"
        )
    trace = float(sampled.noise_trace.mean())
    error = hypot(excess.stderr, 2 * quenched.loss_stderr / trace)
    return Measured(excess.value, error, excess.unit)


def _sensitivity(sampled: Trajectory, quenched: QuenchResult) -> float | None:
    """T with half the quench over T with all of it, less one."""
    full = _temperature_above(sampled, quenched.loss)
    half = _temperature_above(sampled, quenched.loss_half)
    if not full or half is None or full <= 0:
        return None
    return half / full - 1


def _temperature_above(sampled: Trajectory, loss: float) -> float | None:
    return ExcessLoss()(None, replace(sampled, loss_at_minimum=loss))["excess_loss"].value
