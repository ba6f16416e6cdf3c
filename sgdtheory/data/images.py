"""Labelled images, held whole as bytes: 60,000 of CIFAR are 184 MB, so nothing is loaded while a
network trains."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.data.augment import crop_flip, crop_flip_draws
from sgdtheory.data.draw import evenly
from sgdtheory.data.remarks import remarks_on
from sgdtheory.errors import UserError

Augment: TypeAlias = Literal["none", "crop_flip"]
Scaling: TypeAlias = Literal["standard", "unit"]
# images uint8 [N, C, H, W], labels, any integers [N]
Split: TypeAlias = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Images:
    """Training and test images uint8 [N, C, H, W], labels int64 [N] in 0 … classes − 1, and what
    becomes of a byte.

    scaling="standard" gives pixels a mean of 0 and a spread of 1 over the training images, a
    channel; "unit" leaves them in 0 … 1. That is no detail: it decides the Hessian's top eigenvalue
    and how much of the spectrum lies near zero.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    name: str
    augment: Augment = "none"
    padding: PositiveInt = 4  # pixels; He et al. 2016, 1512.03385, Section 4.2
    scaling: Scaling = "standard"
    told: tuple[str, ...] = ()  # what whoever read them wants the user to know
    content_sha256: str | None = None  # of what was read, where nothing else says what it is

    def __post_init__(self) -> None:
        _check(self.name, "train", self.train_images, self.train_labels, self.classes)
        _check(self.name, "test", self.test_images, self.test_labels, self.classes)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            sizes = " but ".join(
                f"{tuple(x.shape[1:])}" for x in (self.train_images, self.test_images)
            )
            raise UserError(f"data {self.name}: training images are {sizes} in the test set")

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
    ) -> "Images":
        """The same from numpy arrays, whatever their strides and the width of the labels: all, or
        `limit` of each split, drawn evenly over the classes. Raises UserError where all training
        images are of one class."""
        if limit is not None:
            train, test = (_drawn(split, limit) for split in (train, test))
            left = len(np.unique(train[1]))
            if left < classes:
                told = (
                    *told,
                    f"data.limit={limit}: {left} of {classes} classes have a training image",
                )
        if len(train[1]) and (train[1] == train[1][0]).all():
            more = (
                ""
                if limit is None
                else f"; data.limit={limit} is too small"
                if limit < classes
                else ""
            )
            raise UserError(
                f"data {name}: all training images are of one class, and nothing is to be "
                f"learned of them{more}"
            )
        # One channel is in two layouts at once, and torch takes the strides' word: fresh strides.
        arrays = (torch.from_numpy(images.copy()) for images, _ in (train, test))
        tensors = [images.clone(memory_format=torch.contiguous_format) for images in arrays]
        labels = [torch.from_numpy(labels.astype(np.int64)) for _, labels in (train, test)]
        return cls(
            tensors[0],
            labels[0],
            tensors[1],
            labels[1],
            classes,
            name,
            augment,
            padding,
            scaling,
            told,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width

    @property
    def count(self) -> int:
        """N, the number of training images."""
        return self.train_images.shape[0]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        # Through histograms of the 256 values: exact, the same on every device, and without a float
        # copy of all pixels.
        counts = torch.stack(
            [torch.bincount(x.flatten(), minlength=256).cpu() for x in self.train_images.unbind(1)]
        )
        share = counts.double() / counts.sum(1, keepdim=True)  # [C, 256]
        values = torch.arange(256, dtype=torch.float64) / 255
        mean = share @ values
        variance = (share * (values - mean[:, None]).square()).sum(1)
        return mean, torch.where((counts > 0).sum(1) > 1, variance.sqrt(), 1.0)

    @cached_property
    def _affine(self) -> dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def _fill(self) -> Tensor:
        return (255 * self._origin[0]).round().to(self.train_images.device, torch.uint8)

    @property
    def mean(self) -> Tensor:
        """Mean of pixel/255 over the training images, a channel [C], float64 on the CPU."""
        return self._moments[0]

    @property
    def std(self) -> Tensor:
        """Standard deviation of pixel/255 over the training images, a channel [C]; 1 where a
        channel is constant."""
        return self._moments[1]

    @property
    def _origin(self) -> tuple[Tensor, Tensor]:
        """Which pixel/255 becomes 0, and how much of it becomes 1, a channel [C]."""
        return (
            self._moments
            if self.scaling == "standard"
            else (torch.zeros_like(self.mean), torch.ones_like(self.mean))
        )

    def scaled(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """(pixel/255 − mean)/std, or pixel/255, of bytes [..., C, H, W]: one multiplication and one
        addition in place."""
        where = (images.device, dtype)
        if where not in self._affine:  # kept, or every call would wait for two copies to the device
            zero, one = self._origin
            scale, shift = 1 / (255 * one), -zero / one
            self._affine[where] = (scale.to(*where)[:, None, None], shift.to(*where)[:, None, None])
        scale, shift = self._affine[where]
        return images.to(dtype).mul_(scale).add_(shift)

    def augmentation(self, shape: tuple[int, ...], stream: torch.Generator) -> Tensor | None:
        """Random draws for images [*shape, C, H, W], on the CPU; None when nothing is augmented."""
        return None if self.augment == "none" else crop_flip_draws(shape, self.padding, stream)

    def augmented(self, images: Tensor, draws: Tensor) -> Tensor:
        """Bytes [..., C, H, W] shifted and flipped as drawn; the border is what scaling makes 0.

        The usual recipe pads with zeros after scaling: the mean colour, or black in 0 … 1. Here
        images are still bytes, so it is the mean to the nearest byte: off by at most 1/510 of the
        range.
        """
        return crop_flip(images, draws, self.padding, self._fill)

    def to(self, device: torch.device | str) -> "Images":
        """The same images on another device."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of these images before believing what is measured on them, a line
        each."""
        splits = ((self.train_images, self.train_labels), (self.test_images, self.test_labels))
        train, test = ((images.cpu().numpy(), labels.cpu().numpy()) for images, labels in splits)
        return (*self.told, *remarks_on(train, test, self.classes))

    def first(self, train: int, test: int) -> "Images":
        """The first `train` training and `test` test images, whatever their classes; mean and std
        become theirs."""
        return replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            test_images=self.test_images[:test],
            test_labels=self.test_labels[:test],
        )


def _check(name: str, split: str, images: Tensor, labels: Tensor, classes: int) -> None:
    where = f"data {name}: {split}"
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise UserError(f"{where} images must be uint8 [N, C, H, W], not {_described(images)}")
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise UserError(f"{where} labels must be int64 [N], not {_described(labels)}")
    if images.shape[0] != labels.shape[0]:
        raise UserError(f"{where} has {images.shape[0]} images but {labels.shape[0]} labels")
    if images.numel() == 0:
        raise UserError(f"{where} has no images")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UserError(
            f"{where} labels lie in {low} … {high}, but there are {classes} classes: 0 … "
            f"{classes - 1}"
        )


def _drawn(split: Split, limit: int) -> Split:
    images, labels = split
    # other labels are refused by and by
    rows = evenly(labels, limit) if labels.ndim == 1 else np.arange(limit)
    return images[rows], labels[rows]


def _described(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
