"""What the lengths of strings say, against the threshold that they stay below."""

from typing import Any

from sgdtheory.measured import Claim, Measured
from sgdtheory.paths.string_sampling import String
from sgdtheory.studies.study import rises, row_of

STRAIGHT = 1.02  # a mean normalised length below this counts as straight


def string_row(threshold: float, string: String) -> dict[str, Any]:
    """One row a string; where it was not found, no length, and why."""
    facts = {"highest_loss": string.highest, "gradients": string.gradients, "evaluations": string.evaluations}
    if string.why:
        return {"threshold": threshold, "length_ratio": None, "length_ratio_why": string.why, "beads": None, **facts}
    return {"threshold": threshold, "length_ratio": string.length_ratio, "beads": string.beads, **facts}


def mean_row(strings: list[dict[str, Any]], name: str, threshold: float) -> dict[str, Any]:
    """One row a landscape and threshold: means over the pairs whose string was found, with their standard errors."""
    rows = [row for row in strings if (row["landscape"], row["threshold"]) == (name, threshold)]
    found = [row for row in rows if row["length_ratio"] is not None]
    columns = {what: Measured.mean([row[what] for row in found]) for what in ("length_ratio", "beads")}
    return row_of({"landscape": name, "threshold": threshold, "found": len(found), "pairs": len(rows)}, **columns)


def claims(strings: list[dict[str, Any]], thresholds: dict[str, list[float]], pairs: dict[str, int]) -> list[Claim]:
    """That all strings are straight at first and get longer, then the same of each landscape."""
    each = []
    for name, levels in thresholds.items():
        rows = [row for row in strings if row["landscape"] == name]
        ratios = [[row["length_ratio"] for row in rows if row["threshold"] == level] for level in levels]
        each.append(_claim(name, ratios, levels, pairs[name]))
    verdicts = [claim.holds for claim in each]
    holds = False if False in verdicts else None if None in verdicts else True
    least = min((claim.measured for claim in each), key=lambda m: float("-inf") if m.value is None else m.value)
    lengths = "; ".join(f"{claim.name} {claim.measured}" for claim in each)
    not_all = "not all " if holds is False else ""
    told = f"strings are {not_all}straight at high loss, longer at low; length ratio there {lengths}"
    return [Claim("length_ratio", told, least, "1 at the highest threshold, rising as it falls", holds), *each]


def _claim(name: str, ratios: list[list[float]], levels: list[float], pairs: int) -> Claim:
    """`ratios`: a row of pairs for each threshold."""
    if any(len(row) < pairs or None in row for row in ratios):
        nothing = Measured.nothing("some strings were not found; see the table")
        return Claim(name, f"{name}: not all strings were found", nothing, "a string at every threshold", None)
    first, last = Measured.mean(ratios[0]), Measured.mean(ratios[-1])
    words = f"{name}: length ratio {first} at L₀ = {levels[0]:g}, {last} at {levels[-1]:g}"
    holds = rises(ratios) if sum(ratios[0]) <= STRAIGHT * pairs else False
    return Claim(name, words, last, "1, then rising", holds)
