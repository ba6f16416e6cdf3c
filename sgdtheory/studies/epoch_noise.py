"""Reshuffled epochs are colder than independent batches, mode by mode."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from sgdtheory.faults import Mistake
from sgdtheory.kinds import Whole
from sgdtheory.landscape import Landscape
from sgdtheory.measured import Results
from sgdtheory.pipelines.sweep_temperature import SweepTemperature
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.streams import key
from sgdtheory.studies.parts.frozen import Frozen
from sgdtheory.studies.verdicts.reshuffling import PLOTS, cell_row, claims
from sgdtheory.sweep.cell import Cell, describe_cell
from sgdtheory.sweep.ground import Ground

KINDS = ("epochs", "independent")
ENOUGH = 0.01  # relative standard error of the control with frozen noise


@dataclass(frozen=True)
class EpochNoise:
    """T/T_law of SGD that walks through reshuffled epochs, against what the anti-correlation of its noise leaves.

    Claim (2306.05300; r(x) is the project's own sum): batches of an epoch are drawn without replacement, so their noise sums to
    almost nothing over it, and a mode that is slower than an epoch hardly feels any: T/T_law = Σ r(x_i)C_ii/Tr C with
    r = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x = ηhN/b. Refuted by T/T_law ≥ .8 at the hottest cell, or more than .1 from the prediction.

    T is the sweep's, the excess loss by ⟨Tr C⟩ over all examples; C_ii and h_i are those of every mode at θ*, exactly.

    Controls: `independent` draws, whose T/T_law is one; and the hottest cell with the noise frozen as it is at the
    minimum, where the linear theory has to be exact. Both sweeps are those of `sgdtheory sweep-temperature`.
    """

    epochs: SweepTemperature
    independent: SweepTemperature
    seed: Whole = 0

    def __post_init__(self) -> None:
        if self.epochs.sampling != "epoch" or self.independent.sampling == "epoch":
            raise Mistake("epochs.sampling must be epoch, and independent.sampling iid or without_replacement")
        if self.epochs.sweep.learning_rate == "auto":
            raise Mistake("epochs.sweep.learning_rate: give numbers, for they say how slow a mode is")

    @property
    def landscape(self) -> Landscape:
        return self.epochs.landscape

    def units(self, run: Run) -> list[Unit]:
        found: dict[str, Unit] = {}
        for kind, sweep, own in self._sweeps(run):
            for unit in sweep.units(own):
                found.setdefault(unit.hash, unit if unit.name == "minimum" else unit._replace(name=f"{kind}-{unit.name}"))
        first, *cells = found.values()
        if not cells:
            return [first]
        hottest = max(cells, key=self._heat)
        return [first, Unit("modes", {"modes": first.science}), *cells, Unit("frozen", {**hottest.science, "frozen": ENOUGH})]

    def _sweeps(self, run: Run) -> Iterator[tuple[str, SweepTemperature, Run]]:
        """Each sweep with the run as it would see it: its units are those of the command."""
        for kind in KINDS:
            yield kind, getattr(self, kind), replace(run, science=run.science[kind])

    def _heat(self, unit: Unit) -> float:
        cell = unit.science["cell"]
        return float(cell["learning_rate"] / cell["batch_size"]) if cell["sampling"] == "epoch" else 0.0

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if not {"modes", "frozen"} & set(unit.science):
            self.epochs.do(unit, folder)
            return
        first = Unit("minimum", unit.science.get("modes") or unit.science["minimum"])
        ground = Ground.kept_in(UnitFolder(folder.path.parent / first.hash, first).clouds())
        landscape = Frozen(self.landscape, ground.theta)
        if "modes" in unit.science:
            spectrum, weights = landscape.modes()
            folder.finish({}, {"spectrum": spectrum, "weights": weights})
            return
        seed = key(self.seed, "frozen", *unit.science["cell"].values())
        trajectory = self._cell(unit).record(folder, landscape, ground, seed, getattr(torch, self.epochs.dtype))
        folder.finish({}, trajectory.tensors())

    def _cell(self, unit: Unit) -> Cell:
        """The control's, at its own precision."""
        return replace(Cell(**unit.science["cell"]), precision=unit.science["frozen"])

    def finish(self, run: Run) -> Results:
        units = self.units(run)
        if len(units) == 1 or run.result(units[1]) is None:
            return Results(claims([]), {})
        ground = Ground.kept_in(run.folder(units[0]).clouds())._replace(**run.folder(units[1]).clouds())
        count, rows = int(self.landscape.count), []  # type: ignore[attr-defined]
        for kind, sweep, own in self._sweeps(run):
            rows += [cell_row(cell, kind, ground, count) for cell in sweep.finish(own).tables["cells"]]
        if run.result(units[-1]) is not None:
            cell, landscape = self._cell(units[-1]), self.landscape
            trajectory = cell.recorded(run.folder(units[-1]).clouds(), landscape, ground)
            rows.append(
                cell_row(describe_cell(cell, landscape, ground, trajectory, self.epochs.estimator), "frozen", ground, count)
            )
        return Results(claims(rows), {}, {"tables": {"cells": rows}, "plots": [plot.as_dict() for plot in PLOTS]})

    def estimate(self, unit: Unit) -> Estimate:
        return self.epochs.estimate(unit)
