"""What is said of an edge: whether its minima are connected, and when that cannot be said."""

from sgdtheory.optim.trained import untrained
from sgdtheory.paths.profile import Profile
from sgdtheory.paths.ways import words_of
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import is_scored
from sgdtheory.roles.facts import constant_loss_of
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row

# of the straight line's barrier: a path below this counts as flat (the project's interface)
CONNECTED = 0.005
APART = "not connected at this budget"
# of the straight line's barrier, and of the loss of the best constant, whichever is more: two
# standard errors above it leave room for a barrier that counts
UNSURE = 0.1
UNSURE_OF_CONSTANT = 0.02


def verdict_of(landscape: Landscape, along: Profile, row: Row) -> str:
    """In words, what an edge's row says; or why nothing can be said."""
    if doubts := doubts_of(landscape, along):
        words = "; ".join(doubts)
        return f"cannot be said: {words}"
    if why := too_few_for(row, landscape):
        return f"cannot be said: {why}"
    return verdict(row, not is_scored(landscape))


def too_few_for(row: Row, landscape: Landscape) -> str:
    """Why the lowest way's barrier is neither none nor one: it is within two standard errors of
    none, and these are large; empty where it can be said."""
    lowest = Measured.from_json(row["lowest_way"]["barrier"])
    assert lowest.value is not None
    height = _height(row)
    if not is_flat(row) or lowest.value <= CONNECTED * height:
        return ""
    constant = constant_loss_of(landscape) or 0.0
    most = max(UNSURE * height, UNSURE_OF_CONSTANT * constant)
    if not lowest.stderr or 2 * lowest.stderr <= most:
        return ""
    way = words_of(row["lowest_way"]["name"], row)
    more = "more training examples would tell"
    if not row.get("all_examples", True):
        more = "look at more examples (examples=all)"
    return f"barrier {lowest} by {way} is too uncertain to be none or one; {more}"


def doubts_of(landscape: Landscape, along: Profile) -> list[str]:
    """Why nothing can be said of a path: of each end that is no minimum, the reason."""
    losses = along.train_losses.mean(1)
    doubts = []
    for end, name in ((0, "first"), (-1, "second")):
        if why := untrained(landscape, float(losses[end])):
            doubts.append(f"the {name} end is not trained: {why}")
    return doubts


def verdict(row: Row, formula: bool) -> str:
    """What the lowest of all ways says beside the straight line, in words."""
    lowest = row["lowest_way"]
    barrier = Measured.from_json(lowest["barrier"])
    way = words_of(lowest["name"], row)
    if formula:
        beside = _straight(row, 6)
        return f"barrier {barrier.value:.6g} by {way}{beside}"
    beside = _straight(row, 2)
    words = f"barrier {barrier}{beside}"
    if is_flat(row):
        return f"connected by {way}: {words}"
    return f"{APART}: lowest by {way}, {words}"


def _straight(row: Row, digits: int) -> str:
    """The straight line's barrier to so many digits; empty where it is not known."""
    line = row["straight_barrier"]
    if not line or line["value"] is None:
        return ""
    value = line["value"]
    return f", the straight line has {value:.{digits}g}"


def is_flat(row: Row) -> bool:
    """Whether the lowest way rises by no more than its own error, or by a fraction of the straight
    line's barrier that does not count."""
    lowest = Measured.from_json(row["lowest_way"]["barrier"])
    return does_not_count(lowest, _height(row))


def _height(row: Row) -> float:
    """The straight line's barrier; 0 where it is not known."""
    line = row["straight_barrier"]
    if not line:
        return 0.0
    return float(line["value"])


def does_not_count(barrier: Measured, straight: float) -> bool:
    """Whether a barrier is no more than its own error, or than a fraction of the straight line's
    that does not count."""
    assert barrier.value is not None
    error = barrier.stderr or 0.0
    room = max(2 * error, CONNECTED * straight)
    return barrier.value <= room
