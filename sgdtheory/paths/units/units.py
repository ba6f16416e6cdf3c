"""Hidden units by number: which of them are one, which belong to a larger one, and what tells them
apart."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sgdtheory.annotations import Shape

Ids: TypeAlias = NDArray[np.int64]  # numbers of units, […]
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
        ids = np.arange(start, start + int(np.prod(shape)))
        count = len(ids)
        marks = np.full(count, self._marks_used)
        self._one = np.concatenate([self._one, ids])
        self._whole = np.concatenate([self._whole, np.full(count, NONE)])
        self.marks = np.concatenate([self.marks, marks])
        self.bent = np.concatenate([self.bent, np.zeros(count, bool)])
        self.measured = np.concatenate([self.measured, np.zeros(count, bool)])
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
        of_units = self._whole[self.one(np.where(ids == NONE, 0, ids))]
        wholes = np.where(ids == NONE, NONE, of_units)
        known = wholes != NONE
        wholes[known] = self.one(wholes[known])
        return wholes

    def unify(self, first: Ids, second: Ids) -> None:
        """Units […] and […], broadcast, are one from now on; and what they belong to is one."""
        pairs = np.stack(np.broadcast_arrays(self.one(first), self.one(second)))
        pairs = np.unique(pairs.reshape(2, -1), axis=1)
        todo: list[tuple[int, int]] = list(zip(*pairs.tolist(), strict=True))
        while todo:
            a, b = (self._root(unit) for unit in todo.pop())
            if a == b:
                continue
            a, b = min(a, b), max(a, b)
            self._one[b] = a
            wholes = [int(self._whole[unit]) for unit in (a, b)]
            known = [whole for whole in wholes if whole != NONE]
            if len(known) == 2:
                todo.append((known[0], known[1]))
            if known:
                self._put_into(a, known[0])

    def put_into(self, ids: Ids, wholes: Ids) -> None:
        """Units […] belong to wholes […], broadcast; those of a unit of two become one."""
        pairs = np.stack(np.broadcast_arrays(self.one(ids), wholes)).reshape(2, -1)
        taken: dict[int, int] = {}
        for unit, whole in zip(*pairs.tolist(), strict=True):
            first = taken.setdefault(unit, whole)
            if first != whole:
                self.unify(np.array(first), np.array(whole))
        for unit, whole in taken.items():
            self._put_into(self._root(unit), whole)

    def _put_into(self, unit: int, whole: int) -> None:
        above = self._root(whole)
        while above != unit and self._whole[above] != NONE:
            above = self._root(int(self._whole[above]))
        is_itself = above == unit  # where a whole became one with its part
        self._whole[unit] = NONE if is_itself else whole

    def _root(self, unit: int) -> int:
        while self._one[unit] != unit:
            unit = int(self._one[unit])
        return unit

    def tell_apart(self, ids: Ids, by: Array) -> None:
        """Units […] of different values […], broadcast, may not take each other's place."""
        ids, by = np.broadcast_arrays(ids, by)
        pairs = np.unique(np.stack([ids.reshape(-1), by.reshape(-1)]), axis=1)
        starts = np.flatnonzero(np.diff(pairs[0], prepend=NONE))
        new: dict[tuple[int, Shape], int] = {}
        ends = [*starts[1:].tolist(), pairs.shape[1]]
        values = pairs[1].tolist()
        for start, end in zip(starts.tolist(), ends, strict=True):
            unit = pairs[0, start]
            key = int(self.marks[unit]), tuple(values[start:end])
            self.marks[unit] = new.setdefault(key, self._marks_used + len(new))
        self._marks_used += len(new)

    def bend(self, ids: Ids) -> None:
        """Units […] are seen one by one: no rotation of them keeps the function."""
        self.bent[ids] = True
