"""What is said of saddles of known index and of the ends of searches, and whether it holds."""

from math import isfinite, sqrt

from sgdtheory.geometry.critical_points import STATIONARY, ZERO
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.proportions import share
from sgdtheory.statistics.ranks import rank_correlations
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped

ITERATIONS = 40  # within which a search from nearby must be back (the project's table)
RISES = 0.9  # rank correlation of index and loss above which the one rises with the other
FEWEST = 4  # points in one order by chance: 1 in 24; of three 1 in 6, which is more than 5 %


def claims_of(saddles: Rows, searches: Rows, limit: int = ITERATIONS) -> list[Claim]:
    """Indices are the known ones and rise with the loss; and where searches end, which are given
    up after `limit` iterations."""
    claims = [*_exact(saddles, limit), *_rising(saddles)] if saddles else []
    return [*claims, _searches(searches, limit)] if searches else claims


def _is_critical(row: Row) -> bool:
    return bool(row["gradient_norm"] < STATIONARY)


def _has_index(row: Row) -> bool:
    """Whether the index of a point is that of the critical point beside it: H changes by about
    |∇L|/|h| on the way, h the smallest curvature, which may be below it by no more."""
    return _is_critical(row) and row["margin"] > max(ZERO, sqrt(row["gradient_norm"]))


def _left_out(saddles: Rows) -> str:
    """Why the index of some points says nothing; empty where there are none."""
    moving = [row for row in saddles if not _is_critical(row)]
    if moving:
        steepest = in_short(max(column_of(moving, "gradient_norm")), 2)
        return (
            f"{len(moving)} of {len(saddles)} points are not critical, |∇L| ≤ {steepest}: raise "
            f"descent or search.iterations"
        )
    flat = [row for row in saddles if not _has_index(row)]
    if flat:
        least = in_short(min(column_of(flat, "margin")), 2)
        return (
            f"{len(flat)} of {len(saddles)} points have a curvature too near 0 to count, "
            f"{least} of the largest: take other weight_decays"
        )
    return ""


def _exact(saddles: Rows, limit: int) -> list[Claim]:
    steepest = max(column_of(saddles, "gradient_norm"))
    still = steepest < STATIONARY
    flat = f"|∇L| ≤ {in_short(steepest, 2)} at all of them"
    stationary = Claim("stationary", flat, Measured(steepest), f"< {STATIONARY:g}", still)
    return [_index(saddles), stationary, _returns(saddles, limit)]


def _index(saddles: Rows) -> Claim:
    """Whether the points that are critical have the known index; open where some are not."""
    told = [row for row in saddles if _has_index(row)]
    why = _left_out(saddles)
    expected = "1: exact"
    if not told:
        words = f"the index of points with units left out is not known: {why}"
        return Claim("index", words, Measured.nothing(why), expected, None)
    count = len(told)
    right = sum(row["index"] == row["known_index"] for row in told)
    losses = column_of(told, "loss")
    what = "critical points" if why else "points"
    words = (
        f"{right} of {count} {what} with units left out have the index of G, the number of "
        f"σ_i(G) > λ for each unit, loss {max(losses):.2f} to {min(losses):.2f}"
    )
    if why:
        words += f"; {why}"
    claim = Claim("index", words, Measured(right / count), expected, right == count)
    if not why and not any(row["known_index"] for row in told):
        why = "λ is above every σ_i(G), so none of these points is a saddle: lower weight_decays"
    return claim.left_open(why) if why and claim.holds else claim


def _returns(saddles: Rows, limit: int) -> Claim:
    """Whether searches from nearby come back to critical points; open where one was given up."""
    told = [row for row in saddles if _is_critical(row)]
    expected = f"all, in ≤ {ITERATIONS}"
    if not told:
        why = _left_out(saddles)
        words = f"whether searches from nearby come back: {why}"
        return Claim("returns", words, Measured.nothing(why), expected, None)
    count = len(told)
    back = sum(column_of(told, "returned"))
    longest = max(column_of(told, "back_iterations"))
    words = f"{back} of {count} searches from nearby come back, in at most {longest} iterations"
    near = back == count and longest <= ITERATIONS
    claim = Claim("returns", words, Measured(float(longest)), expected, near)
    lost = [row for row in told if not row["returned"]]
    if limit < ITERATIONS and any(row["back_iterations"] >= limit for row in lost):
        return claim.left_open(f"searches are given up after {limit}: raise search.iterations")
    return claim.left_open(_left_out(saddles)) if near and count < len(saddles) else claim


def _rising(saddles: Rows) -> list[Claim]:
    """The lowest rank correlation among the weight decays, each of which has its own losses, of
    points whose index is known."""
    if not any(len(rows) > 2 for rows in grouped(saddles, "weight_decay").values()):
        return []
    expected = f"> {RISES:g}"
    told = [row for row in saddles if _has_index(row)]
    sizes = [len(rows) for rows in grouped(told, "weight_decay").values()]
    decays = len(grouped(saddles, "weight_decay"))
    why = ""
    if len(sizes) < decays or min(sizes) < FEWEST:
        why = f"fewer than {FEWEST} points at a λ come in any order by chance: raise hidden"
        why = _left_out(saddles) or why
    ranks = rank_correlations(told, "loss", "index", "weight_decay")
    if ranks and not all(isfinite(rank) for rank in ranks):
        why = (
            "at a λ all points have the same index or loss, which has no rank: lower weight_decays"
        )
    if why:
        words = f"whether their index rises with the loss: {why}"
        return [Claim("index_against_loss", words, Measured.nothing(why), expected, None)]
    lowest = min(ranks)
    words = f"their index rises with the loss: rank correlation {lowest:.2f} or more at each λ"
    return [Claim("index_against_loss", words, Measured(lowest), expected, lowest > RISES)]


def _searches(searches: Rows, limit: int) -> Claim:
    """Searches like the paper's: where they end, and whether that can be told; open where one was
    given up on its way."""
    kinds = column_of(searches, "end_kind")
    flat = kinds.count("gradient-flat")
    critical = kinds.count("critical")
    others = [row for row in searches if row["end_kind"] != "critical"]
    norms = column_of(others, "end_gradient_norm")
    between = f" (|∇L| {min(norms):.1g} to {max(norms):.1g})" if norms else ""
    words = (
        f"of {len(searches)} searches from snapshots of SGD {critical} end at a critical point, "
        f"{flat} where the loss is only flat along its gradient{between}, and "
        f"{len(kinds) - flat - critical} are told to be neither"
    )
    told = flat + critical == len(kinds)
    expected = "each end is critical or told to be gradient-flat"
    claim = Claim("searches", words, share(critical, len(kinds)), expected, told)
    neither = [row for row in searches if row["end_kind"] == "neither"]
    if any(row["iterations"] >= limit for row in neither):
        return claim.left_open(f"searches are given up after {limit}: raise search.iterations")
    return claim
