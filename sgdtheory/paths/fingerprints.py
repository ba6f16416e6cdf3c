"""A first pairing of two networks' hidden units, by what no other renumbering can change."""

from typing import TypeAlias

import torch
from torch import Tensor

from sgdtheory.paths.matching import Matching, assignment
from sgdtheory.paths.symmetry import Parts, Slot

Slots: TypeAlias = dict[str, list[tuple[int, Slot]]]  # by parameter, with the group's number


def match_fingerprints(matching: Matching, here: Parts, there: Parts) -> None:
    """From the inputs on, pair each group's units by what no change of the groups to come can
    change, and change `here` in place."""
    slots: Slots = {name: [] for name in here}
    for number, group in enumerate(matching.groups):
        for slot in group.slots:
            slots[slot.name].append((number, slot))
    for number in range(len(matching.groups)):
        if number in matching.turned:
            step = _turned(matching, slots, here, there, number)
        else:
            ours = _fingerprints(matching, slots, here, number)
            theirs = _fingerprints(matching, slots, there, number)
            # not by matrix products, which are faster but round away what tells two nearly dead
            # units apart
            distances = torch.cdist(theirs, ours, compute_mode="donot_use_mm_for_euclid_dist")
            step = assignment(distances.square())
        matching.change(number, here, step)


def _later(matching: Matching, slots: Slots, slot: Slot, number: int) -> list[tuple[int, Slot]]:
    """Where groups that are not matched yet meet the units of group `number` at a slot: along
    another axis, or inside of the units."""
    found = []
    for other, place in slots[slot.name]:
        is_inside = number in matching.groups[other].inside
        if other >= number and (place.axis != slot.axis or is_inside):
            found.append((other, place))
    return found


def _turned(matching: Matching, slots: Slots, here: Parts, there: Parts, number: int) -> Tensor:
    """The rotation [units, units] by the weights that no later group meets."""
    group = matching.groups[number]
    known = [slot for slot in group.slots if not _later(matching, slots, slot, number)]
    products = torch.zeros(group.size, group.size, dtype=torch.float64)
    for slot in known:
        products += group.rows(slot, there) @ group.rows(slot, here).T
    step, _ = matching.best(number, products)
    return step


def _fingerprints(matching: Matching, slots: Slots, parts: Parts, number: int) -> Tensor:
    """Of each unit of a group all its weights [units, numbers]; those to and from units of later
    groups (and its own) sorted over these units, apart for each pixel of the kernel. Two networks
    that differ by a permutation of the groups from this one on have the same set of
    fingerprints."""
    group = matching.groups[number]
    rows = []
    for slot in group.slots:
        part = parts[slot.name].clone()
        for other, place in _later(matching, slots, slot, number):
            if other in matching.turned:
                matching.groups[other].level(part, place)
            else:
                matching.groups[other].sort(part, place)
        rows.append(group.rows(slot, {slot.name: part}))
    return torch.cat(rows, 1)
