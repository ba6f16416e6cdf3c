"""What is claimed of barriers against the width and the depth of networks."""

from collections.abc import Mapping

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.power_law import Point, fit_power_law
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import above, difference, every, ranked_above, ratio

# by which the excess of the narrowest is above that of the widest (the project's table)
FACTOR = 5.0
FLAT = 0.005  # of the straight line's barrier: a path below this is flat (the project's interface)


def by_width(shapes: Rows) -> Rows:
    """The shapes with one hidden layer, the narrowest first."""
    return sorted((row for row in shapes if row["depth"] == 1), key=lambda row: row["width"])


def by_depth(shapes: Rows) -> Rows:
    """The shapes of that one width which has the most depths, the shallowest first; none where no
    width has two.
    """
    most = max(grouped(shapes, "width").values(), key=len, default=[])
    if len(most) > 1:
        return sorted(most, key=lambda row: row["depth"])
    return []


def claims_of(shapes: Rows, paths: Rows) -> list[Claim]:
    """Excess and straight lines fall with width; and the effect of depth."""
    wide = by_width(shapes)
    if len(wide) < 2:
        unknown = Measured.nothing("one shape with one hidden layer cannot be compared")
        return [Claim("excess", "nothing is said of width", unknown, f"> {FACTOR:g}", None)]
    between = f"from width {wide[0]['width']} to {wide[-1]['width']}"
    claims = [_excess(wide, grouped(paths, "hidden"), between), _lines(wide, between)]
    deep = by_depth(shapes)
    return [*claims, _depth_claim(deep)] if deep else claims


def _excess(wide: Rows, paths: Mapping[str, Rows], between: str) -> Claim:
    """The excess of the narrowest against that of the widest, path by path: a few high ones carry
    the mean, whose error then says little."""
    first = wide[0]
    last = wide[-1]
    highest = Measured.read(first, "excess")
    lowest = Measured.read(last, "excess")
    fall = ratio(highest, lowest, f"no excess at width {last['width']}")
    narrow = _excesses(paths.get(first["hidden"], []))
    holds = ranked_above(
        narrow, [FACTOR * each for each in _excesses(paths.get(last["hidden"], []))]
    )
    if ranked_above(narrow, [0.0] * len(narrow)) is not True:
        holds = None
        fall = fall._replace(why=f"no barrier is seen at width {first['width']}: nothing can fall")
    elif holds is None:
        why = f"the paths of {len(narrow)} pairs do not tell: raise trained and kept"
        fall = fall._replace(why=why)
    barriers = _told(wide, "excess")
    words = f"the barrier on the path {_falls(holds)} {between}: {barriers} nats"
    expected = f"more than {FACTOR:g} times as high at the narrowest"
    return Claim("excess", words, fall, expected, holds)


def _excesses(paths: Rows) -> list[float]:
    """The excess of each path, nought at least; none where one is not known."""
    numbers = [row["excess"]["value"] for row in paths]
    if None in numbers:
        return []
    return [max(0.0, number) for number in numbers]


def _lines(wide: Rows, between: str) -> Claim:
    """The power of the width that the straight line's barrier goes as, all widths together."""
    points = []
    for row in wide:
        points.append(Point(row["width"], row["straight"], row.get("straight_stderr") or 0.0))
    fit = fit_power_law(points)
    slope = Measured.nothing("a power law needs three widths")
    falls = None
    if not isinstance(fit, str):
        slope = Measured(fit.slope, fit.slope_stderr)
        falls = above(Measured(-fit.slope, fit.slope_stderr), 0.0)
        if falls is None:
            slope = slope._replace(why="it may be 0 within two errors: raise trained and kept")
    words = f"the straight line's barrier {_falls(falls)} {between}: {_told(wide, 'straight')} nats"
    return Claim("straight", words, slope, "a negative power of the width", falls)


def _depth_claim(deep: Rows) -> Claim:
    """Straight lines rise with depth while the paths stay flat in comparison; those of CNNs even
    fall, says the paper.
    """
    first = deep[0]
    last = deep[-1]
    straight = [Measured.read(row, "straight") for row in deep]
    shares = []
    for row, line in zip(deep, straight, strict=True):
        excess = Measured.read(row, "excess")
        shares.append(ratio(excess, line, "the straight line has no barrier"))
    words = (
        f"width {first['width']}, {first['depth']} to {last['depth']} hidden layers: the straight "
        f"line's barrier is {_told(deep, 'straight')} nats, the path's {_told(deep, 'excess')}"
    )
    at, flat, why = all_near(shares, 0, FLAT, "raise trained and kept")
    rising = above(difference(straight[-1], straight[0]), 0.0)
    expected = (
        f"the straight line's rising, the path's at most {100 * FLAT:g} % of it at every depth"
    )
    share = shares[-1]
    holds = every([flat, rising])
    if holds is None and flat is None:
        share = shares[at]._replace(why=why)
    elif holds is None:
        share = share._replace(why="the straight line may not rise: raise trained and kept")
    return Claim("depth", words, share, expected, holds)


def _told(rows: Rows, name: str) -> str:
    return ", ".join("–" if row[name] is None else f"{row[name]:.2g}" for row in rows)


def _falls(holds: bool | None) -> str:
    if holds is None:
        return "is"
    return "falls" if holds else "does not fall"
