"""Examples of any kind, held whole: inputs with their targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from sgdtheory.annotations import Shape
from sgdtheory.errors import UserError

IGNORED = -100  # a class that counts for nothing, as torch's cross entropy has it


@dataclass(frozen=True, eq=False)
class Examples:
    """Training and test inputs [N, …] of any dtype, and their targets: classes int64 [N] or, at
    each place, [N, …]; or numbers, floating [N, …].

    `outputs`: how many numbers a network is to give for one target: the number of classes, or the
    last axis of floating targets.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    outputs: int
    name: str
    told: tuple[str, ...] = ()  # what whoever read them wants the user to know
    content_sha256: str | None = None  # of what was read, where nothing else says what it is
    nouns: ClassVar = ("inputs", "targets")  # what they are called in messages

    def __post_init__(self) -> None:
        for split, inputs, targets in (
            ("train", self.train_inputs, self.train_targets),
            ("test", self.test_inputs, self.test_targets),
        ):
            where = f"data {self.name}: {split}"
            self._check(where, inputs, targets)
            if len(inputs) != len(targets):
                of_inputs, of_targets = self.nouns
                counts = f"{len(inputs)} {of_inputs} but {len(targets)} {of_targets}"
                raise UserError(f"{where} has {counts}")
            if inputs.numel() == 0:
                raise UserError(f"{where} has no {self.nouns[0]}")
            if not targets.is_floating_point():
                self._check_classes(where, targets)
        self._check_alike(self.train_inputs, self.test_inputs, self.nouns[0])
        self._check_alike(self.train_targets, self.test_targets, self.nouns[1])

    def _check(self, where: str, inputs: Tensor, targets: Tensor) -> None:
        """Raise UserError where a split's inputs [N, …] or targets [N, …] are not of this kind."""
        if not inputs.ndim or not targets.ndim:
            raise UserError(f"{where} inputs and targets must be [N, …], not single numbers")
        for what, numbers in (("inputs", inputs), ("targets", targets)):
            if numbers.is_complex():
                raise UserError(
                    f"{where} {what} are complex; give them as real numbers (torch.view_as_real)"
                )
            check_finite(f"{where} {what}", numbers)
        if not targets.is_floating_point() and targets.dtype != torch.int64:
            raise UserError(f"{where} targets must be int64 or floating, not {described(targets)}")

    def _check_classes(self, where: str, targets: Tensor) -> None:
        what = self.nouns[1]
        counts = targets != IGNORED
        idle = ~counts
        if targets.ndim > 1:
            idle = idle.flatten(1).all(1)
        if bool(idle.any()):
            raise UserError(
                f"{where}: {int(idle.sum())} examples have no {what} that count (all are "
                f"{IGNORED}), the first is number {int(idle.nonzero()[0])}; leave them out"
            )
        counted = targets[counts]
        low = int(counted.min())
        high = int(counted.max())
        if low < 0 or high >= self.outputs:
            raise UserError(
                f"{where} {what} lie in {low} … {high}, but there are {self.outputs} classes: 0 … "
                f"{self.outputs - 1}"
            )

    def _check_alike(self, train: Tensor, test: Tensor, what: str) -> None:
        where = f"data {self.name}"
        demand_alike(where, train.shape, test.shape, what)
        if train.dtype != test.dtype:
            first = _kind_of(train)
            second = _kind_of(test)
            raise UserError(f"{where}: training {what} are {first} but {second} in the test set")

    @property
    def shape(self) -> Shape:
        """Of one input: (C, H, W) of an image."""
        return tuple(self.train_inputs.shape[1:])

    @property
    def count(self) -> int:
        """N, the number of training examples."""
        return len(self.train_inputs)

    @property
    def has_classes(self) -> bool:
        """Whether targets are classes, or numbers."""
        return not self.train_targets.is_floating_point()

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of these examples before believing what is measured on them, a
        line each."""
        return self.told

    # what a network is given

    def kept_inputs(self, most: int) -> Tensor:
        """The training inputs [N, …] from which mini-batches are taken, of at most `most` numbers
        as a network takes them, else as they are."""
        return self.train_inputs

    def prepared(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Inputs [...] as a network takes them: numbers in the dtype of its weights; codes are
        names, not quantities, and stay integers."""
        if inputs.dtype == dtype:
            return inputs
        if inputs.is_floating_point():
            return inputs.to(dtype)
        return inputs.long()

    def augmentation(self, shape: Shape, stream: torch.Generator) -> Tensor | None:
        """Random draws for examples [*shape], on the CPU; None when nothing is augmented."""
        return None

    def augmented(self, inputs: Tensor, draws: Tensor) -> Tensor:
        """Inputs [...] changed as drawn."""
        raise NotImplementedError(f"{self.name} is not augmented")

    # others of the same kind

    def to(self, device: torch.device | str) -> Self:
        """The same examples on another device."""
        names = ("train_inputs", "train_targets", "test_inputs", "test_targets")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def first(self, train: int, test: int) -> Self:
        """The first `train` training and `test` test examples, whatever their classes."""
        return replace(
            self,
            train_inputs=self.train_inputs[:train],
            train_targets=self.train_targets[:train],
            test_inputs=self.test_inputs[:test],
            test_targets=self.test_targets[:test],
        )


def demand_alike(where: str, train: Sequence[int], test: Sequence[int], what: str) -> None:
    """Raise UserError where training and test parts of these shapes, N and those of an example, are
    no examples of one kind."""
    of_training = tuple(train[1:])
    of_test = tuple(test[1:])
    if of_training != of_test:
        raise UserError(f"{where}: training {what} are {of_training} but {of_test} in the test set")


def check_finite(what: str, numbers: Tensor) -> None:
    """Raise UserError where some of numbers [N, …] are not finite."""
    if not numbers.is_floating_point():
        return
    is_finite = numbers.isfinite()
    if numbers.ndim > 1:
        is_finite = is_finite.flatten(1).all(1)
    unfit = ~is_finite
    count = int(unfit.sum())
    if count:
        first = int(unfit.nonzero()[0])
        raise UserError(f"{what}: {count} have no finite numbers, the first is number {first}")


def described(x: Tensor) -> str:
    """The dtype and shape of a tensor [...], for messages."""
    return f"{_kind_of(x)} {list(x.shape)}"


def _kind_of(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
