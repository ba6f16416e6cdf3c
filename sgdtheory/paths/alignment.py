"""Weight matching: the change of hidden units that brings one network closest to another."""

import torch
from torch import Tensor

from sgdtheory.paths.fingerprints import match_fingerprints
from sgdtheory.paths.matching import Matching, renumbering, turning
from sgdtheory.paths.symmetry import Parts, Symmetry

LEAST = 1e-12  # of |moving||fixed|: a smaller gain is rounding


def align(
    symmetry: Symmetry, moving: Tensor, fixed: Tensor, stream: torch.Generator, restarts: int = 8
) -> Tensor:
    """`moving` [n] with its hidden units renumbered so that |moving − fixed|, `fixed` [n], is
    small: weight matching.

    Coordinate descent over the groups, each an exact linear assignment given the others (Ainsworth
    et al. 2023, 2209.04836, Algorithm 1). It ends in a local minimum, in residual networks often a
    poor one, because all blocks of a stage hold one group in place. So it starts twice: from units
    paired by what no other renumbering can change (see `match_fingerprints`), which alone finds a
    planted permutation, and from `moving` as it is, so that the distance never grows. Then
    `restarts` times two groups of the best are shuffled and descended again: on trained ResNets and
    DenseNets this came closer, in less time, than as many random starts. The closest of all is
    kept.

    Where streams may be turned the same is done once more with them turned instead of renumbered,
    each by the best orthogonal matrix R given the others (Procrustes): W out of the stream becomes
    W Rᵀ, W into it R W, an embedding E Rᵀ. For this the scales γ of RMS norms are taken into the
    weights behind them in both networks, and in the end those weights are divided by the scales of
    `fixed`, which the outcome has: the function stays the same to rounding, as does every number of
    θ in networks without such streams.
    """
    best = _aligned(renumbering(symmetry), moving, fixed, stream, restarts)
    if symmetry.turnable:
        start = symmetry.folded(moving.double())
        end = symmetry.folded(fixed.double())
        turned = _aligned(turning(symmetry), start, end, stream, restarts)
        turned = symmetry.unfolded(turned, fixed).to(moving)
        if _distance(turned, fixed) < _distance(best, fixed):
            best = turned
    return best


def _aligned(
    matching: Matching, moving: Tensor, fixed: Tensor, stream: torch.Generator, restarts: int
) -> Tensor:
    """`moving` [n] after the changes that bring it closest to `fixed` [n]."""
    symmetry = matching.symmetry
    best = moving
    closest = _distance(moving, fixed)
    start = symmetry.parts(moving.cpu().double())
    there = symmetry.parts(fixed.cpu().double())
    for attempt in range(2 + restarts):
        if closest == 0:
            break
        here = {name: part.clone() for name, part in start.items()}
        if attempt == 0:
            match_fingerprints(matching, here, there)
        elif attempt > 1:
            here = symmetry.parts(best.cpu().double())
            _shuffle_two(matching, here, stream)
        _descend(matching, here, there, stream)
        moved = symmetry.vector(here).to(moving)
        distance = _distance(moved, fixed)
        if distance < closest:
            best = moved
            closest = distance
    return best


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).double().norm())


def _shuffle_two(matching: Matching, parts: Parts, stream: torch.Generator) -> None:
    order = torch.randperm(len(matching.groups), generator=stream)
    for number in order[:2].tolist():
        matching.change(number, parts, matching.random(number, stream))


def _square(parts: Parts) -> float:
    """|θ|² of a point by parameter."""
    return sum(float(part.square().sum()) for part in parts.values())


def _descend(matching: Matching, here: Parts, there: Parts, stream: torch.Generator) -> None:
    """Change one group of `here` after the other, in place and in random order, until none gains:
    maximises ⟨here, there⟩."""
    least = LEAST * (_square(here) * _square(there)) ** 0.5
    gained = True
    while gained:
        gained = False
        order = torch.randperm(len(matching.groups), generator=stream)
        for number in order.tolist():
            products = matching.products(number, there, here)
            step, gain = matching.best(number, products)
            if gain > least and _really_gains(matching, number, here, there, step, least):
                matching.change(number, here, step)
                gained = True


def _really_gains(
    matching: Matching, number: int, here: Parts, there: Parts, step: Tensor, least: float
) -> bool:
    """Whether ⟨here, there⟩ grows: certain unless a parameter has the group on two axes, where the
    problem is quadratic."""
    slots = matching.groups[number].slots
    axes = {(slot.name, slot.axis) for slot in slots}
    names = {slot.name for slot in slots}
    if len(axes) == len(names):
        return True
    moved = {name: here[name].clone() for name in names}
    matching.change(number, moved, step)
    gain = 0.0
    for name, part in moved.items():
        change = part - here[name]
        gain += float((change * there[name]).sum())
    return gain > least
