"""The ways between two minima that an edge compares: what they are called, and which is the lowest.
No torch."""

from math import isfinite

from sgdtheory.statistics.rows import Row

WORDS = {  # by their names in results.json, the simplest first
    "linear": "the straight line",
    "aligned": "the aligned straight line",
    "bezier": "the Bézier curve",
    "chain": "the chain",
    "path": "AutoNEB's path",
}
# of the higher end's loss: barriers that differ by less are equal, and the simpler way is named
ROUNDING = 1e-6


def lowest_way(row: Row) -> Row:
    """{name, barrier: {value, stderr}} of the way whose barrier over the higher end is lowest.

    Every way is a path between the same two functions, so each barrier bounds the true one from
    above, and the lowest is the best bound. A way that was not found, or whose loss is not finite
    somewhere, is none.
    """
    known: dict[str, Row] = {}
    for name in WORDS:
        way = row.get(name) or {}
        barrier = way.get("barrier")
        if barrier is not None and _is_finite(barrier["value"]):
            known[name] = barrier
    if not known:  # of a run of an earlier version: the path alone
        return {"name": "path", "barrier": dict(row["barrier"])}
    lowest = min(barrier["value"] for barrier in known.values())
    higher_end = row["path"]["train_loss"] - row["barrier"]["value"]
    room = ROUNDING * abs(higher_end)
    low = [name for name, way in known.items() if way["value"] <= lowest + room]
    simplest = low[0]
    return {"name": simplest, "barrier": dict(known[simplest])}


def words_of(name: str, row: Row) -> str:
    """A way as a sentence has it."""
    if name == "path" and row["path"].get("method") == "string_sampling":
        return "the string"
    return WORDS[name]


def _is_finite(value: float | None) -> bool:
    return value is not None and isfinite(value)
