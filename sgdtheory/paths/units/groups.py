"""The groups of interchangeable units that a watched forward pass leaves, and their slots."""

from collections import defaultdict
from typing import TypeAlias

import numpy as np
import torch

from sgdtheory.paths.symmetry import Group, Scale, Slot, Turnable
from sgdtheory.paths.units.labels import Axis, UnitLabels
from sgdtheory.paths.units.units import NONE, Ids, Units

Places: TypeAlias = dict[int, dict[Axis, list[int]]]  # of each unit, along each axis
Traits: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]  # a unit's marks, its parts' kinds


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
        self.groups = tuple(self._all_groups())
        self.turnable = tuple(self._all_turnable())

    def _all_places(self) -> Places:
        """The places of every unit, of its parts too; those of a kind together."""
        places: Places = defaultdict(dict)
        for axis, own in self._labels.axes.items():
            units = self._units.one(own)
            kinds = self._kinds[units]
            order = np.argsort(kinds, kind="stable")
            while (units != NONE).any():
                ordered = zip(order.tolist(), units[order].tolist(), strict=True)
                for place, unit in ordered:
                    if unit != NONE:
                        along_axis = places[unit].setdefault(axis, [])
                        along_axis.append(place)
                units = self._units.whole(units)
        return places

    def _sorted_members(self) -> list[list[int]]:
        """The units of each group; wholes before their parts, else in the order in which they were
        seen."""
        every = self._units.all()
        wholes = self._units.own_whole(every)
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for unit in self._places:
            whole = int(wholes[unit])
            kind = int(self._kinds[unit])
            alike[whole, kind].append(unit)
        axes = list(self._labels.axes)

        def seen(members: list[int]) -> tuple[int, int, int]:
            first = members[0]
            axis, places = next(iter(self._places[first].items()))
            depth = int(self._depths[first])
            return axes.index(axis), depth, places[0]

        groups = [members for members in alike.values() if len(members) > 1]
        return sorted(groups, key=seen)

    def _all_groups(self) -> list[Group]:
        numbers: dict[int, int] = {}  # which group each unit of a group is in
        for number, members in enumerate(self._members):
            numbers |= dict.fromkeys(members, number)
        groups = []
        for members in self._members:
            groups.append(self._group(members, numbers))
        return groups

    def _group(self, members: list[int], numbers: dict[int, int]) -> Group:
        """Of these units; `numbers`: which group each unit of a group is in."""
        inside = set()
        above = self._units.whole(np.array(members[0]))
        while above != NONE:
            number = numbers.get(int(above))
            if number is not None:
                inside.add(number)
            above = self._units.whole(above)
        slots = []
        first = members[0]
        for axis in self._places[first]:
            places = [self._places[unit][axis] for unit in members]
            slots.append(Slot(*axis, torch.tensor(places)))
        return Group(len(members), tuple(slots), frozenset(inside))

    def _all_turnable(self) -> list[Turnable]:
        """Streams that nothing bends and whose length something takes."""
        one = self._units.one(self._units.all())
        bent = one[self._units.bent]
        measured = one[self._units.measured]
        turnable = []
        for number, group in enumerate(self.groups):
            members = self._members[number]
            is_bent = np.isin(members, bent).any()
            is_measured = np.isin(members, measured).any()
            has_one_place = all(slot.places.shape[1] == 1 for slot in group.slots)
            is_part = self._depths[members[0]] > 0
            if is_bent or is_part or not is_measured or not has_one_place:
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
            names = {slot.name}
            names.update(name for name, _ in readers)
            for name in names:
                scales_met = self._labels.readings.get(name)
                if scales_met != {slot.name}:
                    return None
            axes = tuple(sorted(readers))
            scales.append(Scale(slot.name, axes))
        straight = Group(group.size, tuple(slots))
        return Turnable(number, straight, tuple(scales))


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
    marked = zip(one.tolist(), units.marks.tolist(), strict=True)
    for unit, mark in sorted(marked):
        marks[unit].append(mark)
    parts: dict[int, list[int]] = defaultdict(list)
    numbers: dict[Traits, int] = {}
    kinds = np.zeros(len(every), np.int64)
    for unit in sorted(marks, key=lambda unit: -depths[unit]):
        own_marks = tuple(marks[unit])
        kinds_of_parts = tuple(sorted(parts[unit]))
        traits = (own_marks, kinds_of_parts)
        kind = numbers.setdefault(traits, len(numbers))
        kinds[unit] = kind
        whole = int(wholes[unit])
        if whole != NONE:
            parts[whole].append(kind)
    return kinds[one]
