"""The flatness of where SGD ends against its temperature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.traces import hessian_trace
from sgdtheory.landscape import Cloud, values
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.descent import lbfgs
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.string_sampling import descend_to
from sgdtheory.pipelines.train import Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles import title_of
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, in_full, row_of
from sgdtheory.studies.study import Case, Rows, Study, Subject, Tables, Verdict, column_of

LOW, HIGH, SURE = -0.4, -0.15, 8.0  # of the slope, and its standard errors
ALIKE = 0.1  # the difference of the two exponents
VISIBLE = 0.1  # a slope at λ > 0 beyond this would be one that can be seen
EQUAL = 0.02  # relative spread of losses up to which they count as equal


@dataclass(frozen=True)
class FlatnessAgainstTemperature(Study):
    """The hotter SGD is, the flatter is where it ends: Tr H falls with η/b, at equal loss
    (Jastrzębski et al. 2017).

    Claim (Keskar et al. 2017, 1609.04836; Jastrzębski et al. 2017, 1711.04623): the noise of SGD,
    whose size is the temperature η/2b, chooses flat minima, so Tr H falls with η/b and depends on η
    and b in no other way. Refuted by a slope of log Tr H outside −0.4 … −0.15, or one of less than
    eight standard errors, or exponents of η and 1/b more than 0.1 apart.

    Exponents are those of a grid of η and b, without weight decay. All run for the same time
    ηt = `time`, each cell's seeds as one cloud, then `descent` takes them down to the loss
    `target`. The slope is that of this `time`: −.2 at 50, −.3 at 60, −.4 at 100 (measured), for
    noise goes on looking for flat ground. With weight decay and L-BFGS to the bottom instead, on
    the corners of the grid, hardly anything should be left of it.
    """

    axes = ("learning_rates", "batch_sizes", "weight_decay")

    network: Callable[..., Any]
    learning_rates: Annotated[tuple[PositiveFloat, ...], MinLen(1)]
    batch_sizes: Annotated[tuple[PositiveInt, ...], MinLen(1)]
    descent: SGD
    time: PositiveFloat = 60.0
    seeds: Annotated[int, Ge(2)] = 5
    target: PositiveFloat = 0.02
    every: PositiveInt = 5
    sketch: PositiveInt = 12
    probes: Annotated[int, Ge(2)] = 12
    weight_decay: PositiveFloat = 1e-3
    polish_steps: PositiveInt = 300
    dtype: Dtype = "float64"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if len(self._cells()) < len(self.learning_rates) * len(self.batch_sizes) + 1:
            raise UserError(
                "learning_rates, batch_sizes: the same value stands twice; leave one out"
            )

    @property
    def landscape(self) -> Subject:
        network = self.network(weight_decay=0.0)
        return Subject(title_of(network), network.dim)

    def _cells(self) -> list[tuple[float, float, int]]:
        """(λ, η, b): the grid at λ = 0, its corners with weight decay."""
        rates, sizes = self.learning_rates, self.batch_sizes
        corners = [
            (self.weight_decay, rate, size)
            for rate in (min(rates), max(rates))
            for size in (min(sizes), max(sizes))
        ]
        return list(
            dict.fromkeys([*((0.0, rate, size) for rate in rates for size in sizes), *corners])
        )

    def cases(self) -> list[Case]:
        names = ("weight_decay", "learning_rate", "batch_size")
        return [
            Case(
                f"decay-{in_full(cell[0])}-rate-{in_full(cell[1])}-batch-{cell[2]}",
                dict(zip(names, cell, strict=True)),
            )
            for cell in self._cells()
        ]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        decay, rate, size = case.settings.values()
        landscape, seed = (
            self.network(weight_decay=decay),
            key(self.seed, "cell", decay, rate, size),
        )
        cloud = run_stage(
            folder,
            "noisy",
            self._sgd(rate, size),
            landscape,
            self._start(landscape),
            seed,
            fraction=(0.0, 0.5),
        )
        before = values(landscape, cloud)
        folder.tell(0.5, "down")
        if decay:
            cloud = lbfgs(landscape, cloud, self.polish_steps, lambda done: stop_if_asked())
        else:
            cloud = descend_to(
                landscape, self.descent, cloud, self.target, self.every, seed, stop_if_asked
            ).cloud
        folder.tell(0.8, "curvature")
        points = enumerate(zip(cloud, before.tolist(), strict=True))
        rows = [
            {"point": p, "loss_before": was, **self._row(landscape, x, key(seed, "trace", p))}
            for p, (x, was) in points
        ]
        return {"points": rows}, {"minima": cloud}

    def _row(self, landscape: Any, theta: Tensor, seed: int) -> dict[str, Any]:
        loss = float(values(landscape, theta[None])[0])
        height = hessian_trace(landscape, theta, stream(seed), self.sketch, self.probes)
        return row_of({"loss": loss, "norm": float(theta.norm())}, trace=height)

    def _sgd(self, rate: float, size: int) -> SGD:
        return SGD(max(1, round(self.time / rate)), size, rate, Constant())

    def _start(self, landscape: Any) -> Cloud:
        cloud: Cloud = landscape.init(self.seeds, stream(self.seed, "init"))
        return cloud.to(getattr(torch, self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        free = [row for row in tables["points"] if not row["weight_decay"]]
        held = [row for row in tables["points"] if row["weight_decay"]]
        return verdict_of(free, held, self.weight_decay)

    def estimate(self, unit: Unit) -> Estimate:
        """As the noisy stage, and about as long again for the descent and the traces (measured)."""
        decay, rate, size = self.case_of(unit).settings.values()
        landscape = self.network(weight_decay=decay)
        noisy = estimate_stage(landscape, self._sgd(rate, size), self._start(landscape))
        return noisy._replace(seconds=2 * noisy.seconds)


def exponents(rows: Rows, apart: bool) -> list[Measured]:
    """Exponents of Tr H in η/b, or in η and in 1/b apart: least squares of its logarithm for every
    seed, mean over seeds.

    A seed is the whole experiment once more, from another start with other batches, so their
    scatter is all of the error: that of the traces is in it.
    """
    slopes = []
    for seed in sorted({row["point"] for row in rows}):
        cells = [row for row in rows if row["point"] == seed]
        rate, batch = (np.log(column_of(cells, name)) for name in ("learning_rate", "batch_size"))
        columns = [rate, -batch] if apart else [rate - batch]
        design = np.stack([*columns, np.ones(len(cells))], 1)
        if np.linalg.matrix_rank(design) < design.shape[1]:
            return [Measured.nothing("the grid is too small to tell")] * len(columns)
        slopes.append(
            np.linalg.lstsq(design, np.log(column_of(cells, "trace")), rcond=None)[0][:-1]
        )
    return [Measured.mean(column) for column in np.array(slopes).T]


def verdict_of(free: Rows, held: Rows, weight_decay: float) -> Verdict:
    """`free`: a row a point at λ = 0, equal loss; `held`: at the bottom of the loss with L2."""
    tables = {"cells": [*_cells(free, 0.0), *_cells(held, weight_decay)], "points": [*free, *held]}
    claims = [*_claims(free), _held(held, weight_decay)]
    return Verdict(claims, tables, [_plot(weight_decay)])


def _cells(rows: Rows, weight_decay: float) -> Rows:
    """Means over seeds of every learning rate and batch size, with what the fitted power law says
    there.
    """
    slope = exponents(rows, apart=False)[0] if rows else Measured.nothing("no cell is finished")
    cells = []
    for eta, b in dict.fromkeys((row["learning_rate"], row["batch_size"]) for row in rows):
        same = [row for row in rows if (row["learning_rate"], row["batch_size"]) == (eta, b)]
        curve = f"λ = {in_full(weight_decay)}, η = {in_full(eta)}"
        facts = {
            "weight_decay": weight_decay,
            "learning_rate": eta,
            "batch_size": b,
            "ratio": eta / b,
            "curve": curve,
        }
        measured = {
            name: Measured.mean(column_of(same, name)) for name in ("trace", "loss", "loss_before")
        }
        cells.append(row_of(facts, **measured))
    for row in cells:
        row["law"] = None if slope.value is None else _law(rows, slope.value, row["ratio"])
    return cells


def _law(rows: Rows, slope: float, ratio: float) -> float:
    """The power law through the middle of all points."""
    shift = [
        log(row["trace"]) - slope * log(row["learning_rate"] / row["batch_size"]) for row in rows
    ]
    return exp(sum(shift) / len(shift) + slope * log(ratio))


def _claims(rows: Rows) -> list[Claim]:
    band = f"between {LOW:g} and {HIGH:g}, |z| > {SURE:g}"
    if not rows or not _equal(rows):
        nothing = Measured.nothing(
            "not all points are at equal loss; see the table" if rows else "no cell is finished"
        )
        return [Claim("slope", f"d log Tr H / d log(η/b): {nothing.why}", nothing, band, None)]
    slope, (rate, batch) = exponents(rows, apart=False)[0], exponents(rows, apart=True)
    told = (
        f"at equal loss Tr H falls with temperature: d log Tr H / d log(η/b) = {slope}, "
        f"{len(rows)} minima"
    )
    same = f"exponents of η {rate}, of 1/b {batch}"
    return [
        Claim("slope", told, slope, band, _falls(slope)),
        Claim("exponents", same, _difference(rows), f"equal within {ALIKE:g}", _alike(rate, batch)),
    ]


def _equal(rows: Rows) -> bool:
    losses = column_of(rows, "loss")
    return bool(max(losses) - min(losses) <= EQUAL * max(losses))


def _falls(slope: Measured) -> bool | None:
    if slope.value is None or not slope.stderr:
        return None
    return LOW <= slope.value <= HIGH and abs(slope.value) > SURE * slope.stderr


def _difference(rows: Rows) -> Measured:
    """Of the exponents of η and of 1/b, seed by seed."""
    differences = []
    for seed in sorted({row["point"] for row in rows}):
        rate, batch = exponents([row for row in rows if row["point"] == seed], apart=True)
        if rate.value is None or batch.value is None:
            return rate
        differences.append(rate.value - batch.value)
    return Measured.mean(differences)


def _alike(rate: Measured, batch: Measured) -> bool | None:
    if rate.value is None or batch.value is None:
        return None
    return abs(rate.value - batch.value) <= ALIKE


def _held(rows: Rows, weight_decay: float) -> Claim:
    """That with weight decay hardly anything is left to see: the way to the bottom forgets where
    SGD has been.
    """
    expected = f"not to be seen: |slope| < {VISIBLE:g}"
    slope = exponents(rows, apart=False)[0] if rows else Measured.nothing("no cell is finished")
    if slope.value is None:
        return Claim("weight_decay", f"λ = {weight_decay:g}: {slope.why}", slope, expected, None)
    left = (
        "hardly anything is left to see"
        if abs(slope.value) < VISIBLE
        else "temperature is to be seen there too"
    )
    told = f"at the bottoms that λ = {weight_decay:g} makes, the slope is {slope}: {left}"
    return Claim("weight_decay", told, slope, expected, abs(slope.value) < VISIBLE)


def _plot(weight_decay: float) -> Plot:
    return Plot(
        "flatness",
        "The hotter SGD was, the flatter is where it ends",
        "Tr H at equal loss against the temperature η/b (T = η/2b) at which SGD ran, means over "
        "seeds; every learning rate is a curve of its own, and they fall together. The line is "
        f"the power law through all points at λ = 0. At λ = {weight_decay:g}, at the bottom, "
        "hardly any slope is left. The exponent is not a law of nature: it grows with how long "
        "SGD runs.",
        "cells",
        "ratio",
        ("trace",),
        "curve",
        "xy",
        ("law",),
        labels={"ratio": "η/b", "trace": "Tr H", "curve": "λ, η"},
    )
