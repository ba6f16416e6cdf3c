"""Copies of a run: what is kept in two places, or was run twice, is one sample. No torch."""

from collections.abc import Hashable, Iterable
from pathlib import Path


def once(runs: Iterable[tuple[Path, Hashable]]) -> tuple[list[Path], list[str]]:
    """(the first of all runs (path, identity) that are one and the same; remarks that name the
    others: c: the same run as a, counted once)."""
    places: dict[Hashable, list[Path]] = {}
    for path, identity in runs:
        places.setdefault(identity, []).append(path)
    remarks = []
    for first, *others in places.values():
        own = first.resolve()
        copies = [str(path) for path in others if path.resolve() != own]
        if copies:
            named = ", ".join(copies)
            remarks.append(f"{named}: the same run as {first}, counted once")
    kept = [first for first, *_ in places.values()]
    return kept, remarks
