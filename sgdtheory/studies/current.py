"""The steady state of SGD has currents, which its density cannot show and the stochastic area can."""

from dataclasses import dataclass
from typing import Any

import torch

from sgdtheory.estimate import estimate_stage
from sgdtheory.kinds import Whole
from sgdtheory.measured import Results, in_full
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder
from sgdtheory.streams import key
from sgdtheory.studies.parts.stirred import Stirred
from sgdtheory.studies.study import Subject
from sgdtheory.studies.verdicts.circulation import PLOTS, claims


@dataclass(frozen=True)
class Current:
    """Rate of the stochastic area ⟨θ_iΔθ_j − θ_jΔθ_i⟩ of clouds at rest, against what theory says of each.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Section 4 and example 19): SGD's steady state breaks detailed balance; points
    circle although the density stands still. Refuted by an area that is not theory's where a force turns the cloud, or where
    noise and curvature do not commute; the control is that without either it is zero.

    `systems`: by name, what is stirred and how.
    """

    systems: dict[str, Stirred]
    dtype: Dtype = "float32"
    seed: Whole = 0

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.systems))

    def units(self, run: Run) -> list[Unit]:
        return [Unit(f"{name}-{in_full(strength)}", self._science(run, name, strength)) for name, strength in self._asked()]

    def _asked(self) -> list[tuple[str, float]]:
        return [(name, strength) for name, system in self.systems.items() for strength in system.strengths]

    def _science(self, run: Run, name: str, strength: float) -> dict[str, Any]:
        shared = {what: run.science[what] for what in ("_target_", "dtype", "seed")}
        system = {what: value for what, value in run.science["systems"][name].items() if what not in ("within", "clear")}
        return {**shared, "system": system | {"strengths": [strength]}, "of": name, "strength": strength}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        name, strength = unit.science["of"], unit.science["strength"]
        seed = key(self.seed, "current", name, strength)
        row = self.systems[name].watch(folder, strength, seed, getattr(torch, self.dtype))
        folder.finish({"row": row}, {})

    def finish(self, run: Run) -> Results:
        found = [(name, run.result(Unit("", self._science(run, name, strength)))) for name, strength in self._asked()]
        rows = [{"system": name, **result["row"]} for name, result in found if result is not None]
        shown = [plot.as_dict() for plot in PLOTS]
        tables: dict[str, list[dict[str, Any]]] = {"stirred": [], "unstirred": []}
        for row in rows:
            tables["unstirred" if self.systems[row["system"]].coupling is None else "stirred"].append(row)
        return Results(claims(rows, self.systems), {}, {"tables": tables, "plots": shown})

    def estimate(self, unit: Unit) -> Estimate:
        system = self.systems[unit.science["of"]]
        start = system.landscape.init(system.replicas, torch.Generator()).to(getattr(torch, self.dtype))
        return estimate_stage(system.landscape, system.sgd, start)
