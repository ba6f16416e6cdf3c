"""What stochastic areas say of a cloud at rest: claims and pictures of the study of currents."""

from collections.abc import Mapping
from typing import Any

from sgdtheory.fokker_planck.area import sigmas
from sgdtheory.measured import Claim, Measured, Plot
from sgdtheory.studies.parts.stirred import Stirred

STILL = 4.0  # standard errors that an area may be from zero where there is no current
DENSITY = 0.004  # nats that a finite learning rate may put between the density and e^{−L/D}
Row = Mapping[str, Any]


def claims(rows: list[dict[str, Any]], systems: Mapping[str, Stirred]) -> list[Claim]:
    """All systems together, then each: its currents, its control, its density."""
    each = []
    for name, system in systems.items():
        own = [row for row in rows if row["system"] == name]
        each += [
            *_current(name, [row for row in own if row["area_exact"]], system),
            *_still(name, [row for row in own if not row["area_exact"]]),
            *_density(name, [row for row in own if row["divergence"] is not None]),
        ]
    if not each:
        return [Claim("current", "nothing is finished", Measured.nothing("nothing is finished"), "", None)]
    verdicts = [claim.holds for claim in each]
    holds = False if False in verdicts else None if None in verdicts else True
    clear = [abs(sigmas(_area(row))) for row in rows if row["area_exact"]]
    words = f"steady clouds circle: {len(clear)} stochastic areas as theory says, and none without a cause"
    told = words if holds else "the stochastic areas are not all as theory says"
    found = Measured(min(clear), 1.0, "standard errors from zero, at least") if clear else Measured.nothing("no current")
    return [Claim("current", told, found, "every one as below", holds), *each]


def _area(row: Row) -> Measured:
    return Measured(row["area"], row.get("area_stderr"), "", row.get("area_why", ""))


def _current(name: str, rows: list[dict[str, Any]], system: Stirred) -> list[Claim]:
    """The worst of a system's currents against theory's, and the least clear."""
    if not rows:
        return []
    worst = max(rows, key=lambda row: abs(row["area"] / row["area_exact"] - 1))
    least = min(rows, key=lambda row: abs(sigmas(_area(row))))
    ratio = Measured(worst["area"] / worst["area_exact"], worst["area_stderr"] / abs(worst["area_exact"]))
    z = abs(sigmas(_area(least)))
    words = f"{name}: the area grows at {ratio} of theory's rate, at worst, and is {z:.0f} standard errors or more from 0"
    expected = f"1 within {system.within:g}, more than {system.clear:g} standard errors from 0"
    assert ratio.value is not None
    return [Claim(name, words, ratio, expected, abs(ratio.value - 1) < system.within and z > system.clear)]


def _still(name: str, rows: list[dict[str, Any]]) -> list[Claim]:
    """The control."""
    if not rows:
        return []
    z = max((sigmas(_area(row)) for row in rows), key=abs)
    words = f"{name}: with nothing to turn it the area is {abs(z):.1f} standard errors from 0"
    return [Claim(f"{name}_still", words, Measured(z, 1.0), f"less than {STILL:g}", abs(z) < STILL)]


def _density(name: str, rows: list[dict[str, Any]]) -> list[Claim]:
    if not rows:
        return []
    worst = max(rows, key=lambda row: row["divergence"])
    found = Measured(worst["divergence"], worst.get("divergence_stderr"), "nats")
    words = f"{name}: the density is within {found} of e^(−Φ/T) at every strength of {len(rows)}: it does not see the current"
    return [Claim(f"{name}_density", words, found, f"below {DENSITY:g} nats", worst["divergence"] < DENSITY)]


PLOTS = [
    Plot(
        "currents", "The area grows as theory says",
        "Rate of the stochastic area of clouds at rest against the strength of the force that turns them, marks with one "
        "standard error over replicas. The lines: w⟨r²⟩ for the ring, 2πλ/Z for the two wells. Their densities are the "
        "same at every strength.",
        "stirred", "strength", ("area", "divergence"), by="system", theory=("area_exact", None),
        labels={"strength": "strength of the rotation", "area": "area rate", "divergence": "KL of density to e^(−Φ/T), nats"},
    ),
]  # fmt: skip
