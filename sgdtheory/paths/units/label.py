"""Which hidden units the numbers of a tensor belong to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.units import Ids


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

    axes: tuple[Shape, ...]
    ids: tuple[Ids | None, ...]
    parameter: str | None = None
    scaled_by: str | None = None
    is_square: bool = False

    @property
    def sizes(self) -> list[int]:
        """Of all factors."""
        return [size for factors in self.axes for size in factors]

    def span(self, axis: int) -> range:
        """The factors of an axis."""
        start = sum(len(factors) for factors in self.axes[:axis])
        return range(start, start + len(self.axes[axis]))

    def dependents(self, factor: int) -> list[Ids]:
        """Units of all factors, this one included, that are others for each index of it."""
        known = [ids for ids in self.ids if ids is not None]
        return [ids for ids in known if ids.shape[factor] > 1]

    def permuted(self, order: Shape) -> "Label":
        """Of the tensor with its axes in another order."""
        factors = [factor for axis in order for factor in self.span(axis)]
        ids = [self.ids[factor] for factor in factors]
        moved = [None if part is None else part.transpose(factors) for part in ids]
        axes = tuple(self.axes[axis] for axis in order)
        return replace(self, axes=axes, ids=tuple(moved))

    def with_axes(self, axes: tuple[Shape, ...]) -> "Label":
        """The same factors, shared out to other axes."""
        return replace(self, axes=axes)

    def with_factor(self, axis: int, size: int, ids: Ids | None) -> "Label":
        """With one factor for an axis of length 1; `ids` [size], or with an axis for each of the
        others before it, [… size]."""
        at = self.span(axis).start
        parts = [None if part is None else np.expand_dims(part, at) for part in self.ids]
        new = None
        if ids is not None:
            lead = (1,) * (len(parts) - ids.ndim + 1)
            new = np.moveaxis(ids.reshape(lead + ids.shape), -1, at)
        parts.insert(at, new)
        axes = list(self.axes)
        axes[axis] = (size,)
        return replace(self, axes=tuple(axes), ids=tuple(parts))


# (labels, outcome, an operation's own arguments) → label of the outcome, or of each
Rule: TypeAlias = Callable[..., Label | list[Label] | None]


def unlabelled(shape: Shape) -> Label:
    """Of a tensor [*shape] whose numbers all stay where they are."""
    axes = tuple((size,) if size != 1 else () for size in shape)
    ids: list[Ids | None] = [None for factors in axes for _ in factors]
    return Label(axes, tuple(ids))


def labelled_alone(axes: tuple[Ids | None, ...], shape: Shape) -> Label:
    """Of a tensor [*shape] whose axes have these units [size], each for itself."""
    label = Label(tuple(() for _ in shape), ())
    for axis, (size, ids) in enumerate(zip(shape, axes, strict=True)):
        if size != 1:
            label = label.with_factor(axis, size, ids)
    return label


def with_fixed_axes(label: Label, at: int, shape: Shape) -> Label:
    """With new axes [*shape] before an axis, whose indices stay where they are."""
    label = label.with_axes(label.axes[:at] + ((),) * len(shape) + label.axes[at:])
    for k, size in enumerate(shape):
        if size != 1:
            label = label.with_factor(at + k, size, None)
    return label


def letters(count: int) -> str:
    """Names of so many axes."""
    return "".join(chr(ord("a") + k) for k in range(count))
