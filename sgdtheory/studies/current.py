"""Currents of SGD's steady state: its density cannot show them, the stochastic area can."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.fokker_planck.overdamped import too_large
from sgdtheory.fokker_planck.stirred import Stirred
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.protocol import Dtype, dtype_of
from sgdtheory.rng import key
from sgdtheory.runs.folder import Json
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped, known
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import sigmas
from sgdtheory.studies.shared.curvatures import stiffest
from sgdtheory.studies.study import (
    Case,
    Study,
    Subject,
    Tables,
    Verdict,
    all_hold,
    left_open,
    start_of,
)

STILL = 4.0  # standard errors that an area may be from zero where there is no current
DENSITY = 0.004  # nats that a finite learning rate may put between the density and e^{−L/D}


@dataclass(frozen=True)
class Current(Study):
    """SGD's steady state has currents, which its density cannot show (Chaudhari & Soatto 2018).

    Rate of the stochastic area ⟨θ_iΔθ_j − θ_jΔθ_i⟩ of clouds at rest, against theory's.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Section 4 and example 19): SGD's steady state breaks
    detailed balance; points circle although the density stands still. Refuted by an area that is
    not theory's where a force turns the cloud, or where noise and curvature do not commute; the
    control is that without either it is zero.

    `systems`: by name, the clouds and what makes them circle.
    """

    systems: dict[str, Stirred]
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.systems))

    def cases(self) -> list[Case]:
        cases = []
        for name, system in self.systems.items():
            for strength in system.strengths:
                settings = {"system": name, "strength": strength}
                cases.append(Case(f"{name}-{in_full(strength)}", settings, {"systems": name}))
        return cases

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """Neither the other strengths nor the bars of the claims are part of it."""
        name = case.settings["system"]
        strength = case.settings["strength"]
        system = dict(science["systems"][name])
        for judged in ("within", "clear"):
            system.pop(judged, None)
        shared = super().depends_on(science, case)
        return shared | {"systems": {name: system | {"strengths": [strength]}}}

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        name = case.settings["system"]
        strength = case.settings["strength"]
        seed = key(self.seed, "current", name, strength)
        row = self.systems[name].watch(folder, strength, seed, dtype_of(self.dtype))
        return {"clouds": [row]}, {}

    def judge(self, tables: Tables) -> Verdict:
        rows = tables["clouds"]
        shown: dict[str, Rows] = {"stirred": [], "unstirred": []}
        for row in rows:
            stirred = self.systems[row["system"]].coupling is not None
            shown["stirred" if stirred else "unstirred"].append(row)
        return Verdict(claims_of(rows, self.systems), shown, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        system = self.systems[self.case_of(unit).settings["system"]]
        start = start_of(system.landscape, system.replicas, torch.Generator(), self.dtype)
        return estimate_stage(system.landscape, system.sgd, start)


def claims_of(rows: Rows, systems: Mapping[str, Stirred]) -> list[Claim]:
    """All systems together, then each: its currents, its control, its density."""
    by_system = grouped(rows, "system")
    claims = []
    for name, system in systems.items():
        own = by_system.get(name, [])
        large = _large(system)
        currents = _current(name, [row for row in own if row["area_exact"]], system)
        claims += left_open(currents, large)
        seen = min((abs(row["area_exact"]) for row in own if row["area_exact"]), default=None)
        claims += _still(name, [row for row in own if not row["area_exact"]], seen)
        claims += left_open(_density(name, known(own, "divergence")), large)
    holds = all_hold(claims)
    clear = [abs(_z(row)) for row in rows if row["area_exact"]]
    words = {
        True: f"steady clouds circle: {len(clear)} stochastic areas as theory says, and none "
        "without a cause",
        False: "the stochastic areas are not all as theory says",
        None: "not all stochastic areas are known well enough",
    }
    clearest = Measured.nothing("no current")
    if clear:
        why = next((claim.measured.why for claim in claims if claim.holds is None), "")
        unit = "standard errors from zero, at least"
        clearest = Measured(min(clear), 1.0, unit, "" if holds is not None else why)
    return [Claim("current", words[holds], clearest, "every one as below", holds), *claims]


def _z(row: Row) -> float:
    """The area in units of its standard error."""
    return sigmas(Measured.read(row, "area"))


def _current(name: str, rows: Rows, system: Stirred) -> list[Claim]:
    """The worst of a system's currents against theory's, and the least clear."""
    if not rows:
        return []
    ratios = [Measured.read(row, "area").in_units_of(row["area_exact"]) for row in rows]
    judged = all_near(ratios, 1, system.within, f"raise systems.{name}.replicas")
    ratio = ratios[judged.at]
    z = min(abs(_z(row)) for row in rows)
    words = (
        f"{name}: the area grows at {ratio} of theory's rate, at worst, and is {z:.0f} standard "
        "errors or more from 0"
    )
    expected = f"1 within {system.within:g}, more than {system.clear:g} standard errors from 0"
    holds, why = judged.holds, judged.why
    if holds and z <= system.clear:
        holds, why = None, f"{z:.0f} standard errors are no more than {system.clear:g}"
    return [Claim(name, words, ratio._replace(why=why), expected, holds)]


def _large(system: Stirred) -> str:
    """Why steps are too large for the law of a force that turns a cloud; that of noise which does
    so by itself is exact at any step."""
    if system.coupling is None:
        return ""
    return too_large(system.sgd, stiffest(system.landscape), system.within)


def _still(name: str, rows: Rows, smallest: float | None) -> list[Claim]:
    """The control: nothing makes the cloud circle, where the smallest of the system's currents
    would be seen."""
    if not rows:
        return []
    z = max((_z(row) for row in rows), key=abs)
    words = f"{name}: with nothing to turn it the area is {abs(z):.1f} standard errors from 0"
    expected = f"less than {STILL:g}"
    holds: bool | None = abs(z) < STILL
    why = ""
    if holds and smallest is not None:
        error = max(row["area_stderr"] for row in rows)
        if STILL * error > smallest:
            holds = None
            why = f"a current of {smallest:.2g} would be missed: raise systems.{name}.replicas"
    return [Claim(f"{name}_still", words, Measured(z, 1.0, why=why), expected, holds)]


def _density(name: str, rows: Rows) -> list[Claim]:
    if not rows:
        return []
    distances = [Measured.read(row, "divergence")._replace(unit="nats") for row in rows]
    # an estimate below 0 is the sample's: the distance itself is not
    apart = [each._replace(value=max(each.value or 0.0, 0.0)) for each in distances]
    judged = all_near(apart, 0, DENSITY, f"raise systems.{name}.replicas")
    distance = distances[judged.at]
    words = (
        f"{name}: the density is within {distance} of e^(−Φ/T) at every strength of {len(rows)}: "
        "it does not see the current"
    )
    expected = f"below {DENSITY:g} nats"
    distance = distance._replace(why=judged.why)
    return [Claim(f"{name}_density", words, distance, expected, judged.holds)]


PLOTS = [
    Plot(
        "currents",
        "The area grows as theory says",
        "Rate of the stochastic area of clouds at rest against the strength of the force that "
        "turns them, marks with one standard error over replicas. The lines: w⟨r²⟩ for the ring, "
        "2πλ/Z for the two wells. Their densities are the same at every strength.",
        "stirred",
        "strength",
        ("area", "divergence"),
        by="system",
        theory=("area_exact", None),
        labels={
            "strength": "strength of the rotation",
            "area": "area rate",
            "divergence": "KL of density to e^(−Φ/T), nats",
        },
    ),
]
