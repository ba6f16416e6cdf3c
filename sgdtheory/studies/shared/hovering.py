"""What descents are said to do at their edge of stability, and whether they do."""

from typing import NamedTuple

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, known
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import above, ascend, every

EDGE = 0.1  # of the edge: how near descent and batches are to hover to it
ADAPTIVE = 0.15  # and optimisers whose edge moves with their state
EXACT = 1e-12  # relative: thresholds on a parabola, to rounding


class Hovering(NamedTuple):
    """What the descents of a kind are said to do."""

    name: str
    words: str
    column: str = "curvature"
    within: float = EDGE
    highest: str = "highest"  # the column that says how far up a descent has been


HOVER = {
    "SGD": Hovering("descent", "full-batch descent's largest curvature is {} of 2(1+μ)/η at worst"),
    "Adam": Hovering(
        "adam",
        "Adam's largest preconditioned curvature is {} of (2+2β₁)/((1−β₁)η)",
        within=ADAPTIVE,
    ),
    "SAM": Hovering("sam", "SAM's largest curvature is {} of its own edge", within=ADAPTIVE),
    "batches": Hovering(
        "batches",
        "where SGD's largest eigenvalue is below the edge, batches have {} of 2/η as curvature "
        "along their own gradients at worst",
        "batches",
        highest="highest_batches",
    ),
}
CRITICAL = Hovering(
    "critical", "and the critical sharpness of full-batch descent is {} at worst", "critical"
)


def claims_of(runs: Rows, sizes: Rows, thresholds: Rows) -> list[Claim]:
    """Every kind of descent at its edge; the largest curvature of SGD below, by batch size; the
    control; and thresholds on parabolas."""
    claims = []
    for kind, own in grouped(runs, "kind").items():
        if kind == "batches":
            own = [run for run in own if _is_below(run)]
        if kind != "below" and own:
            claims.append(_hovers(HOVER.get(kind, _unknown(kind)), own))
        if kind == "SGD":
            claims.append(_hovers(CRITICAL, own))
    if len(sizes) > 1:
        claims.append(_suppressed(sizes))
    claims += [_control(run) for run in runs if run["kind"] == "below"]
    if thresholds:
        claims.append(_exact(thresholds))
    return claims


def _is_below(run: Row) -> bool:
    """Whether the largest eigenvalue is clearly below the edge, so that batches are what is at
    it."""
    return above(Measured.read(run, "curvature"), 1 - EDGE) is False


def _unknown(kind: str) -> Hovering:
    """An optimiser of somebody's own."""
    words = f"{kind}'s largest curvature is {{}} of its edge"
    return Hovering(kind.lower(), words, within=ADAPTIVE)


def _hovers(hovering: Hovering, runs: Rows) -> Claim:
    expected = f"within {100 * hovering.within:g} % of the edge, mean over the last half"
    name = hovering.name
    measured = known(runs, hovering.column)
    if len(measured) < len(runs):
        missing = next(run for run in runs if run not in measured)
        unknown = Measured.read(missing, hovering.column)
        return Claim(name, hovering.words.format(unknown), unknown, expected, None)
    come = [run for run in runs if run[hovering.highest] >= 1 - hovering.within]
    numbers = [Measured.read(run, hovering.column) for run in come or runs]
    judged = all_near(numbers, 1, hovering.within, "take more steps or looks")
    if len(come) < len(runs) and not (come and judged.holds is False):
        return _on_the_way(hovering, runs, expected)
    number = numbers[judged.at]
    words = f"{hovering.words.format(number)} ({come[judged.at]['descent']})"
    return Claim(name, words, number._replace(why=judged.why), expected, judged.holds)


def _on_the_way(hovering: Hovering, runs: Rows, expected: str) -> Claim:
    """A descent that has not come to its edge at any look says nothing of what it does there."""
    run = min(runs, key=lambda each: float(each[hovering.highest]))
    number = Measured.read(run, hovering.column)
    name = run["descent"]
    why = (
        f"{name} has come to {run[hovering.highest]:.2g} of its edge at most: train longer, raise "
        f"descents.{name}.sgd.steps"
    )
    words = f"{hovering.words.format(number)} ({name}), which has not come there yet"
    return Claim(hovering.name, words, number._replace(why=why), expected, None)


def _suppressed(sizes: Rows) -> Claim:
    """The largest eigenvalue rises with b towards the edge."""
    told = []
    for run in sizes:
        number = Measured.read(run, "curvature")
        told.append(f"b = {run['batch_size']}: {number}")
    curvatures = [Measured.read(run, "curvature") for run in sizes]
    lowest = curvatures[0]
    words = f"their largest eigenvalue is below, the lower the smaller b: {'; '.join(told)} of 2/η"
    expected = f"rises with b, from below {1 - EDGE:g}"
    high = above(lowest, 1 - EDGE)
    is_below = None if high is None else not high
    holds = every([is_below, ascend(curvatures)])
    if holds is None:
        why = "within two errors it may not rise, or start at the edge: take more looks"
        lowest = lowest._replace(why=lowest.why or why)
    return Claim("suppressed", words, lowest, expected, holds)


def _control(run: Row) -> Claim:
    highest = run["highest"]
    expected = "below 1 all the way"
    if highest is None:
        unknown = Measured.read(run, "curvature")
        return Claim("control", f"cross entropy: {unknown}", unknown, expected, None)
    words = (
        f"cross entropy stays below its edge: the largest curvature is at most {highest:.2f} of "
        f"it, and {Measured.read(run, 'curvature')} in the last half"
    )
    return Claim("control", words, Measured(highest), expected, highest < 1)


def _exact(thresholds: Rows) -> Claim:
    apart = max(column_of(thresholds, "apart"))
    names = ", ".join(dict.fromkeys(column_of(thresholds, "optimiser")))
    words = f"on a parabola {names} begin to grow at the stated edge, to {in_short(apart, 1)} of it"
    return Claim("thresholds", words, Measured(apart), f"< {EXACT:g}: exact", apart < EXACT)
