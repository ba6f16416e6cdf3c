"""A landscape seen in other coordinates: all it has besides, asked at the points that are meant."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Generator, Tensor

from sgdtheory.protocol import Batch, Cloud, Landscape
from sgdtheory.roles.closed_forms import states_noise

# what does not depend on θ is the landscape's own
HANDED_ON = {
    "augmentation",
    "batch",
    "count",
    "data",
    "decay",
    "device",
    "loss",
    "module",
    "parts",
    "rows_at_once",
    "sample",
    "weight_decay",
}
# what is a function of a cloud is asked at the points that are meant
OF_CLOUDS = {"penalty", "twice_differentiable_losses", "twice_differentiable_outputs"}


class Placed(ABC):
    """L as a function of coordinates [k] of its own, which `place` at points of the landscape."""

    def __init__(self, landscape: Landscape) -> None:
        self._landscape = landscape

    def __getattr__(self, name: str) -> Any:
        """What the landscape has besides, where it means the same in these coordinates."""
        if name in HANDED_ON:
            return getattr(self._landscape, name)
        if name in OF_CLOUDS:
            return partial(self._at_place, getattr(self._landscape, name))
        if name == "noise_covariance" and states_noise(self._landscape):
            return self._noise_covariance
        kind = type(self).__name__.lower()
        raise AttributeError(f"a {kind} landscape has no {name}")

    @property
    @abstractmethod
    def dim(self) -> int: ...

    @abstractmethod
    def init(self, points: int, stream: Generator) -> Cloud: ...

    @abstractmethod
    def place(self, cloud: Cloud) -> Cloud:
        """Points in these coordinates [P, k] as points of the landscape [P, n]."""

    @abstractmethod
    def _covariance_of(self, covariance: Tensor) -> Tensor:
        """The covariance [P, k, k] of the gradient by these coordinates, of that [P, n, n] by the
        landscape's."""

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        return self._landscape.losses(self.place(cloud), batch)

    def _at_place(self, function: Callable[..., Tensor], cloud: Cloud, *rest: Batch) -> Tensor:
        return function(self.place(cloud), *rest)

    def _noise_covariance(self, cloud: Cloud) -> Tensor:
        assert states_noise(self._landscape)
        covariance = self._landscape.noise_covariance(self.place(cloud))
        return self._covariance_of(covariance)
