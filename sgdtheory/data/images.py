"""Labelled images, held whole as bytes: 60,000 of CIFAR are 184 MB, so nothing is loaded while a
network trains."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt, Shape
from sgdtheory.data.augment import crop_flip, crop_flip_draws
from sgdtheory.data.draw import evenly
from sgdtheory.data.examples import Examples, described
from sgdtheory.data.npz import as_int64
from sgdtheory.data.remarks import remarks_on, unlike
from sgdtheory.errors import UserError

Augment: TypeAlias = Literal["none", "crop_flip"]
Scaling: TypeAlias = Literal["standard", "unit"]
Mean: TypeAlias = tuple[float, ...] | None  # of pixels, a channel each; None: the training images'
Spread: TypeAlias = tuple[PositiveFloat, ...] | None  # their standard deviation, likewise
# images uint8 [N, C, H, W], or floating numbers, labels, any integers [N]
Split: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Images(Examples):
    """Images uint8 [N, C, H, W] with classes int64 [N], and what becomes of a byte.

    scaling="standard" gives pixels a mean of 0 and a spread of 1 over the training images, a
    channel; "unit" leaves them in 0 … 1. That is no detail: it decides the Hessian's top eigenvalue
    and how much of the spectrum lies near zero. `stated_mean`, `stated_std`: others than those of
    the training images, in units of 255, a channel each, instead of what `scaling` says.
    """

    augment: Augment = "none"
    padding: PositiveInt = 4  # pixels; He et al. 2016, 1512.03385, Section 4.2
    scaling: Scaling = "standard"
    stated_mean: Mean = None
    stated_std: Spread = None
    nouns: ClassVar = ("images", "labels")
    pixel: ClassVar = "pixel/255"  # what mean and spread are of

    @classmethod
    def from_arrays(
        cls,
        train: Split,
        test: Split,
        classes: int,
        name: str,
        augment: Augment = "none",
        padding: int = 4,
        scaling: Scaling = "standard",
        limit: int | None = None,
        told: tuple[str, ...] = (),
        mean: Mean = None,
        std: Spread = None,
    ) -> "Images":
        """The same from numpy arrays, whatever their strides and the width of the labels: all, or
        `limit` of each split, drawn evenly over the classes. Of floating numbers, see
        `FloatImages`. Raises UserError where all training images are of one class."""
        kind = cls
        if train[0].dtype.kind == "f":
            from sgdtheory.data.float_images import FloatImages

            kind = FloatImages
        if limit is not None:
            train = _drawn(train, limit)
            test = _drawn(test, limit)
            left = len(np.unique(train[1]))
            if left < classes:
                few = f"data.limit={limit}: {left} of {classes} classes have a training image"
                told = (*told, few)
            told += unlike(train[1], test[1], range(classes), f"data.limit={limit}")
        _, known = train
        if len(known) and (known == known[0]).all():
            more = ""
            if limit is not None and limit < classes:
                more = f"; data.limit={limit} is too small"
            raise UserError(
                f"data {name}: all training images are of one class, and nothing is to be "
                f"learned of them{more}"
            )
        # One channel is in two layouts at once, and torch takes the strides' word: fresh strides.
        arrays = (torch.from_numpy(images.copy()) for images, _ in (train, test))
        tensors = [images.clone(memory_format=torch.contiguous_format) for images in arrays]
        whole = (as_int64(labels, f"data {name}: labels") for _, labels in (train, test))
        labels = [torch.from_numpy(numbers) for numbers in whole]
        return kind(
            tensors[0],
            labels[0],
            tensors[1],
            labels[1],
            classes,
            name,
            told,
            augment=augment,
            padding=padding,
            scaling=scaling,
            stated_mean=mean,
            stated_std=std,
        )

    @property
    def classes(self) -> int:
        """K, how many there are."""
        return self.outputs

    def _check(self, where: str, inputs: Tensor, targets: Tensor) -> None:
        if inputs.ndim != 4 or inputs.dtype != torch.uint8:
            raise UserError(f"{where} images must be uint8 [N, C, H, W], not {described(inputs)}")
        self._check_labels(where, targets)
        self._check_stated(inputs.shape[1])

    def _check_labels(self, where: str, targets: Tensor) -> None:
        if targets.ndim != 1 or targets.dtype != torch.int64:
            raise UserError(f"{where} labels must be int64 [N], not {described(targets)}")

    def _check_stated(self, channels: int) -> None:
        """Raise UserError where mean and spread are not stated for each of so many channels."""
        for name, stated in (("mean", self.stated_mean), ("std", self.stated_std)):
            if stated is not None and len(stated) != channels:
                raise UserError(
                    f"data.{name} has {len(stated)} numbers for images of {channels} channels"
                )
        if self.stated_mean is None and self.stated_std is not None:
            raise UserError("data.std is given without data.mean; give both")
        if self.stated_mean is not None and self.stated_std is None:
            raise UserError("data.mean is given without data.std; give both")

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        # Through histograms of the 256 values: exact, the same on every device, and without a float
        # copy of all pixels.
        counts = torch.stack(
            [torch.bincount(x.flatten(), minlength=256).cpu() for x in self.train_inputs.unbind(1)]
        )
        share = counts.double() / counts.sum(1, keepdim=True)  # [C, 256]
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = share @ values
        about_mean = (values - mean[:, None]).square()
        variance = (share * about_mean).sum(1)
        occurring = (counts > 0).sum(1)
        return mean, torch.where(occurring > 1, variance.sqrt(), 1.0)

    @cached_property
    def _affine(self) -> dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def _fill(self) -> Tensor:
        zero, _ = self._origin
        nearest = (255 * zero).round().clamp(0, 255)
        return nearest.to(self.train_inputs.device, torch.uint8)

    @property
    def mean(self) -> Tensor:
        """Mean of pixel/255 over the training images, or the stated one, a channel [C], float64 on
        the CPU."""
        if self.stated_mean is not None:
            return torch.tensor(self.stated_mean, dtype=torch.float64)
        return self._moments[0]

    @property
    def std(self) -> Tensor:
        """Standard deviation of pixel/255 over the training images, or the stated one, a channel
        [C]; 1 where a channel is constant."""
        if self.stated_std is not None:
            return torch.tensor(self.stated_std, dtype=torch.float64)
        return self._moments[1]

    @property
    def _origin(self) -> tuple[Tensor, Tensor]:
        """Which pixel/255 becomes 0, and how much of it becomes 1, a channel [C]."""
        if self.scaling == "standard" or self.stated_mean is not None:
            return self.mean, self.std
        return torch.zeros_like(self.mean), torch.ones_like(self.mean)

    def kept_inputs(self, most: int) -> Tensor:
        """The training images [N, C, H, W]: small sets that nothing is done to are kept as a
        network sees them; large ones stay bytes."""
        is_small = self.train_inputs.numel() <= most and self.augment == "none"
        if is_small:
            return self.scaled(self.train_inputs, torch.float32)
        return self.train_inputs

    def prepared(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Bytes [..., C, H, W] as a network takes them, scaled in float32 whatever the dtype, so
        that kept and fresh ones are the same numbers."""
        if inputs.dtype == dtype:
            return inputs
        if not inputs.is_floating_point():
            inputs = self.scaled(inputs, torch.float32)
        return inputs.to(dtype)

    def scaled(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """(pixel/255 − mean)/std, or pixel/255, of bytes [..., C, H, W]: one multiplication and one
        addition in place."""
        where = (images.device, dtype)
        if where not in self._affine:  # kept, or every call would wait for two copies to the device
            zero, one = self._origin
            scale = (1 / (255 * one)).to(*where)
            shift = (-zero / one).to(*where)
            self._affine[where] = (scale[:, None, None], shift[:, None, None])
        scale, shift = self._affine[where]
        return images.to(dtype).mul_(scale).add_(shift)

    def augmentation(self, shape: Shape, stream: torch.Generator) -> Tensor | None:
        """Random draws for images [*shape, C, H, W], on the CPU; None when nothing is augmented."""
        if self.augment == "none":
            return None
        return crop_flip_draws(shape, self.padding, stream)

    def augmented(self, images: Tensor, draws: Tensor) -> Tensor:
        """Bytes [..., C, H, W] shifted and flipped as drawn; the border is what scaling makes 0.

        The usual recipe pads with zeros after scaling: the mean colour, or black in 0 … 1. Here
        images are still bytes, so it is the mean to the nearest byte: off by at most 1/510 of the
        range, or, where a stated mean lies beyond 0 … 1, black or white.
        """
        return crop_flip(images, draws, self.padding, self._fill)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of these images before believing what is measured on them, a line
        each."""
        train = _on_the_host(self.train_inputs, self.train_targets)
        test = _on_the_host(self.test_inputs, self.test_targets)
        return (*self.told, *self._scaled_as(), *remarks_on(train, test, self.outputs))

    def _scaled_as(self) -> tuple[str, ...]:
        """What is done to a pixel x, where the user has said so."""
        if self.stated_mean is None:
            return ()
        mean, std = map(_listed, self._origin)
        return (f"a network sees ({self.pixel} − [{mean}])/[{std}], as data.mean and data.std say",)


def _on_the_host(images: Tensor, labels: Tensor) -> Split:
    """Images [N, …] and labels [N] as arrays."""
    return images.cpu().numpy(), labels.cpu().numpy()


def _listed(values: Tensor) -> str:
    """The numbers of values [C], one after the other."""
    return ", ".join(f"{x:g}" for x in values.tolist())


def _drawn(split: Split, limit: int) -> Split:
    images, labels = split
    # other labels are refused by and by
    rows = evenly(labels, limit) if labels.ndim == 1 else np.arange(limit)
    return images[rows], labels[rows]
