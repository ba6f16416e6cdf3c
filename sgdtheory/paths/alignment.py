"""Weight matching: the renumbering of hidden units that brings one network closest to another."""

import torch
from torch import Tensor

from sgdtheory.paths.symmetry import Group, Parts, Permutation, Symmetry


def align(
    symmetry: Symmetry, moving: Tensor, fixed: Tensor, stream: torch.Generator, restarts: int = 8
) -> Tensor:
    """`moving` [n] with its hidden units renumbered so that |moving − fixed|, `fixed` [n], is
    small: weight matching.

    Coordinate descent over the groups, each an exact linear assignment given the others (Ainsworth
    et al. 2023, 2209.04836, Algorithm 1). It ends in a local minimum, in residual networks often a
    poor one, because all blocks of a stage hold one group in place. So it starts twice: from units
    paired by what no other renumbering can change (see `_by_fingerprint`), which alone finds a
    planted permutation, and from `moving` as it is, so that the distance never grows. Then
    `restarts` times two groups of the best are shuffled and descended again: on trained ResNets and
    DenseNets this came closer, in less time, than as many random starts. The closest of all is
    kept.
    """
    best = symmetry.identity()
    closest = float((moving - fixed).double().norm())
    for attempt in range(2 + restarts):
        if closest == 0:
            break
        if attempt == 0:
            start = _by_fingerprint(symmetry, moving, fixed)
        elif attempt == 1:
            start = symmetry.identity()
        else:
            start = _shuffle_two(symmetry, best, stream)
        permutations = _descend(symmetry, start, moving, fixed, stream)
        moved = symmetry.apply(moving, permutations)
        distance = float((moved - fixed).double().norm())
        if distance < closest:
            best = permutations
            closest = distance
    return symmetry.apply(moving, best)


def _shuffle_two(
    symmetry: Symmetry, permutations: list[Permutation], stream: torch.Generator
) -> list[Permutation]:
    shuffled = list(permutations)
    drawn = symmetry.random(stream)
    order = torch.randperm(len(drawn), generator=stream)
    for k in order[:2].tolist():
        shuffled[k] = drawn[k]
    return shuffled


def _descend(
    symmetry: Symmetry,
    start: list[Permutation],
    moving: Tensor,
    fixed: Tensor,
    stream: torch.Generator,
) -> list[Permutation]:
    """Assign one group after the other, in random order, until no group gains: maximises ⟨moved,
    fixed⟩."""
    permutations = list(start)
    there = symmetry.parts(fixed.cpu().double())
    moved = symmetry.apply(moving.cpu().double(), start)
    here = symmetry.parts(moved)
    scale = float(fixed.double().norm() * moving.double().norm())
    least = 1e-12 * scale  # below, a gain is rounding
    gained = True
    while gained:
        gained = False
        order = torch.randperm(len(symmetry.groups), generator=stream)
        for k in order.tolist():
            group = symmetry.groups[k]
            products = torch.zeros(group.size, group.size, dtype=torch.float64)  # [units, units]
            for slot in group.slots:
                wanted = group.rows(slot, there)
                present = group.rows(slot, here)
                products = products + wanted @ present.T
            step = _assignment(-products)
            assigned = products[torch.arange(group.size), step]
            gain = assigned.sum() - products.trace()
            if gain > least and _really_gains(group, here, there, step, least):
                group.permute(here, step)
                permutations[k] = permutations[k][step]
                gained = True
    return permutations


def _really_gains(group: Group, here: Parts, there: Parts, step: Permutation, least: float) -> bool:
    """Whether ⟨here, there⟩ grows: certain unless a parameter has the group on two axes, where the
    problem is quadratic."""
    axes = {(slot.name, slot.axis) for slot in group.slots}
    names = {slot.name for slot in group.slots}
    if len(axes) == len(names):
        return True
    moved = {name: here[name].clone() for name, _ in axes}
    group.permute(moved, step)
    gain = 0.0
    for name, part in moved.items():
        change = part - here[name]
        gain += float((change * there[name]).sum())
    return gain > least


def _assignment(costs: Tensor) -> Permutation:
    """For each row the column that makes the sum of costs [units, units] least."""
    from scipy.optimize import linear_sum_assignment  # here, because importing it takes its time

    _, columns = linear_sum_assignment(costs.numpy())
    return torch.from_numpy(columns)


def _by_fingerprint(symmetry: Symmetry, moving: Tensor, fixed: Tensor) -> list[Permutation]:
    """From the inputs on, each group's units paired by what no renumbering of the groups to come
    can change."""
    here = symmetry.parts(moving.cpu().double())
    there = symmetry.parts(fixed.cpu().double())
    permutations = []
    for k, group in enumerate(symmetry.groups):
        ours = _fingerprints(symmetry, here, k)
        theirs = _fingerprints(symmetry, there, k)
        # not by matrix products, which are faster but round away what tells two nearly dead units
        # apart
        distances = torch.cdist(theirs, ours, compute_mode="donot_use_mm_for_euclid_dist")
        permutation = _assignment(distances.square())
        permutations.append(permutation)
        group.permute(here, permutation)
    return permutations


def _fingerprints(symmetry: Symmetry, parts: Parts, k: int) -> Tensor:
    """Of each unit of group k all its weights [units, numbers]; those to and from units of later
    groups (and its own) sorted over these units, apart for each pixel of the kernel. Two
    networks that differ by a permutation of the groups from k on have the same set of
    fingerprints."""
    group = symmetry.groups[k]
    rows = []
    for slot in group.slots:
        part = parts[slot.name].clone()
        for later in symmetry.groups[k:]:
            for place in later.slots:
                if place.name == slot.name and place.axis != slot.axis:
                    later.sort(part, place)
        rows_here = group.rows(slot, {slot.name: part})
        rows.append(rows_here)
    return torch.cat(rows, 1)
