"""What is claimed of barriers against the width and the depth of networks."""

from collections.abc import Mapping

from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.power_law import LEAST, Point, fit_power_law
from sgdtheory.statistics.ranks import ranked_above
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import above, difference, every, ratio
from sgdtheory.studies.study import without_verdict

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
    if deep:
        claims.append(_depth_claim(deep))
    return without_verdict(claims, _doubts(shapes))


def _doubts(shapes: Rows) -> str:
    """Which networks are no minima, since they have not learned what they were given; empty where
    all have."""
    poor = [row for row in shapes if row.get("untrained")]
    if not poor:
        return ""
    names = ", ".join(row["hidden"] for row in poor)
    return f"networks are not trained (hidden {names}: {poor[0]['untrained']}): raise sgd.steps"


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
        barrier = row["straight"] or 0.0
        points.append(Point(row["width"], barrier, row.get("straight_stderr") or 0.0))
    fit = fit_power_law(points)
    slope = Measured.nothing(_no_law(wide))
    falls = None
    if not isinstance(fit, str):
        slope = Measured(fit.slope, fit.slope_stderr)
        # where widths scatter more than their pairs say, the error is that of the widths
        errors_of = fit.cells - 1 if fit.chi2_per_dof > 1 else min(row["joined"] for row in wide)
        falls = above(of_few(Measured(-fit.slope, fit.slope_stderr), errors_of), 0.0)
        if falls is None:
            slope = slope._replace(why="it may be 0 within two errors: raise trained and kept")
    words = f"the straight line's barrier {_falls(falls)} {between}: {_told(wide, 'straight')} nats"
    return Claim("straight", words, slope, "a negative power of the width", falls)


def _no_law(wide: Rows) -> str:
    """Why no power law goes through the barriers of the straight lines."""
    if len(wide) < LEAST:
        return f"a power law needs {LEAST} widths"
    level = [row for row in wide if not (row["straight"] or 0.0) > 0]
    if len(wide) - len(level) < LEAST:
        at = ", ".join(f"{row['width']}" for row in level)
        return f"the straight line has no barrier at width {at}: {LEAST} widths need one"
    return "the barrier of a single line has no error: raise kept"


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
    judged = [_of_pairs(share, row) for share, row in zip(shares, deep, strict=True)]
    at, flat, why = all_near(judged, 0, FLAT, "raise trained and kept")
    rising = above(difference(_of_pairs(straight[-1], last), _of_pairs(straight[0], first)), 0.0)
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


def _of_pairs(number: Measured, row: Row) -> Measured:
    """A mean over the few pairs of a shape, as it is judged."""
    return of_few(number, row["joined"], "a single path has no error: raise kept")


def _told(rows: Rows, name: str) -> str:
    numbers = column_of(rows, name)
    return ", ".join("–" if number is None else f"{number:.2g}" for number in numbers)


def _falls(holds: bool | None) -> str:
    if holds is None:
        return "is"
    return "falls" if holds else "does not fall"
