"""The parameters that the points of a cloud are, as views of it.

Those of the last cloud are kept as long as it lives: an optimiser moves one cloud in place, and
making its views anew is a twentieth of a step of a small network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple
from weakref import ref

import torch
from torch import Tensor

from sgdtheory.protocol import TensorsByName


class _Seen(NamedTuple):
    """A cloud whose views were made, where it lay, and they."""

    cloud: ref[Tensor]
    address: int
    views: TensorsByName


class Kept(ABC):
    """Views of the last cloud, as long as it lives."""

    _last: _Seen | None = None

    @abstractmethod
    def _of(self, cloud: Tensor) -> TensorsByName:
        """The views of a cloud [P, n], their own shapes."""

    def __call__(self, cloud: Tensor) -> TensorsByName:
        """Parameters by name [their own shapes], views of a cloud [P, n]."""
        last = self._last
        if last is not None and last.cloud() is cloud and last.address == cloud.data_ptr():
            return last.views
        views = self._of(cloud)
        self._last = _Seen(ref(cloud, self._forget), cloud.data_ptr(), views)
        return views

    def _forget(self, gone: ref[Tensor]) -> None:
        if self._last is not None and self._last.cloud is gone:
            self._last = None


class Views(Kept):
    """Parameters by name as matrices [P, rows, columns], a bias a column, that are views of a cloud
    [P, n] whose rows lie in one piece."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        self._shapes = {name: matrix_of(shape) for name, shape in shapes.items()}

    def _of(self, cloud: Tensor) -> TensorsByName:
        points = cloud.shape[0]
        between = cloud.stride(0)
        offset = cloud.storage_offset()
        views = {}
        for name, (rows, columns) in self._shapes.items():
            shape = (points, rows, columns)
            strides = (between, columns, 1)
            views[name] = cloud.as_strided(shape, strides, offset)
            offset += rows * columns
        return views


class Places(Kept):
    """Parameters by name that are views of a cloud [P, n], as `weights` shapes them."""

    def __init__(self, weights: Callable[[Tensor], TensorsByName]) -> None:
        self._weights = weights

    def _of(self, cloud: Tensor) -> TensorsByName:
        with torch.no_grad():
            return self._weights(cloud.detach())


class Leaves(Places):
    """The same, each a leaf of autograd's graph: its backward pass ends at them, not at θ behind
    the views."""

    def _of(self, cloud: Tensor) -> TensorsByName:
        return {name: view.requires_grad_() for name, view in super()._of(cloud).items()}


def taken(into: Tensor | None, cloud: Tensor) -> Tensor:
    """Memory [P, n] for the gradients at a cloud [P, n]: `into` where it fits."""
    if into is None or not into.is_contiguous():
        return cloud.new_empty(cloud.shape)
    fits = into.shape == cloud.shape and into.dtype == cloud.dtype
    return into if fits else cloud.new_empty(cloud.shape)


def matrix_of(shape: torch.Size) -> tuple[int, int]:
    """The rows and columns of a parameter of this shape."""
    rows, *columns = shape
    return rows, prod(columns)
