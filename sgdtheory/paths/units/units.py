"""Hidden units by number: which of them are one, which belong to a larger one, and what tells them
apart."""

from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgdtheory.annotations import Shape

Ids: TypeAlias = NDArray[np.int64]  # numbers of units, […]
FactorIds: TypeAlias = Ids | None  # of a factor; None where its indices stay where they are
Array: TypeAlias = NDArray[np.int64]
NONE = -1  # in place of a unit


class Units:
    """What is known of hidden units while a forward pass is watched.

    Units become one where two tensors are added, or multiplied into each other. A unit may belong
    to a whole, as the dimensions of a head to the head: where a whole is renumbered, its units move
    along. Marks tell units apart: only units that are marked alike may take each other's place.
    Units that nothing bends are never seen one by one, only all together: rotations keep that too.
    """

    def __init__(self) -> None:
        self._one = np.zeros(0, np.int64)  # a unit that this one is one with, or itself
        self._whole = np.zeros(0, np.int64)  # of those that stand for others
        self.marks = np.zeros(0, np.int64)
        self.bent = np.zeros(0, bool)
        self.measured = np.zeros(0, bool)  # whether the sum of their squares was taken
        self._marks_used = 0

    def new(self, shape: Shape) -> Ids:
        """Units that nothing is known of, marked alike, [*shape]."""
        start = len(self._one)
        count = prod(shape)
        ids = np.arange(start, start + count)
        wholes = np.full(count, NONE)
        marks = np.full(count, self._marks_used)
        no_facts = np.zeros(count, bool)
        self._one = np.append(self._one, ids)
        self._whole = np.append(self._whole, wholes)
        self.marks = np.append(self.marks, marks)
        self.bent = np.append(self.bent, no_facts)
        self.measured = np.append(self.measured, no_facts)
        self._marks_used += 1
        return ids.reshape(shape)

    def all(self) -> Ids:
        """Every unit by its own number, [units]."""
        return np.arange(len(self._one))

    def one(self, ids: Ids) -> Ids:
        """For each unit […] the one that stands for all it is one with."""
        found = self._one[ids]
        while True:
            further = self._one[found]
            if np.array_equal(further, found):
                return found
            found = further

    def own_whole(self, ids: Ids) -> Ids:
        """What each unit […] was put into itself: where two wholes became one, their parts did
        not."""
        return self._whole[self.one(ids)]

    def whole(self, ids: Ids) -> Ids:
        """What each unit […] belongs to, NONE where it is nothing's part or is NONE itself."""
        is_none = ids == NONE
        units = np.where(is_none, 0, ids)
        of_units = self.own_whole(units)
        wholes = np.where(is_none, NONE, of_units)
        known = wholes != NONE
        wholes[known] = self.one(wholes[known])
        return wholes

    def unify(self, first: Ids, second: Ids) -> None:
        """Units […] and […], broadcast, are one from now on; and what they belong to is one."""
        pairs = _pairs(self.one(first), self.one(second))
        distinct = np.unique(pairs, axis=0)
        todo: list[list[int]] = distinct.tolist()
        while todo:
            roots = [self._root(unit) for unit in todo.pop()]
            a = min(roots)
            b = max(roots)
            if a == b:
                continue
            self._one[b] = a
            wholes: list[int] = self._whole[[a, b]].tolist()
            known = [whole for whole in wholes if whole != NONE]
            if len(known) == 2:
                todo.append(known)
            if known:
                self._put_into(a, known[0])

    def put_into(self, ids: Ids, wholes: Ids) -> None:
        """Units […] belong to wholes […], broadcast; those of a unit of two become one."""
        pairs = _pairs(self.one(ids), wholes)
        taken: dict[int, int] = {}
        for unit, whole in pairs.tolist():
            first = taken.setdefault(unit, whole)
            if first != whole:
                self.unify(np.array(first), np.array(whole))
        for unit, whole in taken.items():
            self._put_into(self._root(unit), whole)

    def _put_into(self, unit: int, whole: int) -> None:
        above = self._root(whole)
        while above != unit and self._whole[above] != NONE:
            above = self._root(int(self._whole[above]))
        if above == unit:  # where a whole became one with its part
            whole = NONE
        self._whole[unit] = whole

    def _root(self, unit: int) -> int:
        while self._one[unit] != unit:
            unit = int(self._one[unit])
        return unit

    def tell_apart(self, ids: Ids, by: Array) -> None:
        """Units […] of different values […], broadcast, may not take each other's place."""
        distinct = np.unique(_pairs(ids, by), axis=0)
        values: dict[int, list[int]] = {}
        for unit, value in distinct.tolist():
            values.setdefault(unit, []).append(value)
        new: dict[tuple[int, ...], int] = {}
        for unit, own in values.items():
            mark = int(self.marks[unit])
            next_mark = self._marks_used + len(new)
            self.marks[unit] = new.setdefault((mark, *own), next_mark)
        self._marks_used += len(new)

    def bend(self, ids: Ids) -> None:
        """Units […] are seen one by one: no rotation of them keeps the function."""
        self.bent[ids] = True


def _pairs(first: Array, second: Array) -> Array:
    """The pairs [N, 2] of two arrays […] and […], broadcast."""
    both = np.broadcast_arrays(first, second)
    return np.stack(both, -1).reshape(-1, 2)
