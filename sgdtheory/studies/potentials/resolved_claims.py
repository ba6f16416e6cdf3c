"""What is claimed of SGD's potential on real data, and its pictures."""

from math import inf

from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.statistics.trends import above, sigmas

UNLIKE = 0.9  # cosine that T·Σ⁻¹ and H are below
SIGMAS = 3.0
POTENTIALS = ("Φ", "L")


def claims_of(name: str, row: Row, energies: Rows) -> list[Claim]:
    """Φ is not L, it is what theory says, and SGD descends it."""
    return [_unlike(name, row), _as_theory(name, row), _falls(name, energies)]


def _unlike(name: str, row: Row) -> Claim:
    found = Measured.read(row, "to_hessian")
    assert found.value is not None and found.stderr is not None
    words = (
        f"{name}: in the {row['directions']} steepest directions the cosine of T·Σ⁻¹ and H is "
        f"{found}"
    )
    away = (UNLIKE - found.value) / found.stderr if found.stderr else inf
    holds = None
    if abs(away) > SIGMAS:
        holds = found.value < UNLIKE
    else:
        found = found._replace(why=_doubt(name))
    expected = f"below {UNLIKE:g} by {SIGMAS:g} standard errors"
    return Claim(f"{name}_not_the_loss", words, found, expected, holds)


def _as_theory(name: str, row: Row) -> Claim:
    """Nearer to the Lyapunov answer with C at the minimum, which is no fit."""
    found = Measured.read(row, "to_theory")
    assert found.value is not None
    known = row["theory_to_hessian"]
    words = (
        f"{name}: that of T·Σ⁻¹ and the Lyapunov answer for H and C at the minimum is {found}, "
        f"that of the answer and H {known:.3f}"
    )
    holds = above(found, max(UNLIKE, known))
    if holds is None:
        found = found._replace(why=_doubt(name))
    return Claim(f"{name}_theory", words, found, f"above {UNLIKE:g}, and above that with H", holds)


def _doubt(name: str) -> str:
    return f"its errors do not let it be said: raise systems.{name}.replicas"


def _falls(name: str, rows: Rows) -> Claim:
    """F with the true Φ falls all the way, and with L in its place it rises."""
    by_potential = grouped(rows, "potential")
    true = Measured.read(by_potential["Φ"][-1], "since_start")
    loss = Measured.read(by_potential["L"][-1], "since_start")
    rises = [sigmas(Measured.read(row, "since_last")) for row in by_potential["Φ"][1:]]
    words = (
        f"{name}: from e^(−L/T) on E[Φ]/T − S changes by {true} nats, no step of "
        f"{len(rises)} up by more than {max(0.0, max(rises)):.1f} errors; E[L]/T − S by {loss}"
    )
    holds = None
    if max(sigmas(true), -sigmas(loss), *rises) >= SIGMAS:
        holds = False
    elif sigmas(true) < -SIGMAS and sigmas(loss) > SIGMAS:
        holds = True
    else:
        true = true._replace(why=_doubt(name))
    expected = f"down, and up, by more than {SIGMAS:g} standard errors"
    return Claim(f"{name}_free_energy", words, true, expected, holds)


PLOTS = [
    Plot(
        "free_energies",
        "The free energy falls with the true potential, not with the loss",
        "F/T = E[Φ]/T − S of a cloud that starts in e^(−L/T), in the steepest directions of a "
        "minimum on real data, up to a constant of each: with Φ = −T log ρ of the steady state, "
        "and with L (over the mean noise) in its place. e^(−L/T) is where the second one is "
        "lowest, so SGD can only raise it. Marks with one standard error over replicas.",
        "energies",
        "time",
        ("since_start",),
        by="potential",
        labels={"time": "time η·step", "since_start": "F/T less its start, nats"},
    ),
    Plot(
        "resolved",
        "Along the steepest directions the potential is not the loss",
        "Curvature of Φ along eigenvectors of the loss, over its mean (marks, one standard error, "
        "and the Lyapunov answer as a line), and the loss's own: noise is strong where the loss is "
        "steep, and so Φ is not steepest there.",
        "diagonals",
        "direction",
        ("along",),
        by="of",
        theory=("exact",),
        labels={
            "direction": "eigenvector of the loss, the steepest first",
            "along": "curvature along it, over their mean",
        },
        joined=False,
    ),
]
