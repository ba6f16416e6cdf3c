"""What is said of pairs that were joined in several ways."""

from collections.abc import Sequence

import numpy as np

from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.proportions import interval, share
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, grouped_by
from sgdtheory.studies.study import all_hold

OURS = "autoneb"  # the way that the headline is of
OTHER = "evaluated"  # the practice that it is held against
HALF = 0.5  # of pairs: what the interval of those joined is to be above
QUANTILES = {"low": 0.1, "barrier": 0.5, "high": 0.9, "highest": 1.0}  # of barriers, by column


def summaries(rows: Rows) -> Rows:
    """A row for each network and way: how many pairs are joined with the exact interval, quantiles
    of barriers, gradients and seconds."""
    found = []
    for (network, way), pairs in grouped_by(rows, "network", "way").items():
        joined = sum(column_of(pairs, "joined"))
        lower, upper = interval(joined, len(pairs))
        barriers = column_of(pairs, "barrier")
        quantiles = np.quantile(barriers, list(QUANTILES.values())).tolist()
        facts: Row = {
            "network": network,
            "way": way,
            "pairs": len(pairs),
            "joined": joined,
            "interval_low": lower,
            "interval_high": upper,
            "gradients": _middle(pairs, "gradients"),
            "seconds": _middle(pairs, "seconds"),
            "seen": _middle(pairs, "seen"),
            **dict(zip(QUANTILES, quantiles, strict=True)),
        }
        found.append(row_of(facts, mean=Measured.mean(barriers, "nats")))
    return found


def _middle(rows: Rows, name: str) -> float:
    return float(np.median(column_of(rows, name)))


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
        theirs = _of_pairs(sum(column_of(others, "joined")), sum(column_of(others, "pairs")))
        words = f"{words}; in evaluation mode with interpolated statistics it joins {theirs}"
    return Claim("joined", words, share(joined, pairs), "all that follows", all_hold(claims))


def _of_pairs(joined: int, pairs: int) -> str:
    """So many of so many pairs, with the exact interval."""
    low, high = interval(joined, pairs)
    return f"{joined} of {pairs} pairs (95 %: {100 * low:.3g} to {100 * high:.3g} %)"


def _share_claim(row: Row) -> Claim:
    joined = row["joined"]
    pairs = row["pairs"]
    words = (
        f"{row['network']}: AutoNEB joins {_of_pairs(joined, pairs)}, at a barrier of "
        f"{row['barrier']:.2g} nats (half of them), {row['high']:.2g} (nine in ten) and "
        f"{row['highest']:.2g} (all), with {row['gradients']:.0f} gradients and "
        f"{row['seconds']:.2g} s a pair"
    )
    low, high = row["interval_low"], row["interval_high"]
    holds = True if low > HALF else False if high < HALF else None
    return Claim(
        f"{row['network']}_joined",
        words,
        share(joined, pairs),
        "more than half of all pairs, by the interval's lower end",
        holds,
    )


def _other_claim(ours: Row, theirs: Row, rows: Rows) -> Claim:
    """The other practice on the same pairs: its path's barrier over AutoNEB's."""
    by_way = grouped(rows, "way")
    own = {row["pair"]: row["barrier"] for row in by_way[OURS]}
    other = {row["pair"]: row["barrier"] for row in by_way[OTHER]}
    both = sorted(own.keys() & other.keys())
    difference = Measured.mean([other[pair] - own[pair] for pair in both], "nats")
    above = sum(other[pair] > own[pair] for pair in both)
    low, _ = interval(above, len(both))
    has_batch_norm = rows[0]["batch_norm"]
    words = (
        f"{ours['network']}: in evaluation mode {_of_pairs(theirs['joined'], theirs['pairs'])} are "
        f"joined; paths are {difference} above AutoNEB's, higher on {above} of {len(both)} pairs, "
        f"with {theirs['gradients']:.0f} gradients; the search itself sees "
        f"{theirs['seen']:.2g} nats (half of them)"
    )
    name = f"{ours['network']}_evaluated"
    if not has_batch_norm:
        return Claim(name, words, difference, "nothing: there is no batch norm", None)
    expected = "higher on more than half of all pairs, by the interval's lower end"
    return Claim(name, words, difference, expected, low > HALF)


def plot_of(networks: Sequence[str]) -> Plot:
    """Barriers of all ways against their gradients."""
    return Plot(
        "barriers",
        "What a gradient buys",
        "Barrier over the higher end, in nats, of each way to join two minima against the gradients "
        "that it took: medians over pairs, dots are pairs. All ways are judged alike, on all "
        f"training examples with recomputed statistics. Networks: {', '.join(networks)}.",
        "ways",
        "gradients",
        ("barrier",),
        by="way",
        log="y",
        labels={"barrier": "barrier (nats)", "gradients": "gradients a pair"},
        joined=False,
        singles="pairs",
    )
