"""Pictures of floating numbers: scaled once, and held as a network sees them."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from sgdtheory.data.examples import check_finite, described
from sgdtheory.data.images import Images
from sgdtheory.errors import UserError


@dataclass(frozen=True, eq=False)
class FloatImages(Images):
    """Images float32 [N, C, H, W], any finite numbers, with classes int64 [N].

    A network sees (x − mean)/std, of the training images or as stated, a channel each; or with
    scaling="unit" x itself. Shifts bring in a border of what becomes 0: the mean, or x = 0.
    """

    pixel: ClassVar = "x"

    def _check(self, where: str, inputs: Tensor, targets: Tensor) -> None:
        if inputs.ndim != 4 or not inputs.is_floating_point():
            raise UserError(f"{where} images must be float [N, C, H, W], not {described(inputs)}")
        check_finite(f"{where} images", inputs)
        self._check_labels(where, targets)
        self._check_stated(inputs.shape[1])

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        images = self.train_inputs.cpu().double()
        channels = images.transpose(0, 1).flatten(1)
        std, mean = torch.std_mean(channels, 1, correction=0)
        is_constant = (channels == channels[:, :1]).all(1)
        return mean, torch.where(is_constant, 1.0, std)

    @cached_property
    def _fill(self) -> Tensor:
        return self._origin[0].to(self.train_inputs)

    def kept_inputs(self, most: int) -> Tensor:
        """The training images [N, C, H, W], as they are."""
        return self.train_inputs

    def prepared(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Images [..., C, H, W] as a network takes them, scaled in float32 whatever the dtype."""
        return self.scaled(inputs, torch.float32).to(dtype)

    def scaled(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """(x − mean)/std, or x, of images [..., C, H, W]."""
        where = (images.device, dtype)
        zero, one = (values.to(*where) for values in self._origin)
        centred = images.to(dtype) - zero[:, None, None]
        return centred / one[:, None, None]
