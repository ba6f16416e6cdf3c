"""What a unit has logged so far: how many rows, and the digest that knows them again."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from sgdtheory.runs.digests import canonical
from sgdtheory.runs.plain import Json


class Logged(NamedTuple):
    """What a unit had logged when a state of it was kept."""

    rows: int
    rows_sha256: str | None  # None in a state of an older version

    @classmethod
    def of(cls, facts: Json) -> "Logged":
        """As the facts of a state have it."""
        return cls(facts["rows"], facts.get("rows_sha256"))


class GrowingLog:
    """Counts rows and digests them, each once: a state that is kept costs no reading of all."""

    def __init__(self, rows: Iterable[Json]) -> None:
        self._rows, self._total = 0, hashlib.sha256(b"[")
        self.add(rows)

    def add(self, rows: Iterable[Json]) -> None:
        for row in rows:
            self._total.update((b"," if self._rows else b"") + canonical(row))
            self._rows += 1

    def logged(self) -> Logged:
        """The number of all rows so far, and the `digest` of their list."""
        total = self._total.copy()
        total.update(b"]")
        return Logged(self._rows, total.hexdigest())
