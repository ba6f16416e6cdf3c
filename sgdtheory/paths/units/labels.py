"""The labels of all tensors of one forward pass, and what was seen of its parameters."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
from torch import Tensor

from sgdtheory.paths.units.label import Label, labelled_alone, unlabelled
from sgdtheory.paths.units.units import FactorIds, Ids, Units
from sgdtheory.runs.tensors import Tensors

Axis: TypeAlias = tuple[str, int]  # of a parameter


class UnitLabels:
    """The labels of one forward pass over inputs [b, …] with these parameters [their own shapes].

    An axis of a parameter begins as units of its own. A tensor that depends on neither is a
    constant: its indices are interchangeable where its numbers are equal.
    """

    def __init__(self, parameters: Tensors, inputs: Tensor) -> None:
        self.units = Units()
        self.axes: dict[Axis, Ids] = {}  # in the order in which they were seen first
        self.scaled: dict[str, set[Axis]] = {}  # by a scale, what reads the numbers it scaled
        self.readings: dict[str, set[str | None]] = {}  # by parameter, the scales of what it met
        self._names = {id(part): name for name, part in parameters.items()}
        self._of_tensors = {id(inputs): unlabelled(tuple(inputs.shape))}
        self._unknown: set[int] = set()
        self._alive: list[object] = [inputs]  # an id is a tensor's only as long as it lives

    def add(self, tensor: Tensor, label: Label) -> None:
        """Give a tensor […] its label."""
        self._of_tensors[id(tensor)] = label
        self._alive.append(tensor)

    def add_unknown(self, tensor: Tensor) -> None:
        """Note a tensor […] that depends on the inputs in a way that is not followed."""
        self._unknown.add(id(tensor))
        self._alive.append(tensor)

    def is_labelled(self, tensor: Tensor) -> bool:
        """Whether a tensor […] was made in this pass, or is a parameter."""
        return id(tensor) in self._of_tensors or id(tensor) in self._names

    def is_unknown(self, tensor: Tensor) -> bool:
        """Whether a tensor […] was made in this pass in a way that is not followed."""
        return id(tensor) in self._unknown

    def of(self, tensor: Tensor) -> Label:
        """The label of a tensor […]."""
        known = self._of_tensors.get(id(tensor))
        if known is not None:
            return known
        name = self._names.get(id(tensor))
        if name is None:
            return self._of_constant(tensor)
        label = self._of_parameter(tensor, name)
        self.add(tensor, label)
        return label

    def _of_parameter(self, tensor: Tensor, name: str) -> Label:
        axes: list[FactorIds] = []
        for axis, size in enumerate(tensor.shape):
            ids = self.units.new((size,))
            self.axes[name, axis] = ids
            axes.append(ids)
        label = labelled_alone(tuple(axes), tuple(tensor.shape))
        return Label(label.axes, label.ids, parameter=name)

    def _of_constant(self, tensor: Tensor) -> Label:
        axes: list[FactorIds] = []
        for axis, size in enumerate(tensor.shape):
            ids = None
            if bool((tensor == tensor.narrow(axis, 0, 1)).all()):
                ids = self.units.new((size,))
            axes.append(ids)
        return labelled_alone(tuple(axes), tuple(tensor.shape))

    def bend(self, label: Label) -> None:
        """Note that the units of a tensor are seen one by one."""
        for ids in label.ids:
            if ids is not None:
                self.units.bend(ids)

    def axis_of(self, ids: Ids) -> Axis | None:
        """The axis of a parameter whose units these are, whole and in order; None where there is
        none."""
        for axis, own in self.axes.items():
            if own.size == ids.size and np.array_equal(own, ids.reshape(-1)):
                return axis
        return None


def tensors_in(values: object) -> Iterator[Tensor]:
    """All tensors […] in nested lists, tuples and dictionaries."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, Mapping):
        yield from tensors_in(list(values.values()))
