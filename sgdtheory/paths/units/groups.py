"""The groups of interchangeable units that a watched forward pass leaves, and their slots."""

from collections import defaultdict
from typing import TypeAlias

import numpy as np
import torch

from sgdtheory.annotations import Shape
from sgdtheory.paths.symmetry import Group, Scale, Slot, Turnable
from sgdtheory.paths.units.labels import Axis, UnitLabels
from sgdtheory.paths.units.units import NONE, Ids, Units

Places: TypeAlias = dict[int, dict[Axis, list[int]]]  # of each unit, along each axis


class FoundGroups:
    """What may be renumbered, and what may be turned.

    Units are interchangeable that are marked alike, belong to the same whole, and have parts that
    are so too. A group's units are in the order of their first place.
    """

    def __init__(self, labels: UnitLabels) -> None:
        self._labels = labels
        self._units = labels.units
        self._depths = _depths(labels.units)
        self._kinds = _kinds(labels.units, self._depths)
        self._places = self._all_places()
        self._members = self._sorted_members()
        numbers: dict[int, int] = {}
        for number, members in enumerate(self._members):
            numbers |= dict.fromkeys(members, number)
        self.groups = tuple(self._group(members, numbers) for members in self._members)
        self.turnable = tuple(self._all_turnable())

    def _all_places(self) -> Places:
        """The places of every unit, of its parts too; those of a kind together."""
        places: Places = defaultdict(dict)
        for axis, own in self._labels.axes.items():
            units = self._units.one(own)
            order = np.lexsort([np.arange(len(units)), self._kinds[units]])
            while (units != NONE).any():
                for place in order.tolist():
                    unit = int(units[place])
                    if unit != NONE:
                        places[unit].setdefault(axis, []).append(place)
                units = self._units.whole(units)
        return places

    def _sorted_members(self) -> list[list[int]]:
        """The units of each group; wholes before their parts, else in the order in which they were
        seen."""
        wholes = self._units.own_whole(self._units.all())
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for unit in self._places:
            alike[int(wholes[unit]), int(self._kinds[unit])].append(unit)
        axes = {axis: k for k, axis in enumerate(self._labels.axes)}

        def seen(members: list[int]) -> tuple[int, int, int]:
            axis, places = next(iter(self._places[members[0]].items()))
            return axes[axis], int(self._depths[members[0]]), places[0]

        groups = [members for members in alike.values() if len(members) > 1]
        return sorted(groups, key=seen)

    def _group(self, members: list[int], numbers: dict[int, int]) -> Group:
        """Of these units; `numbers`: which group each unit of a group is in."""
        inside = set()
        (above,) = self._units.whole(np.array(members[:1])).tolist()
        while above != NONE:
            if above in numbers:
                inside.add(numbers[above])
            (above,) = self._units.whole(np.array([above])).tolist()
        slots = []
        for axis in self._places[members[0]]:
            places = [self._places[unit][axis] for unit in members]
            slots.append(Slot(*axis, torch.tensor(places)))
        return Group(len(members), tuple(slots), frozenset(inside))

    def _all_turnable(self) -> list[Turnable]:
        """Streams that nothing bends and whose length something takes."""
        one = self._units.one(self._units.all())
        bent = set(one[self._units.bent].tolist())
        measured = set(one[self._units.measured].tolist())
        turnable = []
        for number, group in enumerate(self.groups):
            members = self._members[number]
            is_straight = not bent & set(members) and measured & set(members)
            has_one_place = all(slot.places.shape[1] == 1 for slot in group.slots)
            if not is_straight or not has_one_place or self._depths[members[0]]:
                continue
            found = self._turnable(number, group)
            if found is not None:
                turnable.append(found)
        return turnable

    def _turnable(self, number: int, group: Group) -> Turnable | None:
        """The group without its scales; None where one of them cannot be taken into what reads
        it."""
        scales = []
        slots = []
        for slot in group.slots:
            readers = self._labels.scaled.get(slot.name)
            if readers is None:
                slots.append(slot)
                continue
            for name in (slot.name, *(name for name, _ in readers)):
                if self._labels.readings.get(name) != {slot.name}:
                    return None
            scales.append(Scale(slot.name, tuple(sorted(readers))))
        return Turnable(number, Group(group.size, tuple(slots)), tuple(scales))


def _depths(units: Units) -> Ids:
    """How many wholes each unit is inside of, [units]."""
    depths = np.zeros(len(units.all()), np.int64)
    above = units.whole(units.all())
    while (above != NONE).any():
        depths += above != NONE
        above = units.whole(above)
    return depths


def _kinds(units: Units, depths: Ids) -> Ids:
    """A number for each unit [units]: the same for units that are marked alike and whose parts are
    of the same kinds."""
    every = units.all()
    one = units.one(every)
    wholes = units.whole(every)
    marks: dict[int, list[int]] = defaultdict(list)
    for unit, mark in sorted(zip(one.tolist(), units.marks.tolist(), strict=True)):
        marks[unit].append(mark)
    parts: dict[int, list[int]] = defaultdict(list)
    numbers: dict[tuple[Shape, Shape], int] = {}
    kinds = np.zeros(len(every), np.int64)
    for unit in sorted(marks, key=lambda unit: -depths[unit]):
        key = tuple(marks[unit]), tuple(sorted(parts[unit]))
        kinds[unit] = numbers.setdefault(key, len(numbers))
        if wholes[unit] != NONE:
            parts[int(wholes[unit])].append(int(kinds[unit]))
    return kinds[one]
