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
        copies = [str(path) for path in others if path.resolve() != first.resolve()]
        if copies:
            remarks.append(f"{', '.join(copies)}: the same run as {first}, counted once")
    return [first for first, *_ in places.values()], remarks
