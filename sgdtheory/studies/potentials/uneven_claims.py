"""What is claimed of a density under uneven noise, and its picture."""

from sgdtheory.statistics.halves import at_rest, unrest
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tolerance import ROUNDING, all_near
from sgdtheory.statistics.trends import sigmas
from sgdtheory.studies.study import left_open

CLOSE = 0.005  # nats from the exact density
FURTHER = 20.0  # times as far from the nearest e^{−L/T}
APART = 2.0  # relaxation times between looks: of a mode e⁻² is left, of its square 2 %
WALLS = CLOSE**0.5  # of the points outside: densities that differ in a share s are s² nats apart
SHIFT = 0.05  # of a mode, relative to its prediction


def claims_of(name: str, row: Row, modes: Rows) -> list[Claim]:
    """The density, and where it is highest."""
    claims = [_distance(name, row), *_shift(name, modes)]
    return left_open(claims, _doubt(name, row))


def _doubt(name: str, row: Row) -> str:
    """Why nothing is said of a cloud: looks that are too close to be independent, or points of
    which too many are outside, where the equation has walls; empty where neither is so."""
    apart = row.get("relaxations_apart", APART)
    if apart < APART * (1 - ROUNDING):
        return (
            f"looks are {apart:.2g} relaxation times apart, and are counted as independent: raise "
            f"systems.{name}.spacing to {APART:g}"
        )
    outside = row.get("lost", 0) / (row.get("lost", 0) + row["points"])
    if outside > WALLS:
        return f"{100 * outside:.0f} % of the points are outside: raise systems.{name}.reach"
    return ""


def _distance(name: str, row: Row) -> Claim:
    expected = f"below {CLOSE:g}, e^(−L/T) more than {FURTHER:g} times as far (two errors added)"
    exact = Measured.read(row, "divergence")._replace(unit="nats")
    gibbs = Measured.read(row, "from_gibbs")
    for number in (exact, gibbs):
        if number.value is None:
            words = f"{name}: nothing is said of the density"
            return Claim(f"{name}_density", words, number, expected, None)
    assert exact.value is not None and exact.stderr is not None and gibbs.value is not None
    error = at_rest(row, "divergence").stderr or 0.0
    farthest = max(exact.value, 0.0) + 2 * error
    nearest = max(exact.value - 2 * error, 0.0)
    alike = gibbs.value + 2 * (gibbs.stderr or exact.stderr)
    holds = None
    if farthest < CLOSE and gibbs.value > FURTHER * farthest:
        holds = True
    elif nearest >= CLOSE or gibbs.value <= FURTHER * nearest or max(farthest, alike) < CLOSE:
        holds = False  # not the exact one, or as good as e^(−L/T)
    else:
        why = f"its error does not let it be said: raise systems.{name}.replicas"
        exact = exact._replace(why=unrest(row, "divergence") or why)
    words = (
        f"{name}: the density of {row['points']:,} points is {exact} from the exact one, "
        f"{gibbs.value:.3f} from the nearest e^(−L/T)"
    )
    return Claim(f"{name}_density", words, exact, expected, holds)


def _shift(name: str, rows: Rows) -> list[Claim]:
    """Where a single mode stands against −T·C′/L″; between two wells no more than its picture."""
    if len(rows) != 1:
        return []
    (row,) = rows
    shift = Measured.read(row, "shift")
    if shift.value is None:
        return [Claim(f"{name}_mode", f"{name}: no mode", shift, "a mode", None)]
    ratio = shift.in_units_of(row["shift_first_order"])
    _, holds, why = all_near([ratio], 1, SHIFT, f"raise systems.{name}.replicas")
    words = (
        f"{name}: the likeliest point is {shift} from the loss's minimum, {ratio} times the "
        f"prediction, {abs(sigmas(shift)):.0f} standard errors from it"
    )
    expected = f"1 within {SHIFT:g}"
    return [Claim(f"{name}_mode", words, ratio._replace(why=why), expected, holds)]


def plot_of(name: str) -> Plot:
    """Φ of a cloud, of the equation, and L, of the part of this name."""
    return Plot(
        f"potential_{name}",
        f"The potential that SGD descends is not the loss: {name}",
        "Φ = −T log ρ of the cloud (marks, one standard error) and of the exact steady state "
        "(line through them), and the loss L. Where the noise is weaker Φ is lower, whatever L "
        "is. The units are such that the noise is about one.",
        f"drawn_{name}",
        "u",
        ("height",),
        by="curve",
        theory=("exact",),
        labels={"u": "u", "height": "energy"},
    )
