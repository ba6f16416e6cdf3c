"""What is claimed of linear regression's collapse and of its temperature."""

from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.statistics.tolerance import all_near, doubt, near
from sgdtheory.statistics.trends import ascend, crossing, sigmas

THRESHOLD = 0.02  # of η_c, relative
WARM = 0.05  # of T, relative, beside three of its errors
SIGMAS = 3.0
ROUNDING = 1e-9  # of a rate in units of η_c, and of a log radius
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
    rates = [float(row["rate"]) for row in rows]
    growth = [Measured.read(row, "growth") for row in rows]
    exact = [Measured(_rounded(row["exact"])) for row in rows]
    why = "the second moment shrinks, or grows, at every η: give learning_rates on both sides of 1"
    found = crossing(list(zip(rates, growth, strict=True)), 0.0, why)
    # a straight line between coarse rates passes 0 elsewhere than the curve, the exact one's too
    line = crossing(list(zip(rates, exact, strict=True)), 0.0, why)
    worst = max(abs(_off(row)) for row in rows)
    refuted = worst >= SIGMAS + 1 or any(_on_the_wrong_side(row) for row in rows)
    if found.value is None or line.value is None:
        unknown = Measured.nothing(why)
        holds = False if refuted else None
        return Claim(f"{name}_threshold", f"{name}: no threshold", unknown, "1", holds)
    found = found.in_units_of(line.value)
    words = (
        f"{name}: the second moment collapses below {found} of the η where the radius of its map "
        f"is 1; its {len(rows)} rates of growth are within {worst:.1f} errors of log radius"
    )
    expected = f"1 within {THRESHOLD:g}"
    holds = near(found, 1, THRESHOLD)
    if refuted:
        holds = False
    if holds is None:
        found = found._replace(why=doubt(found, THRESHOLD, "raise replicas"))
    return Claim(f"{name}_threshold", words, found, expected, holds)


def _rounded(radius: float) -> float:
    """A log radius, 0 where it is so to rounding."""
    return radius if abs(radius) > ROUNDING else 0.0


def _on_the_wrong_side(row: Row) -> bool:
    """Whether the radius is above 1 below η_c, or below 1 above it."""
    beyond = float(row["rate"]) - 1
    radius = float(row["exact"])
    return min(abs(beyond), abs(radius)) > ROUNDING and (beyond > 0) != (radius > 0)


def _off(row: Row) -> float:
    growth = Measured.read(row, "growth")
    assert growth.value is not None
    return sigmas(growth._replace(value=growth.value - row["exact"]))


def _typical(name: str, rows: Rows) -> Claim:
    """At η_c itself a typical point collapses still: what the second moment is carried by is
    rare. Below η_c it must, and beyond it need not at every η."""
    expected = f"below 0 by {SIGMAS:g} standard errors"
    row = next((each for each in rows if float(each["rate"]) > 1 - ROUNDING), None)
    if row is None:
        unknown = Measured.nothing("no η is at η_c: add 1 to learning_rates")
        return Claim(f"{name}_typical", f"{name}: {unknown.why}", unknown, expected, None)
    typical = Measured.read(row, "typical")
    holds = None
    if sigmas(typical) < -SIGMAS:
        holds = True
    elif float(row["rate"]) > 1 + ROUNDING:
        typical = typical._replace(why="that η is beyond η_c: add 1 to learning_rates")
    elif sigmas(typical) > SIGMAS:
        holds = False
    else:
        typical = typical._replace(why="within its errors it may be 0: raise replicas")
    words = (
        f"{name}: at {row['rate']:g} of that η log|Δ|² of a typical point grows by {typical} a "
        "step, so points collapse beyond it: the radius tells of their second moment alone"
    )
    return Claim(f"{name}_typical", words, typical, expected, holds)


def _warm(name: str, rows: Rows) -> Claim:
    """T with noise at the minimum against the exact fixed point; it rises with η."""
    ordered = sorted(rows, key=lambda row: float(row["rate"]))
    heights = [Measured.read(row, "temperature") for row in ordered]
    ratios = [
        height.in_units_of(row["exact"]) for height, row in zip(heights, ordered, strict=True)
    ]
    at, holds, why = all_near(ratios, 1, WARM, "raise replicas")
    ratio = ratios[at]
    words = (
        f"{name}: T = 2⟨L − L*⟩/n rises from {heights[0].value:.3g} to {heights[-1].value:.3g} "
        f"with η, at worst {ratio} times the exact fixed point's"
    )
    rising = True if len(heights) == 1 else ascend(heights)
    if rising is False or any(_errors_from_one(each) >= SIGMAS for each in ratios):
        holds = False
    elif holds and rising is None:
        holds, why = None, "its rise is within two errors: raise replicas"
    expected = f"1 within {SIGMAS:g} errors and {WARM:g}, and rising"
    return Claim(f"{name}_temperature", words, ratio._replace(why=why), expected, holds)


def _errors_from_one(ratio: Measured) -> float:
    """How many standard errors a number with an error is from 1."""
    assert ratio.value is not None and ratio.stderr is not None
    return abs(ratio.value - 1) / ratio.stderr


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
