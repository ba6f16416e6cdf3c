"""What is said of pairs that were joined in several ways."""

from collections.abc import Sequence
from math import ceil, inf, isfinite

from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.proportions import interval, share
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, grouped_by, known
from sgdtheory.studies.study import all_hold

OURS = "autoneb"  # the way that the headline is of
OTHER = "evaluated"  # the practice that it is held against
NOTHING = "nothing: there is no batch norm"
HALF = 0.5  # of pairs: what the interval of those joined is to be above
QUANTILES = {"low": 0.1, "barrier": 0.5, "high": 0.9, "highest": 1.0}  # of barriers, by column


def summaries(rows: Rows) -> Rows:
    """A row for each network and way: how many pairs are joined with the exact interval, quantiles
    of barriers, gradients and seconds."""
    found = []
    for (network, way), pairs in grouped_by(rows, "network", "way").items():
        joined = sum(column_of(pairs, "joined"))
        lower, upper = interval(joined, len(pairs))
        facts: Row = {
            "network": network,
            "way": way,
            "pairs": len(pairs),
            "joined": joined,
            "interval_low": lower,
            "interval_high": upper,
            "seen_joined": sum(column_of(pairs, "seen_joined")),
            "diverged": len(pairs) - len(known(pairs, "barrier")),
        }
        for column in ("gradients", "cpu_seconds", "seen"):
            facts[column] = _quantile(pairs, column, 0.5)
        for column, part in QUANTILES.items():
            facts[column] = _quantile(pairs, "barrier", part)
        found.append(facts)
    return found


def _quantile(rows: Rows, name: str, part: float) -> float | None:
    """The number of a column that so large a part of the rows does not exceed, none counting as
    the largest."""
    numbers = sorted(inf if row[name] is None else float(row[name]) for row in rows)
    at = max(0, ceil(part * len(numbers)) - 1)
    if isfinite(numbers[at]):
        return numbers[at]
    return None


def claims_of(rows: Rows, summary: Rows) -> list[Claim]:
    """Of each network how often it is joined, and how the other practice does; all together
    first."""
    claims: list[Claim] = []
    for network, ways in grouped(summary, "network").items():
        named = {row["way"]: row for row in ways}
        if OURS in named:
            claims.append(_share_claim(named[OURS]))
        if OURS in named and OTHER in named:
            pairs = [row for row in rows if row["network"] == network]
            claims.append(_other_claim(named[OURS], named[OTHER], pairs))
    return [_headline(summary, claims), *claims]


def _headline(summary: Rows, claims: Sequence[Claim]) -> Claim:
    """AutoNEB on the pairs of all networks together."""
    ours = [row for row in summary if row["way"] == OURS]
    pairs = sum(column_of(ours, "pairs"))
    joined = sum(column_of(ours, "joined"))
    if not pairs:
        why = "no pair was joined by AutoNEB"
        return Claim("joined", why, Measured.nothing(why), "", None)
    words = f"AutoNEB joins {_of_pairs(joined, pairs)} of {len(ours)} networks"
    others = [row for row in summary if row["way"] == OTHER]
    if others:
        joined_so = sum(column_of(others, "joined"))
        pairs_so = sum(column_of(others, "pairs"))
        theirs = _of_pairs(joined_so, pairs_so)
        words = f"{words}; in evaluation mode with interpolated statistics it joins {theirs}"
    judged = [claim for claim in claims if claim.expected != NOTHING]
    holds = all_hold(judged)
    return Claim("joined", words, share(joined, pairs), "all that follows", holds)


def _of_pairs(joined: int, pairs: int) -> str:
    """So many of so many pairs, with the exact interval."""
    low, high = interval(joined, pairs)
    between = f"{100 * low:.3g} to {100 * high:.3g} %"
    return f"{joined} of {pairs} pairs (95 %: {between})"


def _share_claim(row: Row) -> Claim:
    joined = row["joined"]
    pairs = row["pairs"]
    barriers = ", ".join(_told(row, name) for name in ("barrier", "high", "highest"))
    words = (
        f"{row['network']}: AutoNEB joins {_of_pairs(joined, pairs)}; barriers of half of them, of "
        f"nine in ten and of all are at most {barriers} nats, at {row['gradients']:.0f} gradients "
        f"and {row['cpu_seconds']:.2g} s of CPU time a pair"
    )
    holds = _most(joined, pairs)
    expected = "more than half of all pairs, by the interval's lower end"
    return Claim(f"{row['network']}_joined", words, share(joined, pairs), expected, holds)


def _told(row: Row, name: str) -> str:
    value = row[name]
    if value is None:
        return "∞"
    return f"{value:.2g}"


def _other_claim(ours: Row, theirs: Row, rows: Rows) -> Claim:
    """The other practice on the same pairs: on how many its path is higher than AutoNEB's."""
    by_way = grouped(rows, "way")
    own = {row["pair"]: row["barrier"] for row in by_way[OURS]}
    higher = 0
    both = 0
    for row in by_way[OTHER]:
        barrier = own.get(row["pair"])
        if barrier is not None:
            both += 1
            higher += row["barrier"] is None or row["barrier"] > barrier
    name = f"{ours['network']}_{OTHER}"
    if not both:
        unknown = Measured.nothing("no pair was joined both ways")
        return Claim(name, unknown.why, unknown, "", None)
    words = (
        f"{ours['network']}: in evaluation mode {_of_pairs(theirs['joined'], theirs['pairs'])} are "
        f"joined, {theirs['seen_joined']} in the eyes of the search and {theirs['diverged']} "
        f"without a finite path; half of the barriers are at most {_told(theirs, 'barrier')} nats, "
        f"{_told(theirs, 'seen')} in the eyes of the search"
    )
    found = share(higher, both)
    if not rows[0]["batch_norm"]:
        return Claim(name, words, found, NOTHING, None)
    expected = "a higher barrier on more than half of all pairs, by the interval's lower end"
    return Claim(name, words, found, expected, _most(higher, both))


def _most(count: int, total: int) -> bool | None:
    """Whether it is more than half of all, by the exact interval; None where that holds half."""
    low, high = interval(count, total)
    if low > HALF:
        return True
    if high < HALF:
        return False
    return None


def plot_of(networks: Sequence[str]) -> Plot:
    """Barriers of all ways against their gradients."""
    return Plot(
        "barriers",
        "What a gradient buys",
        "Barrier over the higher end, in nats, of each way to join two minima against the "
        "gradients that it took: medians over pairs, dots are pairs. All ways are judged alike, "
        f"on all training examples with recomputed statistics. Networks: {', '.join(networks)}.",
        "against",
        "gradients",
        ("barrier",),
        by="way",
        log="y",
        labels={"barrier": "barrier (nats)", "gradients": "gradients a pair"},
        joined=False,
        singles="against_pairs",
    )
