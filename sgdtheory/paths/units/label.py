"""Which hidden units the numbers of a tensor belong to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from string import ascii_lowercase
from typing import TypeAlias

import numpy as np

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.units import FactorIds, Ids

Axes: TypeAlias = tuple[Shape, ...]  # the factors that each axis is made of


@dataclass(frozen=True, eq=False)
class Label:
    """The units of one tensor.

    An axis is made of factors: one that is 3·heads·d long has three once this has mattered, one of
    length 1 has none. For each factor `ids` has the units, an array with an axis for each factor of
    the tensor, whose length is 1 along the factors that make no difference: the dimensions of heads
    [1, heads, 1, d] are other ones in each head, the heads [1, heads, 1, 1] the same everywhere.
    None: a factor whose indices stay where they are, as those of examples, places and pixels.

    `parameter`: the one that this is, perhaps in another layout. `scaled_by`: the parameter that
    this was just multiplied by, unit by unit. `is_square`: of numbers that were just squared.
    """

    axes: Axes
    ids: tuple[FactorIds, ...]
    parameter: str | None = None
    scaled_by: str | None = None
    is_square: bool = False

    @property
    def sizes(self) -> list[int]:
        """Of all factors."""
        return list(chain.from_iterable(self.axes))

    def span(self, axis: int) -> range:
        """The factors of an axis."""
        counts = [len(factors) for factors in self.axes]
        start = sum(counts[:axis])
        return range(start, start + counts[axis])

    def dependents(self, factor: int) -> list[Ids]:
        """Units of all factors, this one included, that are others for each index of it."""
        dependents = []
        for ids in self.ids:
            if ids is not None and ids.shape[factor] > 1:
                dependents.append(ids)
        return dependents

    def permuted(self, order: Shape) -> "Label":
        """Of the tensor with its axes in another order."""
        spans = map(self.span, order)
        factors = list(chain.from_iterable(spans))
        moved: list[FactorIds] = []
        for factor in factors:
            ids = self.ids[factor]
            if ids is not None:
                ids = ids.transpose(factors)
            moved.append(ids)
        axes = tuple(self.axes[axis] for axis in order)
        return replace(self, axes=axes, ids=tuple(moved))

    def with_axes(self, axes: Axes) -> "Label":
        """The same factors, shared out to other axes."""
        return replace(self, axes=axes)

    def with_factor(self, axis: int, size: int, ids: FactorIds) -> "Label":
        """With one factor for an axis of length 1; `ids` [size], or with an axis for each of the
        others before it, [… size]."""
        at = self.span(axis).start
        parts: list[FactorIds] = []
        for part in self.ids:
            if part is not None:
                part = np.expand_dims(part, at)
            parts.append(part)
        if ids is not None:
            missing = len(parts) + 1 - ids.ndim
            shape = (1,) * missing + ids.shape
            ids = np.moveaxis(ids.reshape(shape), -1, at)
        parts.insert(at, ids)
        axes = list(self.axes)
        axes[axis] = (size,)
        return replace(self, axes=tuple(axes), ids=tuple(parts))


# (labels, outcome, an operation's own arguments) → label of the outcome, or of each
Rule: TypeAlias = Callable[..., Label | list[Label] | None]


def unlabelled(shape: Shape) -> Label:
    """Of a tensor [*shape] whose numbers all stay where they are."""
    no_units: list[FactorIds] = [None] * len(shape)
    return labelled_alone(tuple(no_units), shape)


def labelled_alone(axes: tuple[FactorIds, ...], shape: Shape) -> Label:
    """Of a tensor [*shape] whose axes have these units [size], each for itself."""
    no_factors = ((),) * len(shape)
    label = Label(no_factors, ())
    for axis, size in enumerate(shape):
        if size != 1:
            label = label.with_factor(axis, size, axes[axis])
    return label


def with_fixed_axes(label: Label, at: int, shape: Shape) -> Label:
    """With new axes [*shape] before an axis, whose indices stay where they are."""
    axes = list(label.axes)
    axes[at:at] = [()] * len(shape)
    label = label.with_axes(tuple(axes))
    for axis, size in enumerate(shape, at):
        if size != 1:
            label = label.with_factor(axis, size, None)
    return label


def letters(count: int) -> str:
    """Names of so many axes."""
    return ascii_lowercase[:count]
