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
from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.halves import at_rest, unrest
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
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
DENSITIES = "_density"  # how the names of claims about them end
DENSITY = 0.004  # nats that a finite learning rate may put between the density and e^{−L/D}

SOME = 0.005  # of the points, of which it is said that they are left out


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
        lost = _lost(own, system)
        doubt = _large(system) or lost
        turned = [row for row in own if row["area_exact"]]
        seen = min((abs(row["area_exact"]) for row in turned), default=None)
        claims += left_open(_current(name, turned, system), doubt)
        still = _still(name, [row for row in own if not row["area_exact"]], seen, system)
        claims += left_open(still, lost)
        if system.bins:
            claims += left_open(_density(name, own), doubt)
    holds = all_hold(claims)
    clear = [abs(_z(row)) for row in rows if row["area_exact"]]
    clearest = Measured.nothing("no current")
    if clear:
        why = next((claim.measured.why for claim in claims if claim.holds is None), "")
        unit = "standard errors from zero, at least"
        clearest = Measured(min(clear), 1.0, unit, "" if holds is not None else why)
    elif holds:  # what has no current says nothing of one
        holds = None
    words = _words(claims, len(clear), len(rows) - len(clear))
    return [Claim("current", words, clearest, "every one as below", holds), *claims]


def _words(claims: list[Claim], currents: int, controls: int) -> str:
    """The headline: first what the areas say, then the densities."""
    if not currents:
        return "no cloud that was run has a current"
    areas = all_hold([claim for claim in claims if not claim.name.endswith(DENSITIES)])
    if areas is False:
        return "the stochastic areas are not all as theory says"
    if areas is None:
        return "not all stochastic areas are known well enough"
    of_densities = [claim for claim in claims if claim.name.endswith(DENSITIES)]
    as_said = f"steady clouds circle: {currents} stochastic areas as theory says"
    if controls:
        as_said += ", and none without a cause"
    if not of_densities:
        return as_said
    densities = all_hold(of_densities)
    if densities is False:
        return f"{as_said}; but a density is not e^(−Φ/T)"
    if densities is None:
        return f"{as_said}; not all densities are known well enough"
    return as_said


def _z(row: Row) -> float:
    """The area in units of its standard error."""
    return sigmas(Measured.read(row, "area"))


def _area(row: Row, system: Stirred) -> Measured:
    """The area, its error as it is judged: of a cloud that moved while it was watched, and of few
    replicas, it is larger."""
    return of_few(at_rest(row, "area"), system.replicas - row["lost"])


def _lost(rows: Rows, system: Stirred) -> str:
    """Why nothing is said of clouds that lose points: those that stay are a choice."""
    lost = max((row["lost"] for row in rows), default=0)
    if not lost:
        return ""
    return f"{lost} of {system.replicas:,} replicas are not finite: lower sgd.learning_rate"


def _current(name: str, rows: Rows, system: Stirred) -> list[Claim]:
    """The worst of a system's currents against theory's, and the least clear."""
    if not rows:
        return []
    ratios = [_area(row, system).in_units_of(row["area_exact"]) for row in rows]
    judged = all_near(ratios, 1, system.within, f"raise systems.{name}.replicas")
    worst = rows[judged.at]
    ratio = Measured.read(worst, "area").in_units_of(worst["area_exact"])
    z = min(abs(_z(row)) for row in rows)
    words = (
        f"{name}: the area grows at {ratio} of theory's rate, at worst, and is {z:.0f} standard "
        "errors or more from 0"
    )
    expected = f"1 within {system.within:g}, more than {system.clear:g} standard errors from 0"
    holds, why = judged.holds, judged.why
    if holds is None:
        why = unrest(worst, "area") or why
    if holds and min(abs(sigmas(_area(row, system))) for row in rows) <= system.clear:
        holds, why = None, f"{z:.0f} standard errors are no more than {system.clear:g}"
    return [Claim(name, words, ratio._replace(why=why), expected, holds)]


def _large(system: Stirred) -> str:
    """Why steps are too large for the law of a force that turns a cloud; that of noise which does
    so by itself is exact at any step."""
    if system.coupling is None:
        return ""
    return too_large(system.sgd, stiffest(system.landscape), system.within)


def _still(name: str, rows: Rows, smallest: float | None, system: Stirred) -> list[Claim]:
    """The control: nothing makes the cloud circle, where the smallest of the system's currents
    would be seen."""
    if not rows:
        return []
    z = max((_z(row) for row in rows), key=abs)
    words = f"{name}: with nothing to turn it the area is {abs(z):.1f} standard errors from 0"
    expected = f"less than {STILL:g}"
    areas = [_area(row, system) for row in rows]
    holds: bool | None = max(abs(sigmas(area)) for area in areas) < STILL
    why = ""
    if holds and smallest is not None:
        error = max(area.stderr or 0.0 for area in areas)
        if STILL * error > smallest:
            holds = None
            why = f"a current of {smallest:.2g} would be missed: raise systems.{name}.replicas"
            why = next(filter(None, [unrest(row, "area") for row in rows]), why)
    return [Claim(f"{name}_still", words, Measured(z, 1.0, why=why), expected, holds)]


def _density(name: str, rows: Rows) -> list[Claim]:
    if not rows:
        return []
    distances = [at_rest(row, "divergence") for row in rows]
    # an estimate below 0 is the sample's: the distance itself is not
    apart = [
        each if each.value is None else each._replace(value=max(each.value, 0.0))
        for each in distances
    ]
    judged = all_near(apart, 0, DENSITY, f"raise systems.{name}.replicas")
    worst = rows[judged.at]
    distance = Measured.read(worst, "divergence")._replace(unit="nats")
    words = f"{name}: the density is {distance} from e^(−Φ/T), at worst"
    if distance.value is None:
        words = f"{name}: nothing is said of the density"
    elif judged.holds:
        words = (
            f"{name}: the density is within {distance} of e^(−Φ/T) at every strength of "
            f"{len(rows)}: it does not see the current"
        )
    outside = max(row.get("outside") or 0.0 for row in rows)
    if outside >= SOME:
        words += f"; {100 * outside:.0f} % of the points are beyond reach, and left out"
    why = judged.why
    if judged.holds is None and distance.value is not None:
        why = unrest(worst, "divergence") or why
    distance = distance._replace(why=why)
    expected = f"below {DENSITY:g} nats"
    return [Claim(f"{name}{DENSITIES}", words, distance, expected, judged.holds)]


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
