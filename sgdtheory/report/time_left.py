"""How long a command will still take, learnt from what its units have taken so far.

Units of one kind take about the same time (`edge-0-1` and `edge-1-3`, not `minimum-0`), and a unit
says which fraction of it is done; what part of the time that is, those show that have ended. Units
that are known to come count like others of their kind.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from statistics import fmean
from typing import NamedTuple

SURE = 0.1  # a unit of which so much was seen being done tells its own time
SEEN = 0.01  # with less nothing is known of it
LEAP = 0.05  # more at once, and faster by so many times than before, is work that was left out
FASTER = 4.0
SETTLING = 2.0  # seconds over which an estimate moves to a new one
ENDED = ("done", "failed")


class UnitNow(NamedTuple):
    """How far a unit is."""

    name: str
    status: str
    fraction: float
    activity: str = ""


@dataclass
class _Watched:
    """A unit since it was first seen at work."""

    began: float
    first: float
    fraction: float = 0.0
    passed: list[tuple[float, float]] = field(default_factory=list)  # fractions, and when
    has_fallen: bool = False
    left_out: float = 0.0  # the part of its work that it did not have to do

    def see(self, fraction: float, now: float) -> None:
        """A fraction that falls is a search's next attempt: what was before says nothing of it. One
        that leaps is a search that ended early."""
        if fraction < self.fraction:
            self.passed = []
            self.has_fallen = True
            self.left_out = 0.0
        if fraction != self.fraction:
            self.left_out += self._leap(fraction, now)
            self.passed.append((fraction, now))
        self.fraction = fraction

    def _leap(self, fraction: float, now: float) -> float:
        """What of a gain was not work, by the pace until then; 0 while that is not known."""
        if not self.passed:
            return 0.0
        first, began = self.passed[0]
        last, before = self.passed[-1]
        worked = last - first - self.left_out
        if worked < LEAP:
            return 0.0
        gain = fraction - last
        expected = worked * (now - before) / (before - began)
        if gain < max(LEAP, FASTER * expected):
            return 0.0
        return gain - expected

    @property
    def anchor(self) -> tuple[float, float]:
        """The fraction and the time that its pace is measured from: its first sign of work, for a
        process that starts is no measure."""
        if self.passed:
            return self.passed[0]
        return (self.first, self.began)


class _Profile(NamedTuple):
    """Which part of its time a unit had taken when it said what fraction was done."""

    fractions: list[float]
    parts: list[float]

    @classmethod
    def of(cls, watched: _Watched, now: float) -> "_Profile":
        """Of one that has ended, and was seen from its first sign of work on."""
        fractions = [fraction for fraction, _ in watched.passed]
        _, began = watched.passed[0]
        whole = now - began
        parts = [(when - began) / whole for _, when in watched.passed]
        return cls([*fractions, 1.0], [*parts, 1.0])

    def part(self, fraction: float) -> float:
        from numpy import interp  # here, because a finished run that is asked for again needs none

        return float(interp(fraction, self.fractions, self.parts))


@dataclass
class TimeLeft:
    """What was seen of a command's units; `workers` do them side by side."""

    workers: int = 1
    after: float = 0.0  # seconds that are left when all units are done: results and pages
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _taken: dict[str, list[float]] = field(default_factory=dict)  # seconds of units, by kind
    _profiles: dict[str, list[_Profile]] = field(default_factory=dict)  # by kind
    _waiting: set[str] = field(default_factory=set)
    _looked: float = 0.0  # when
    _told: tuple[float, float] | None = None  # what was last told, and when

    def look(self, now: float, units: Sequence[UnitNow], coming: Sequence[str] = ()) -> None:
        """Take note of how far units are at a time in seconds, and estimate anew; `coming`: the
        names of others that will be asked for."""
        for unit in units:
            if unit.status == "running":
                new = _Watched(now, unit.fraction, unit.fraction)
                self._watched.setdefault(unit.name, new).see(unit.fraction, now)
            elif unit.status in ENDED:
                self._end(unit.name, now)
            else:
                self._waiting.add(unit.name)
        self._looked = now
        self._tell(now, self._estimate(now, units, coming))

    def _end(self, name: str, now: float) -> None:
        """A unit that was done between two looks took what is between them."""
        was_waiting = name in self._waiting
        self._waiting.discard(name)
        between = _Watched(self._looked, 0.0) if was_waiting else None
        watched = self._watched.pop(name, between)
        if watched is None:
            return  # it was over before
        kind = kind_of(name)
        if watched.anchor[0] > 1 - SURE:  # no sign but the last
            watched.passed = []
        is_whole = watched.first == 0.0 and not watched.has_fallen
        if is_whole and watched.passed and now > watched.anchor[1]:
            self._profiles.setdefault(kind, []).append(_Profile.of(watched, now))
        watched.fraction = 1.0
        watched.left_out = 0.0  # what it took is what others take
        whole = self._whole(name, watched, now)
        if whole is not None:
            self._taken.setdefault(kind, []).append(whole)

    def _part(self, name: str, fraction: float) -> float:
        """The part of its time that a unit has taken when a fraction is done."""
        profiles = self._profiles.get(kind_of(name))
        if profiles:
            return fmean(one.part(fraction) for one in profiles)
        return fraction

    def _left_out(self, name: str, watched: _Watched) -> float:
        """The part of a unit that was left out; profiles of others hold it already."""
        if kind_of(name) in self._profiles:
            return 0.0
        return watched.left_out

    def _whole(self, name: str, watched: _Watched, now: float) -> float | None:
        """Seconds that all of a unit would take with nothing left out, from what was seen of
        it."""
        fraction, when = watched.anchor
        gained = self._part(name, watched.fraction) - self._part(name, fraction)
        gained -= self._left_out(name, watched)
        if gained >= SEEN:
            return (now - when) / gained
        return None

    def _tell(self, now: float, estimate: float | None) -> None:
        if estimate is None:
            self._told = None
            return
        if self._told is None:
            self._told = (estimate, now)
            return
        left, before = self._told
        passed = now - before
        expected = max(0.0, left - passed)
        weight = min(1.0, passed / SETTLING)
        self._told = (expected + weight * (estimate - expected), now)

    @property
    def left(self) -> float | None:
        """Seconds until all is done; None while nothing can be said."""
        if self._told is None:
            return None
        return self._told[0]

    def _estimate(
        self, now: float, units: Sequence[UnitNow], coming: Sequence[str]
    ) -> float | None:
        """The work that is left, on as many workers as there are."""
        running = [unit for unit in units if unit.status == "running"]
        waiting = [unit.name for unit in units if unit.status not in (*ENDED, "running")]
        typical = self._typical(now, running)
        left = []
        for unit in running:
            seconds = self._left_of(unit, now, typical)
            if seconds is None:
                return None
            left.append(seconds)
        kinds = [kind_of(name) for name in (*waiting, *coming)]
        known = [typical[kind] for kind in kinds if kind in typical]
        unknown = len(kinds) - len(known)
        if len(known) < unknown:
            return None
        if known:
            known += [fmean(known)] * unknown
        return _makespan(left, known, self.workers) + self.after

    def _typical(self, now: float, running: Sequence[UnitNow]) -> dict[str, float]:
        """Seconds that a unit of a kind takes: the mean of those that ended, and of those at work,
        for the first to end are the short ones."""
        taken = {kind: list(seconds) for kind, seconds in self._taken.items()}
        for unit in running:
            watched = self._watched[unit.name]
            whole = self._whole(unit.name, watched, now)
            if whole is not None:
                of_kind = taken.setdefault(kind_of(unit.name), [])
                of_kind.append(whole * (1 - self._left_out(unit.name, watched)))
        return {kind: fmean(seconds) for kind, seconds in taken.items()}

    def _left_of(self, unit: UnitNow, now: float, typical: dict[str, float]) -> float | None:
        watched = self._watched[unit.name]
        whole = self._whole(unit.name, watched, now)
        is_sure = watched.fraction - watched.anchor[0] >= SURE
        if whole is None or not is_sure:
            whole = typical.get(kind_of(unit.name), whole)
        if whole is None:
            return None
        done = self._part(unit.name, unit.fraction)
        return (1 - done) * whole


def kind_of(name: str) -> str:
    """The kind of a unit: `edge` of edge-0-1 and of "edge 2 of the tree's 3"."""
    found = re.match(r"[^\W\d]+", name)
    return found.group() if found else name


def _makespan(running: Sequence[float], waiting: Sequence[float], workers: int) -> float:
    """Seconds until the last is done, where each of these takes the next free worker."""
    free = sorted(running, reverse=True)[:workers]
    free += [0.0] * (workers - len(free))
    heapify(free)
    for seconds in waiting:
        heapreplace(free, free[0] + seconds)
    return max([*free, *running])
