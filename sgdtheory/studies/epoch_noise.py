"""Reshuffled epochs are colder than independent batches, mode by mode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.linearised import Linearised
from sgdtheory.landscape import Landscape
from sgdtheory.pipelines.sweep_temperature import SweepTemperature
from sgdtheory.rng import key
from sgdtheory.roles import examples_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, Row, Rows, row_of
from sgdtheory.statistics.tables import grouped
from sgdtheory.studies.study import Case, Study, Tables, Verdict
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

KINDS = ("epochs", "independent")
ENOUGH = 0.01  # relative standard error of the control with frozen noise
COLD = 0.8  # T/T_law that epochs are below at the hottest cell
CLOSE = 0.1  # of T/T_law to Σ r(x_i)C_ii/Tr C
# of T/T_law to the exact factor where the noise is frozen, and to one where draws are independent
EXACT = 0.02
SIGMAS = 3.0


@dataclass(frozen=True)
class EpochNoise(Study):
    """Reshuffled epochs are colder than independent batches, by a factor that every mode's ηhN/b
    predicts.

    T/T_law of SGD that walks through reshuffled epochs, against what the anti-correlation of its
    noise leaves.

    Claim (2306.05300; r(x) is the project's own sum): batches of an epoch are drawn without
    replacement, so their noise sums to almost nothing over it, and a mode that is slower than an
    epoch hardly feels any: T/T_law = Σ r(x_i)C_ii/Tr C with r = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x =
    ηhN/b. Refuted by T/T_law ≥ .8 at the hottest cell, or more than .1 from the prediction.

    T is the sweep's, the excess loss by ⟨Tr C⟩ over all examples; C_ii and h_i are those of every
    mode at θ*, exactly.

    Controls: `independent` draws, whose T/T_law is one; and the hottest cell with the noise frozen
    as it is at the minimum, where the linear theory has to be exact. Both sweeps are those of
    `sgdtheory sweep-temperature`.
    """

    epochs: SweepTemperature
    independent: SweepTemperature
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.epochs.sampling != "epoch" or self.independent.sampling == "epoch":
            raise UserError(
                "epochs.sampling must be epoch, and independent.sampling iid or without_replacement"
            )
        if self.epochs.sweep.learning_rate == "auto":
            raise UserError(
                "epochs.sweep.learning_rate: give numbers, for they say how slow a mode is"
            )

    @property
    def landscape(self) -> Landscape:
        return self.epochs.landscape

    def cases(self) -> list[Case]:
        """Those that are the study's own: they begin when both sweeps know their minimum."""
        return [Case(control, {"control": control}) for control in ("modes", "frozen")]

    def units(self, run: Run) -> list[Unit]:
        sweeps: dict[str, Unit] = {}
        for kind, sweep, own in self._sweeps(run):
            for unit in sweep.units(own):
                named = (
                    unit if unit.name == "minimum" else unit._replace(name=f"{kind}-{unit.name}")
                )
                sweeps.setdefault(unit.hash, named)
        first, *cells = sweeps.values()
        if not cells:
            return [first]
        hottest = max(cells, key=self._heat)
        modes, frozen = (dict(case.settings) for case in self.cases())
        return [
            first,
            Unit("modes", {"minimum": first.science, "case": modes}),
            *cells,
            Unit("frozen", {**hottest.science, "frozen": ENOUGH, "case": frozen}),
        ]

    def _sweeps(self, run: Run) -> Iterator[tuple[str, SweepTemperature, Run]]:
        """Each sweep with the run as it would see it: its units are those of the command."""
        for kind in KINDS:
            yield kind, getattr(self, kind), replace(run, science=run.science[kind])

    def _heat(self, unit: Unit) -> float:
        cell = unit.science["cell"]
        return (
            float(cell["learning_rate"] / cell["batch_size"])
            if cell["sampling"] == "epoch"
            else 0.0
        )

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if "case" in unit.science:
            super().do(unit, folder)
        else:
            self.epochs.do(unit, folder)

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        unit = folder.unit
        first = Unit("minimum", unit.science["minimum"])
        ground = ReferenceMinimum.kept_in(
            UnitFolder(folder.path.parent / first.hash, first).clouds()
        )
        landscape = Linearised(examples_of(self.landscape), ground.theta)
        if case.name == "modes":
            spectrum, weights = landscape.modes()
            return {}, {"spectrum": spectrum, "weights": weights}
        seed = key(self.seed, "frozen", *unit.science["cell"].values())
        dtype = getattr(torch, self.epochs.dtype)
        return {}, self._cell(unit).measure(folder, landscape, ground, seed, dtype).tensors()

    def _cell(self, unit: Unit) -> Cell:
        """The control's, at its own precision."""
        return replace(Cell(**unit.science["cell"]), precision=unit.science["frozen"])

    def collect(self, run: Run) -> Tables:
        """A row a cell of either sweep, as the command has it, and one of the frozen control."""
        units = self.units(run)
        if len(units) == 1 or run.result(units[1]) is None:
            return {}
        ground = ReferenceMinimum.kept_in(run.folder(units[0]).clouds())._replace(
            **run.folder(units[1]).clouds()
        )
        count, rows = examples_of(self.landscape).count, []
        for kind, sweep, own in self._sweeps(run):
            rows += [
                cell_row(cell, kind, ground, count) for cell in sweep.finish(own).tables["cells"]
            ]
        if run.result(units[-1]) is not None:
            cell, landscape = self._cell(units[-1]), self.landscape
            trajectory = cell.trajectory_from(run.folder(units[-1]).clouds(), landscape, ground)
            described = describe_cell(cell, landscape, ground, trajectory, self.epochs.estimator)
            rows.append(cell_row(described, "frozen", ground, count))
        return {"cells": rows}

    def judge(self, tables: Tables) -> Verdict:
        return Verdict(claims_of(tables["cells"]), tables, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        return self.epochs.estimate(unit)


def exact_factor(ground: ReferenceMinimum, rate: float, size: int, count: int) -> float:
    """Σ_j w_j·T_j/T_law of additive noise, exactly: finite steps, and the examples that fill no
    batch and are left out.

    In a mode θ ← aθ − ηξ_k, a = 1 − ηh, the m = ⌊N/b⌋ batches of an epoch have ⟨ξ²⟩ =
    (C/b)(N−b)/(N−1) and ⟨ξ_jξ_k⟩ = −C/(N−1). So after k steps of an epoch ⟨θ²⟩ = a²ᵏv + η²[(⟨ξ²⟩ −
    ⟨ξξ′⟩)Σa²ⁱ + ⟨ξξ′⟩(Σaⁱ)²], sums over i < k, v its value at the epoch's start, the same at the
    next; the mean over k, times h(1 − ηh/2)/C, is T_j. As m → ∞ at fixed x = ηhN/b it is r(x).
    """
    h = np.clip(ground.spectrum.numpy(), 1e-5, None)
    steps, a = count // size, 1 - rate * h
    same, other = (count - size) / (size * (count - 1)), -1 / (count - 1)
    once, end = a**steps, a ** (2 * steps)
    # means of aᵏ and a²ᵏ over an epoch
    ones, twos = (
        (1 - once) / (steps * (1 - a)),
        (1 - end) / (steps * (1 - a**2)),
    )
    fresh = (same - other) * (1 - twos) / (1 - a**2) + other * (1 - 2 * ones + twos) / (1 - a) ** 2
    start = ((same - other) * (1 - end) / (1 - a**2) + other * ((1 - once) / (1 - a)) ** 2) / (
        1 - end
    )
    variance = rate**2 * (twos * start + fresh)
    temperatures = h * (1 - rate * h / 2) * variance / (rate / (2 * size))
    return float((ground.weights.numpy() * temperatures).sum())


def cell_row(cell: Row, kind: str, ground: ReferenceMinimum, count: int) -> Row:
    """One cell: T/T_law as the sweep has it, and theory's."""
    rate, size = cell["learning_rate"], cell["batch_size"]
    facts = {
        "kind": kind,
        "learning_rate": rate,
        "batch_size": size,
        "rate_per_sample": rate / size,
    }
    facts |= {"predicted": 1.0, "exact": 1.0, "steps": cell["steps"]}
    if cell["sampling"] == "epoch":
        facts |= {
            "predicted": ground.epoch_factor(rate, count / size),
            "exact": exact_factor(ground, rate, size, count),
        }
    return row_of(facts, ratio=_in_units_of(cell["temperature"]["excess_loss"], cell["predicted"]))


def _in_units_of(number: Mapping[str, Any], unit: float) -> Measured:
    value, stderr = number["value"], number["stderr"]
    if value is None:
        return Measured.nothing(number.get("why", ""))
    return Measured(value / unit, None if stderr is None else stderr / unit)


def claims_of(rows: Rows) -> list[Claim]:
    """The hottest cell, all cells against the prediction, and both controls."""
    by: dict[str, Rows] = {"epochs": [], "independent": [], "frozen": []} | grouped(rows, "kind")
    known = [row for row in by["epochs"] if row["ratio"] is not None]
    if not known:
        why = by["epochs"][0]["ratio_why"] if by["epochs"] else "nothing is finished"
        nothing, cold = Measured.nothing(why), f"below {COLD:g}"
        return [Claim("epoch", "no temperature under reshuffling", nothing, cold, None)]
    known.sort(key=lambda row: row["rate_per_sample"])
    said = [_cold(known[-1]), _prediction(known, by["epochs"])]
    controls = [
        ("independent", "draws are independent", "predicted"),
        ("frozen", "the noise is frozen at the minimum", "exact"),
    ]
    return [
        *said,
        *(_control(by[kind], kind, words, theory) for kind, words, theory in controls if by[kind]),
    ]


def _ratio(row: Mapping[str, Any], less: float = 0.0) -> Measured:
    return Measured(row["ratio"] - less, row.get("ratio_stderr"))


def _cold(row: Mapping[str, Any]) -> Claim:
    words = (
        f"reshuffled noise is colder: T/T_law is {_ratio(row)} at η = {row['learning_rate']:g}, b "
        f"= {row['batch_size']}"
    )
    return Claim("epoch", words, _ratio(row), f"below {COLD:g}", row["ratio"] < COLD)


def _prediction(known: Rows, asked: Rows) -> Claim:
    worst = max(known, key=_apart)
    apart = _ratio(worst, worst["predicted"])
    words = (
        f"T/T_law is {apart} from Σ r(x_i)C_ii/Tr C at worst, over {len(known)} of {len(asked)} "
        "cells"
    )
    return Claim(
        "prediction", words, apart, f"within {CLOSE:g} in every cell", _apart(worst) < CLOSE
    )


def _apart(row: Mapping[str, Any], theory: str = "predicted") -> float:
    return float(abs(row["ratio"] - row[theory]))


def _control(rows: Rows, kind: str, condition: str, theory: str) -> Claim:
    expected = f"theory's within {EXACT:g} or {SIGMAS:g} standard errors"
    known = [row for row in rows if row["ratio"] is not None]
    if not known:
        return Claim(
            kind,
            f"no temperature where {condition}",
            Measured.nothing(rows[0]["ratio_why"]),
            expected,
            None,
        )
    worst = max(known, key=lambda row: _apart(row, theory))
    holds = _apart(worst, theory) < max(EXACT, SIGMAS * worst["ratio_stderr"])
    words = f"where {condition} T/T_law is {_ratio(worst)}, theory's {worst[theory]:.3f}"
    return Claim(kind, words, _ratio(worst), expected, holds)


PLOTS = [
    Plot(
        "epoch_noise",
        "Epochs are colder than independent batches",
        "Excess-loss temperature over η/2b, marks with one standard error, against Σ "
        "r(x_i)C_ii/Tr C, which has no free number; the line is equality. Under reshuffling a "
        "mode slower than an epoch, x = ηhN/b < 1, feels little noise, for that of an epoch sums "
        "to almost nothing. Finite steps and noise that grows away from the minimum lift the "
        "marks a little.",
        "cells",
        "predicted",
        ("ratio",),
        by="kind",
        theory=("predicted",),
        level=1.0,
        labels={"predicted": "Σ r(x_i)C_ii/Tr C", "ratio": "T / (η/2b)"},
    ),
]
