"""What paths between the minima of networks of several shapes say about width and depth."""

from typing import Any

from sgdtheory.measured import Claim, Measured
from sgdtheory.studies.study import SIGMAS, higher, ratio, row_of
from sgdtheory.sweep.fit import Point, fit_power_law

FACTOR = 5.0  # by which the excess of the narrowest is above that of the widest (the project's table)
FLAT = 0.005  # of the straight line's barrier: a path below this is flat (the project's interface)


def name_of(hidden: list[int]) -> str:
    """16-16"""
    return "-".join(map(str, hidden))


def shape_row(hidden: list[int], result: dict[str, Any]) -> dict[str, Any]:
    """One row a shape: means over its paths with their standard errors, each path counted as independent."""
    rows, losses = result["rows"], result["minima"]
    excess = Measured.mean([row["excess"]["value"] for row in rows], "nats")
    straight = Measured.mean([row["straight"] for row in rows], "nats")
    ratios = Measured.mean([row["length_ratio"] for row in rows])
    named = {"hidden": name_of(hidden), "parameters": result["parameters"], "lowest": losses["lowest"]}
    measured = row_of(named, excess=excess, straight=straight, length_ratio=ratios)
    return measured | {"highest_kept": losses["highest_kept"], "width": max(hidden), "depth": len(hidden)}


def by_width(shapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shapes with one hidden layer, the narrowest first."""
    return sorted((row for row in shapes if row["depth"] == 1), key=lambda row: row["width"])


def by_depth(shapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shapes of that one width which has the most depths, the shallowest first; none where no width has two."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in shapes:
        groups.setdefault(row["width"], []).append(row)
    most = max(groups.values(), key=len, default=[])
    return sorted(most, key=lambda row: row["depth"]) if len(most) > 1 else []


def claims(shapes: list[dict[str, Any]]) -> list[Claim]:
    """That excess and straight lines fall with width, and what depth does."""
    wide = by_width(shapes)
    if len(wide) < 2:
        nothing = Measured.nothing("one shape with one hidden layer cannot be compared")
        return [Claim("excess", "nothing is said of width", nothing, f"> {FACTOR:g}", None)]
    first, last = wide[0], wide[-1]
    between = f"from width {first['width']} to {last['width']}"
    found = ratio(_of(first, "excess"), _of(last, "excess"), f"no excess at width {last['width']}")
    holds = first["excess"] > FACTOR * max(last["excess"], 0.0)
    words = f"the barrier on the path {_falls(holds)} {between}: {_told(wide, 'excess')} nats"
    said = [Claim("excess", words, found, f"more than {FACTOR:g} times as high at the narrowest", holds), _lines(wide, between)]
    return [*said, _depth_claim(by_depth(shapes))] if by_depth(shapes) else said


def _lines(wide: list[dict[str, Any]], between: str) -> Claim:
    """The power of the width that the straight line's barrier goes as, all widths together."""
    fit = fit_power_law([Point(row["width"], row["straight"], row.get("straight_stderr") or 0.0) for row in wide])
    if isinstance(fit, str):
        slope, falls = Measured.nothing("a power law needs three widths"), None
    else:
        slope, falls = Measured(fit.slope, fit.slope_stderr), fit.slope + SIGMAS * fit.slope_stderr < 0
    how = "is" if falls is None else _falls(falls)
    words = f"the straight line's barrier {how} {between}: {_told(wide, 'straight')} nats"
    return Claim("straight", words, slope, "a negative power of the width", falls)


def _depth_claim(deep: list[dict[str, Any]]) -> Claim:
    """That straight lines rise with depth while the paths stay flat beside them; of CNNs the paper says they even fall."""
    first, last = deep[0], deep[-1]
    shares = [ratio(_of(row, "excess"), _of(row, "straight"), "the straight line has no barrier") for row in deep]
    words = (
        f"width {first['width']}, {first['depth']} to {last['depth']} hidden layers: the straight line's barrier is "
        f"{_told(deep, 'straight')} nats, the path's {_told(deep, 'excess')}"
    )
    flat = all(share.value is not None and share.value <= FLAT for share in shares)
    rising = higher(_of(last, "straight"), _of(first, "straight"))
    expected = f"the straight line's rising, the path's at most {100 * FLAT:g} % of it at every depth"
    return Claim("depth", words, shares[-1], expected, None if rising is None else rising and flat)


def _of(row: dict[str, Any], name: str) -> Measured:
    return Measured(row[name], row.get(f"{name}_stderr"))


def _told(rows: list[dict[str, Any]], name: str) -> str:
    return ", ".join(f"{row[name]:.2g}" for row in rows)


def _falls(holds: bool) -> str:
    return "falls" if holds else "does not fall"
