"""What is said of a network's copies."""

from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.trends import above, every, higher, ratio

TIMES = 10.0  # as high the barrier of copies spawned at first is as that of the last ones
STABLE = 0.02  # rise of the test error below which copies count as stable; ours


def claims_of(name: str, rows: Rows, pairs: int) -> list[Claim]:
    """Of rows in the order of steps, means over so many pairs: the fall of the barrier, and where
    copies are stable."""
    if len(rows) < 2:
        return []
    first = rows[0]
    last = rows[-1]
    return [_fall(name, first, last, pairs), _stable(name, rows, pairs)]


def _fall(name: str, first: Row, last: Row, pairs: int) -> Claim:
    early = Measured.read(first, "barrier")
    late = Measured.read(last, "barrier")
    why = early.why or late.why or "copies spawned at first have no barrier"
    left = ratio(late, early, why)
    renumbered = ratio(Measured.read(first, "aligned"), early, why)
    words = (
        f"{name}: copies spawned at step {first['spawn']} have a barrier of {early} nats between "
        f"them, those at step {last['spawn']} of {late}; renumbering hidden units leaves "
        f"{renumbered} of the former"
    )
    tenfold = late.in_units_of(1 / TIMES)
    holds = higher(of_few(early, pairs), of_few(tenfold, pairs))
    if holds is None:
        why = f"it may be {TIMES:g} times as high: raise systems.{name}.pairs"
        left = left._replace(why=left.why or why)
    return Claim(f"{name}_barrier", words, left, f"< 1/{TIMES:g} of it is left", holds)


def _stable(name: str, rows: Rows, pairs: int) -> Claim:
    """The first step from which on no copies are unstable, as a share of training."""
    expected = f"a rise of the test error below {STABLE:g} before the end, and not at first"
    stable: Row | None = None
    if any(row["error"] is None for row in rows):
        unknown = Measured.nothing("a test error is not known: give data with a test set")
        words = f"{name}: from when on copies are stable cannot be said"
        return Claim(f"{name}_stable", words, unknown, expected, None)
    for row in reversed(rows):
        if row["error"] >= STABLE:
            break
        stable = row
    judged = [of_few(Measured.read(row, "error"), pairs) for row in (rows[0], rows[-1])]
    at_first, at_last = (above(error, STABLE) for error in judged)
    holds = every([at_first, None if at_last is None else not at_last])
    doubt = ""
    if holds is None:
        within = "at first or at last the rise is within two standard errors of that"
        doubt = f"{within}: raise systems.{name}.pairs"
    if stable is None:
        never = Measured.nothing(doubt or "the last copies are unstable too")
        return Claim(f"{name}_stable", f"{name}: copies are never stable", never, expected, holds)
    share = Measured(stable["share"], why=doubt)
    words = (
        f"{name}: copies are stable from step {stable['spawn']} on, {100 * stable['share']:.2g} % "
        f"of training: the test error rises by less than {100 * STABLE:g} points between them"
    )
    return Claim(f"{name}_stable", words, share, expected, holds)


PLOTS = [
    Plot(
        "spawned",
        "From when on the noise of SGD no longer decides where it ends",
        "Barrier of the straight line between two copies of a network at the end of training, "
        "over the chord of their losses, before and after renumbering of hidden units; rise of the "
        "test error on it. Against the share of training after which the copies were spawned; "
        "means with one standard error over pairs. 0: no point of any line is above its chord.",
        "spawned",
        "share",
        ("barrier", "aligned", "error"),
        by="system",
        labels={
            "share": "share of training before",
            "barrier": "barrier / nats",
            "aligned": "barrier, aligned / nats",
            "error": "rise of the test error",
        },
    ),
]
