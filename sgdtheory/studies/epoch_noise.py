"""Reshuffled epochs are colder than independent batches, mode by mode."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from sgdtheory.cell import Cell, describe_cell
from sgdtheory.faults import Mistake
from sgdtheory.frozen import Frozen
from sgdtheory.ground import Ground
from sgdtheory.kinds import Whole
from sgdtheory.landscape import Landscape
from sgdtheory.measured import Results
from sgdtheory.pipelines.sweep_temperature import SweepTemperature
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.streams import key
from sgdtheory.studies.verdicts.reshuffling import PLOTS, cell_row, claims

KINDS = ("epochs", "independent")


@dataclass(frozen=True)
class EpochNoise:
    """T/T_law of SGD that walks through reshuffled epochs, against what the anti-correlation of its noise leaves.

    Claim (2306.05300; r(x) is the project's own sum): batches of an epoch are drawn without replacement, so their noise sums to
    almost nothing over it, and a mode that is slower than an epoch hardly feels any: T/T_law = Σ r(x_i)C_ii/Tr C with
    r = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x = ηhN/b. Refuted by T/T_law ≥ .8 at the hottest cell, or more than .1 from the prediction.

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
        hottest = self._hottest(list(found.values()))
        return [*found.values(), *([Unit("frozen", {**hottest.science, "frozen": True})] if hottest else [])]

    def _sweeps(self, run: Run) -> Iterator[tuple[str, SweepTemperature, Run]]:
        """Each sweep with the run as it would see it: its units are those of the command."""
        for kind in KINDS:
            yield kind, getattr(self, kind), replace(run, science=run.science[kind])

    def _hottest(self, units: list[Unit]) -> Unit | None:
        cells = [unit for unit in units if "cell" in unit.science and unit.science["cell"]["sampling"] == "epoch"]
        return max(
            cells, key=lambda unit: unit.science["cell"]["learning_rate"] / unit.science["cell"]["batch_size"], default=None
        )

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if "frozen" not in unit.science:
            self.epochs.do(unit, folder)
            return
        first = Unit("minimum", unit.science["minimum"])
        ground = Ground.kept_in(UnitFolder(folder.path.parent / first.hash, first).clouds())
        landscape, cell = Frozen(self.landscape, ground.theta), Cell(**unit.science["cell"])
        seed = key(self.seed, "frozen", *unit.science["cell"].values())
        trajectory = cell.record(folder, landscape, ground, seed, getattr(torch, self.epochs.dtype))
        folder.finish({}, trajectory.tensors())

    def finish(self, run: Run) -> Results:
        units, rows, count = self.units(run), [], int(getattr(self.landscape, "count", 0))
        for kind, sweep, own in self._sweeps(run):
            first = sweep.units(own)[0]
            if run.result(first) is not None:
                ground = Ground.kept_in(run.folder(first).clouds())
                rows += [cell_row(cell, kind, ground, count) for cell in sweep.finish(own).tables["cells"]]
        if units[-1].name == "frozen" and run.result(units[-1]) is not None:
            cell = Cell(**units[-1].science["cell"])
            trajectory = cell.recorded(run.folder(units[-1]).clouds(), self.landscape, ground)
            told = describe_cell(cell, self.landscape, ground, trajectory, self.epochs.estimator)
            rows.append(cell_row(told, "frozen", ground, count))
        return Results(claims(rows), {}, {"tables": {"cells": rows}, "plots": [plot.as_dict() for plot in PLOTS]})

    def estimate(self, unit: Unit) -> Estimate:
        return self.epochs.estimate(unit)
