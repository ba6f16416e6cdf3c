"""Reshuffled epochs are colder than independent batches, mode by mode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.linearised import Linearised
from sgdtheory.pipelines.sweep_temperature import SweepTemperature
from sgdtheory.protocol import Landscape, dtype_of
from sgdtheory.rng import key
from sgdtheory.roles.examples import examples_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Plot, row_of
from sgdtheory.statistics.rows import Row
from sgdtheory.studies.epochs.claims import claims_of
from sgdtheory.studies.study import Case, Study, Tables, Verdict
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.claims import not_judged
from sgdtheory.temperature.doubts import LEAST
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.reshuffling import exact_epoch_factor

KINDS = ("epochs", "independent")
PRECISION = 0.01  # relative standard error of the control with frozen noise


@dataclass(frozen=True)
class EpochNoise(Study):
    """Reshuffled epochs are colder than independent batches, by a factor that every mode's ηhN/b
    predicts.

    T/T_law of SGD under reshuffled epochs, against theory of the anti-correlation of its noise.

    Claim (2306.05300; r(x) is the project's own sum): batches of an epoch are drawn without
    replacement, so their noise sums to almost nothing over it, and a mode that is slower than an
    epoch hardly feels any: T/T_law = Σ r(x_i)C_ii/Tr C with r = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x =
    ηhN/b(1−μ). Refuted by T/T_law ≥ .8 at the hottest cell, or more than .1 from the prediction.

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
        """The study's own measurements, which begin when both sweeps know their minimum."""
        return [Case(control, {"control": control}) for control in ("modes", "frozen")]

    def units(self, run: Run) -> list[Unit]:
        units = self._units_of_sweeps(run)
        cells = [unit for unit in units if "cell" in unit.config]
        minima = [unit for unit in units if "cell" not in unit.config]
        if not cells:
            return minima
        first = minima[0]
        hottest = max(cells, key=_heat)
        modes, frozen = self.cases()
        return [
            *minima,
            self._control(first, modes, {"minimum": first.config}, first),
            *cells,
            self._control(hottest, frozen, {**hottest.config, "frozen": PRECISION}, first),
        ]

    def _control(self, like: Unit, case: Case, config: Row, first: Unit) -> Unit:
        """A unit of the study's own beside the sweeps', which costs as much as one `like` it."""
        config, work = {**config, "case": dict(case.settings)}, partial(self.do, case)
        return replace(like, name=case.name, config=config, work=work, needs=(first,))

    def _units_of_sweeps(self, run: Run) -> list[Unit]:
        """The minimum, which both sweeps share where they measure it alike, and the cells of
        each."""
        units: dict[str, Unit] = {}
        for kind, sweep, sweep_run in self._sweeps(run):
            for unit in sweep.units(sweep_run):
                name = f"{kind}-{unit.name}" if units else unit.name
                units.setdefault(unit.hash, replace(unit, name=name))
        return list(units.values())

    def _sweeps(self, run: Run) -> Iterator[tuple[str, SweepTemperature, Run]]:
        """Each sweep with its own view of the run: its units are those of the command."""
        for kind in KINDS:
            yield kind, getattr(self, kind), replace(run, science=run.science[kind])

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        (first,) = folder.needed()
        reference = ReferenceMinimum.kept_in(first.clouds())
        landscape = Linearised(examples_of(self.landscape), reference.theta)
        if case.name == "modes":
            spectrum, weights = landscape.modes()
            return {}, {"spectrum": spectrum, "weights": weights}
        seed = key(self.seed, "frozen", *folder.unit.config["cell"].values())
        dtype = dtype_of(self.epochs.dtype)
        trajectory = self._cell(folder.unit).measure(folder, landscape, reference, seed, dtype)
        return {}, trajectory.tensors()

    def _cell(self, unit: Unit) -> Cell:
        """The control with frozen noise, at its own precision."""
        return replace(Cell(**unit.config["cell"]), precision=unit.config["frozen"])

    def collect(self, run: Run) -> Tables:
        """One row for each cell of both sweeps, as the command has it, and one of the frozen
        control."""
        units = self.units(run)
        minimum = units[0]
        control = units[-1]
        modes = next((unit for unit in units if unit.name == "modes"), None)
        if modes is None or run.result(modes) is None:
            return {}
        reference = ReferenceMinimum.kept_in(run.folder(minimum).clouds())
        reference = reference._replace(**run.folder(modes).clouds())
        count = examples_of(self.landscape).count
        rows = []
        for kind, sweep, sweep_run in self._sweeps(run):
            for cell in sweep.finish(sweep_run).tables["cells"]:
                rows.append(cell_row(cell, kind, reference, count))
        if run.result(control) is not None:
            frozen = self._cell(control)
            tensors = run.folder(control).clouds()
            trajectory = frozen.trajectory_from(tensors, self.landscape, reference)
            row = describe_cell(
                frozen, self.landscape, reference, trajectory, self.epochs.estimator
            )
            rows.append(cell_row(row, "frozen", reference, count))
        return {"cells": rows}

    def judge(self, tables: Tables) -> Verdict:
        claims = claims_of(tables["cells"])
        if min(self.epochs.replicas, self.independent.replicas) < LEAST:
            claims = not_judged(claims)
        return Verdict(claims, tables, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        assert unit.cost is not None, "its units are those of the sweeps, or cost as much"
        return unit.cost()


def _heat(unit: Unit) -> float:
    """η/b of a cell under reshuffling; 0 of others."""
    cell = unit.config["cell"]
    if cell["sampling"] != "epoch":
        return 0.0
    return float(cell["learning_rate"] / cell["batch_size"])


def cell_row(
    cell: Row,
    kind: str,
    reference: ReferenceMinimum,
    count: int,
) -> Row:
    """One cell: T/T_law of the sweep, and theory's."""
    rate = cell["learning_rate"]
    size = cell["batch_size"]
    facts = {
        "kind": kind,
        "learning_rate": rate,
        "batch_size": size,
        "rate_per_sample": rate / size,
        "predicted": 1.0,
        "exact": 1.0,
        "steps": cell["steps"],
    }
    if cell["sampling"] == "epoch":
        momentum = cell["momentum"]
        facts["predicted"] = reference.epoch_factor(rate, count / size, momentum)
        facts["exact"] = exact_epoch_factor(reference, rate, size, count, momentum)
    temperature = Measured.from_json(cell["temperature"]["excess_loss"])
    return row_of(facts, ratio=temperature.in_units_of(cell["predicted"]))


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
