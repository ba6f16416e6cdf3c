"""What is said of where SGD, descent on the smoothed function and gradient descent turn over."""

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import Point, crossing, passed_between

STOCHASTIC, SMOOTHED, DESCENT = "SGD", "descent on the smoothed function", "gradient descent"
FEW = 0.01  # a fraction that counts as none, and from one as all (the project's table)
LOW, HIGH = 0.25, 0.75  # of s*, between which SGD turns over
HALF = 0.5  # of SGD's replicas, which arrive where it turns over
EDGE = 0.02  # of s*, within which the smoothed function turns over


def claims_of(scales: Rows) -> list[Claim]:
    """SGD gets through and gradient descent does not; each turns over at a width of its own."""
    high = _at(scales, STOCHASTIC, HIGH)
    low = _at(scales, STOCHASTIC, LOW)
    still = _at(scales, DESCENT, 0.0)
    below = _at(scales, SMOOTHED, 1 - EDGE)
    above = _at(scales, SMOOTHED, 1 + EDGE)
    through = f"SGD with noise of {HIGH:g} s* in a step reaches the centre: {_told(high)}"
    little = f"with {LOW:g} s* it is stuck: {_told(low)} arrive"
    stuck = f"gradient descent is stuck: {_told(still)} arrive"
    return [
        _share("sgd", through, high, 1),
        _share("sgd_of_little_noise", little, low, 0),
        _share("gradient_descent", stuck, still, 0),
        _edge(below, above),
        _turning(scales),
    ]


def _share(name: str, words: str, arrived: Measured, exact: int) -> Claim:
    """All arrive, or none."""
    _, holds, why = all_near([arrived], exact, FEW, "raise replicas")
    return Claim(name, words, arrived._replace(why=why), "≥ 99 %" if exact else "≤ 1 %", holds)


def _edge(below: Measured, above: Measured) -> Claim:
    low, high = 1 - EDGE, 1 + EDGE
    words = (
        f"descent on the smoothed function turns over at s*: {_told(below)} arrive at {low:g} s*, "
        f"{_told(above)} at {high:g} s*"
    )
    # one that is on the wrong side refutes it: such a descent has no noise
    holds: bool | None = None if None in (below.value, above.value) else False
    why = below.why or above.why
    if (below.value, above.value) == (0, 1):
        missed = above._replace(value=0.0)
        _, holds, why = all_near([below, missed], 0, FEW, "raise replicas")
    expected = f"none at {1 - EDGE:g} s*, all at {1 + EDGE:g} s*"
    return Claim("threshold", words, above._replace(why=why), expected, holds)


def _turning(scales: Rows) -> Claim:
    """SGD is more than descent on the smoothed function: its noise also carries it over what is
    left of the spikes.
    """
    half = half_way(scales)
    words = (
        "SGD does no more than descend the smoothed function: half of its replicas arrive at "
        f"{half} s*, where spikes are left"
    )
    _, holds, why = all_near([half], 1, EDGE, "raise replicas")
    passing = passed_between(_shares(scales), HALF)
    if holds is not None and passing is not None:
        (low, _), (high, _) = passing
        # all that is known without a straight line between the two
        is_inside = low >= 1 - EDGE and high <= 1 + EDGE
        is_outside = high < 1 - EDGE or low > 1 + EDGE
        if not (is_inside or is_outside):
            holds = None
            why = f"it is between {low:g} and {high:g} s*: add widths to stochastic"
    expected = "1 s*, where they are gone"
    return Claim("where_sgd_turns_over", words, half._replace(why=why), expected, holds)


def half_way(scales: Rows) -> Measured:
    """The width over s* at which half of SGD's replicas arrive, by linear interpolation, with the
    error of the fractions.
    """
    return crossing(_shares(scales), HALF, "the share of SGD's replicas does not pass one half")


def _shares(scales: Rows) -> list[Point]:
    """How many of SGD's replicas arrive, by width."""
    rows = [row for row in scales if row["method"] == STOCHASTIC]
    rows.sort(key=lambda row: row["scale"])
    return [(row["scale"], Measured.read(row, "arrived")) for row in rows]


def _at(scales: Rows, method: str, scale: float) -> Measured:
    for row in scales:
        if row["method"] == method and abs(row["scale"] - scale) < 1e-9:
            return Measured.read(row, "arrived")
    return Measured.nothing(f"{method} was not run at {scale:g} s*")


def _told(measured: Measured) -> str:
    return "–" if measured.value is None else f"{100 * measured.value:.4g} %"
