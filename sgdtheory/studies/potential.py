"""The potential that SGD descends: made of the loss and of its noise, and not of η and b."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.protocol import Dtype, dtype_of
from sgdtheory.rng import key
from sgdtheory.runs.folder import Json
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.studies.potentials.probe import Part, Probe
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, all_hold


@dataclass(frozen=True)
class Potential(Study):
    """SGD descends a potential of its own: not the loss where its noise is uneven, and the same at
    every η and b (Chaudhari & Soatto 2018).

    Φ = −T log ρ of clouds at rest, against the exact ones, and against the loss.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Theorem 5): SGD minimises E[Φ] − T·S;
    Φ is made of L and C, not of η and b, and is L only where C ∝ 1. Refuted by clouds whose T·Σ⁻¹
    on a quadratic is a multiple of H although C and H do not commute, is not that of Lyapunov's
    equation, or changes with η and b once a finite η is taken out; by a density that is nearer to
    e^{−L/T} than to the equation's; by likeliest points at the loss's minima; on data by a T·Σ⁻¹
    that is H, or by a free energy that rises with Φ or falls with L. The control is C ∝ 1.

    `systems`: by name, the clouds.
    """

    systems: dict[str, Probe]
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.systems))

    def cases(self) -> list[Case]:
        cases = []
        for name, system in self.systems.items():
            for settings in system.settings():
                words = [name, *(in_full(value) for value in settings.values())]
                title = "-".join(words)
                cases.append(Case(title, {"system": name, **settings}, {"systems": name}))
        return cases

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """Not on the other cells of its grid."""
        name = case.settings["system"]
        system = dict(science["systems"][name])
        for axis in ("learning_rates", "batch_sizes"):
            system.pop(axis, None)
        return super().depends_on(science, case) | {"systems": {name: system}}

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        settings = dict(case.settings)
        name = settings.pop("system")
        seed = key(self.seed, "potential", name, *settings.values())
        return self.systems[name].watch(folder, settings, seed, dtype_of(self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        claims: list[Claim] = []
        shown: dict[str, Rows] = defaultdict(list)
        plots: dict[str, Plot] = {}
        for name in self.systems:
            part = self._part(name, tables)
            claims += part.claims
            for table, rows in part.tables.items():
                shown[table] += rows
            plots |= {plot.name: plot for plot in part.plots}
        return Verdict([_headline(claims), *claims], dict(shown), list(plots.values()))

    def _part(self, name: str, tables: Tables) -> Part:
        own: dict[str, Rows] = defaultdict(list)
        for table, rows in tables.items():
            for row in grouped(rows, "system").get(name, []):
                own[table].append(row)
        return self.systems[name].judge(name, own)

    def estimate(self, unit: Unit) -> Estimate:
        settings = dict(self.case_of(unit).settings)
        system = self.systems[settings.pop("system")]
        return system.estimate(settings, dtype_of(self.dtype))


def _headline(claims: list[Claim]) -> Claim:
    """All parts together; in numbers, how many of the claims hold."""
    holds = all_hold(claims)
    kept = sum(claim.holds is True for claim in claims)
    words = "SGD's potential is not in every part what theory says"
    if holds:
        words = (
            "SGD's potential is what theory makes of loss and noise, the same at every η and b, "
            f"and not the loss: {kept} of {len(claims)} checks"
        )
    if holds is None:
        words = "parts of SGD's potential are not known yet"
    return Claim("potential", words, Measured(kept / len(claims)), "every one as below", holds)
