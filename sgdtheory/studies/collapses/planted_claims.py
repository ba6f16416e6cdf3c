"""What is claimed of linear regression's collapse and of its temperature."""

from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import crossing, sigmas

THRESHOLD = 0.02  # of η_c, relative
WARM = 0.05  # of T, relative, beside three of its errors
SIGMAS = 3.0
COLD = 1e-3  # times the temperature of the start, which is about one


def claims_of(growth: Rows, temperatures: Rows) -> list[Claim]:
    """Of each regression without noise where it collapses, of each with noise how warm it is."""
    claims = []
    for name, rows in grouped(growth, "regression").items():
        ordered = sorted(rows, key=lambda row: float(row["rate"]))
        claims += [_threshold(name, ordered), _typical(name, ordered)]
    for name, rows in grouped(temperatures, "regression").items():
        warm = [row for row in rows if row["exact"] is not None]
        if warm:
            claims.append(_warm(name, warm))
    return claims


def _threshold(name: str, rows: Rows) -> Claim:
    """The η at which the second moment stops to shrink, in units of that of radius one."""
    points = [(float(row["rate"]), Measured.read(row, "growth")) for row in rows]
    found = crossing(points, 0.0, "the second moment shrinks, or grows, at every η")
    if found.value is None:
        return Claim(f"{name}_threshold", f"{name}: no threshold", found, "1", None)
    worst = max(abs(_off(row)) for row in rows)
    words = (
        f"{name}: the second moment collapses below {found} of the η where the radius of its map "
        f"is 1; its {len(rows)} rates of growth are within {worst:.1f} errors of log radius"
    )
    expected = f"1 within {THRESHOLD:g}"
    holds = abs(found.value - 1) < THRESHOLD and worst < SIGMAS + 1
    return Claim(f"{name}_threshold", words, found, expected, holds)


def _off(row: Row) -> float:
    growth = Measured.read(row, "growth")
    assert growth.value is not None
    return sigmas(growth._replace(value=growth.value - row["exact"]))


def _typical(name: str, rows: Rows) -> Claim:
    """At η_c itself a typical point collapses still: what the second moment is carried by is
    rare."""
    row = min(rows, key=lambda each: abs(float(each["rate"]) - 1))
    typical = Measured.read(row, "typical")
    words = (
        f"{name}: at {row['rate']:g} of that η log|Δ|² of a typical point grows by {typical} a "
        "step, so points collapse beyond it: the radius tells of their second moment alone"
    )
    expected = f"below 0 by {SIGMAS:g} standard errors"
    return Claim(f"{name}_typical", words, typical, expected, sigmas(typical) < -SIGMAS)


def _warm(name: str, rows: Rows) -> Claim:
    """T with noise at the minimum against the exact fixed point; it rises with η."""
    ordered = sorted(rows, key=lambda row: float(row["rate"]))
    worst = max(ordered, key=lambda row: abs(row["temperature"] / row["exact"] - 1))
    ratio = Measured.read(worst, "temperature").in_units_of(worst["exact"])
    heights = [row["temperature"] for row in ordered]
    words = (
        f"{name}: T = 2⟨L − L*⟩/n rises from {heights[0]:.3g} to {heights[-1]:.3g} with η, at "
        f"worst {ratio} times the exact fixed point's"
    )
    assert ratio.value is not None and ratio.stderr is not None
    _, holds, why = all_near([ratio], 1, WARM, "raise replicas")
    if abs(ratio.value - 1) >= SIGMAS * ratio.stderr or heights != sorted(heights):
        holds = False
    expected = f"1 within {SIGMAS:g} errors and {WARM:g}, and rising"
    return Claim(f"{name}_temperature", words, ratio._replace(why=why), expected, holds)


PLOTS = [
    Plot(
        "temperatures",
        "Label noise keeps a cloud warm, without it there is a threshold",
        "T = 2⟨L − L*⟩/n of linear regression on ten principal components of digits against the "
        "learning rate, in units of the η_c at which the radius of the map of second moments is "
        "one; marks with one standard error. With noise at the minimum (line: the exact fixed "
        "point) T rises with η. Where every example can be met the cloud started at about one: "
        "below η_c it goes, the faster the nearer to nine tenths of it, above it has run away.",
        "temperatures",
        "rate",
        ("temperature",),
        by="regression",
        log="y",
        theory=("exact",),
        labels={"rate": "η/η_c", "temperature": "T = 2⟨L − L*⟩/n"},
        joined=False,
    ),
    Plot(
        "growth",
        "The second moment collapses below η_c, a typical point a little beyond",
        "By how much log⟨ΔᵀVΔ⟩ (left, the line is the log of the map's radius) and log|Δ|² of a "
        "typical point (right) grow in a step, where every example is met at the minimum. Above "
        "η_c the second moment grows and is carried by ever rarer points.",
        "growth",
        "rate",
        ("growth", "typical"),
        by="regression",
        theory=("exact", None),
        level=0.0,
        labels={
            "rate": "η/η_c",
            "growth": "growth of the second moment",
            "typical": "growth of a typical point",
        },
    ),
]
