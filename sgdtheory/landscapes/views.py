"""The parameters that the points of a cloud are, as views of it."""

from collections.abc import Mapping
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


class Views:
    """Parameters by name as matrices [P, rows, columns], a bias a column, that are views of a cloud
    [P, n] whose rows lie in one piece.

    Those of the last cloud are kept as long as it lives: an optimiser moves one cloud in place, and
    making its views anew is a twentieth of a step of a small network.
    """

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        self._shapes = {name: matrix_of(shape) for name, shape in shapes.items()}
        self._last: _Seen | None = None

    def __call__(self, cloud: Tensor) -> TensorsByName:
        last = self._last
        if last is not None and last.cloud() is cloud and last.address == cloud.data_ptr():
            return last.views
        views = self._of(cloud)
        self._last = _Seen(ref(cloud, self._forget), cloud.data_ptr(), views)
        return views

    def _of(self, cloud: Tensor) -> TensorsByName:
        points, between, offset = cloud.shape[0], cloud.stride(0), cloud.storage_offset()
        views = {}
        for name, (rows, columns) in self._shapes.items():
            shape, strides = (points, rows, columns), (between, columns, 1)
            views[name] = cloud.as_strided(shape, strides, offset)
            offset += rows * columns
        return views

    def _forget(self, gone: ref[Tensor]) -> None:
        if self._last is not None and self._last.cloud is gone:
            self._last = None


def matrix_of(shape: torch.Size) -> tuple[int, int]:
    """The rows and columns of a parameter of this shape."""
    rows, *columns = shape
    return rows, prod(columns)
