"""What is said of saddles of known index and of the ends of searches, and whether it holds."""

from math import isfinite

from sgdtheory.geometry.critical_points import STATIONARY
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.proportions import share
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of
from sgdtheory.statistics.trends import rank_correlations

ITERATIONS = 40  # within which a search from nearby must be back (the project's table)
RISES = 0.9  # rank correlation of index and loss above which the one rises with the other


def claims_of(saddles: Rows, searches: Rows) -> list[Claim]:
    """Indices are the known ones and rise with the loss; and where searches end."""
    claims = [*_exact(saddles), *_rising(saddles)] if saddles else []
    return [*claims, _searches(searches)] if searches else claims


def _exact(saddles: Rows) -> list[Claim]:
    count = len(saddles)
    right = sum(row["index"] == row["known_index"] for row in saddles)
    steepest = max(column_of(saddles, "gradient_norm"))
    back = sum(column_of(saddles, "returned"))
    longest = max(column_of(saddles, "back_iterations"))
    losses = column_of(saddles, "loss")
    between = f"loss {max(losses):.2f} to {min(losses):.2f}"
    words = (
        f"{right} of {count} points with units left out have the index of G, the number of "
        f"σ_i(G) > λ for each unit, {between}"
    )
    returns = f"{back} of {count} searches from nearby come back, in at most {longest} iterations"
    still = steepest < STATIONARY
    near = back == count and longest <= ITERATIONS
    flat = f"|∇L| ≤ {in_short(steepest, 2)} at all of them"
    return [
        Claim("index", words, Measured(right / count), "1: exact", right == count),
        Claim("stationary", flat, Measured(steepest), f"< {STATIONARY:g}", still),
        Claim("returns", returns, Measured(float(longest)), f"all, in ≤ {ITERATIONS}", near),
    ]


def _rising(saddles: Rows) -> list[Claim]:
    """The lowest rank correlation among the weight decays, each of which has its own losses."""
    ranks = rank_correlations(saddles, "loss", "index", "weight_decay")
    if not ranks:
        return []
    if not all(isfinite(rank) for rank in ranks):
        why = (
            "at a λ all points have the same index or loss, which has no rank: lower weight_decays"
        )
        nothing = Measured.nothing(why)
        words = f"whether their index rises with the loss: {nothing}"
        return [Claim("index_against_loss", words, nothing, f"> {RISES:g}", None)]
    lowest = min(ranks)
    words = f"their index rises with the loss: rank correlation {lowest:.2f} or more at each λ"
    return [Claim("index_against_loss", words, Measured(lowest), f"> {RISES:g}", lowest > RISES)]


def _searches(searches: Rows) -> Claim:
    """Searches like the paper's: where they end, and whether that can be told."""
    kinds = column_of(searches, "end_kind")
    flat = kinds.count("gradient-flat")
    critical = kinds.count("critical")
    norms = [row["end_gradient_norm"] for row in searches if row["end_kind"] != "critical"]
    between = f" (|∇L| {min(norms):.1g} to {max(norms):.1g})" if norms else ""
    words = (
        f"of {len(searches)} searches from snapshots of SGD {critical} end at a critical point, "
        f"{flat} where the loss is only flat along its gradient{between}, and "
        f"{len(kinds) - flat - critical} are told to be neither"
    )
    told = flat + critical == len(kinds)
    expected = "each end is critical or told to be gradient-flat"
    return Claim("searches", words, share(critical, len(kinds)), expected, told)
