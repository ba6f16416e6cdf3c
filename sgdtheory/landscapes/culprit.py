"""Which part of a module is to blame where it is no function of its parameters."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from sgdtheory.landscapes.network import Network

ROUNDING = 1e-9  # relative, in float64: seen ≤ 1e-12 on ResNet-20 and DenseNet-40
REFUSED = "this tool descends one function of the parameters"


class Call(NamedTuple):
    """One call of a part of a module."""

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]


def refusal(few: "Network", theta: Tensor, what: str, rows: int | None = None) -> str:
    """A message that names the part of the module which does what is refused at θ [n]; `rows`: see
    `_culprit`."""
    culprit = _culprit(few, theta, rows)
    return f"model: {culprit} {what}; {REFUSED}"


def with_others(inputs: Tensor, rows: int) -> Tensor:
    """Inputs [b, …] with others from a row on: the same ones, turned over and in another order."""
    mixed = inputs.clone()
    axes = tuple(range(inputs.ndim))
    mixed[rows:] = inputs[rows:].flip(axes)
    return mixed


def _culprit(few: "Network", theta: Tensor, rows: int | None) -> str:
    """The first part of the module whose inputs are the same in two passes and whose outputs are
    not; `rows`: the passes differ in all but so many rows of the batch."""
    images, _ = few.examples("train")
    mixed = images.clone()
    if rows is not None:
        mixed = with_others(images, rows)
    module = few.function.plain
    statistics = few.statistics(theta)
    passes = []
    for inputs in (images, mixed):
        calls: list[Call] = []
        with _watched(module, calls):
            few.outputs_with(theta, statistics, inputs)
        passes.append(calls)
    for first, second in zip(*passes, strict=False):
        same_inputs = _alike(first.inputs, second.inputs, rows)
        if same_inputs and not _alike(first.outputs, second.outputs, rows):
            part = module.get_submodule(first.name)
            kind = type(part).__name__
            if first.name:
                return f"{first.name} ({kind})"
            return kind
    return few.function.name


@contextmanager
def _watched(module: nn.Module, calls: list[Call]) -> Iterator[None]:
    """In this block (name, inputs, outputs) of every part that is called, parts before their
    owners."""

    def watcher(name: str) -> Callable[..., None]:
        def watch(_: nn.Module, inputs: object, outputs: object) -> None:
            call = Call(name, _copied(inputs), _copied(outputs))
            calls.append(call)

        return watch

    hooks = []
    for name, part in module.named_modules():
        hook = part.register_forward_hook(watcher(name))
        hooks.append(hook)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _copied(thing: object) -> list[Tensor]:
    leaves = tree_leaves(thing)
    return [leaf.detach().clone() for leaf in leaves if isinstance(leaf, Tensor)]


def _alike(these: list[Tensor], those: list[Tensor], rows: int | None) -> bool:
    """Whether tensors are equal: to the bit, or, of so many rows, to rounding."""
    if [x.shape for x in these] != [x.shape for x in those]:
        return False
    for one, other in zip(these, those, strict=True):
        if rows is None:
            are_alike = torch.equal(one, other)
        else:
            first = one[:rows].double()
            second = other[:rows].double()
            are_alike = relative_difference(first, second) <= ROUNDING
        if not are_alike:
            return False
    return True


def relative_difference(one: Tensor, other: Tensor) -> float:
    """max |one − other| / (1 + max |other|) of tensors [any shape]; inf where shapes differ."""
    if one.shape != other.shape:
        return inf
    if not one.numel():
        return 0.0
    scale = 1 + float(other.abs().max())
    difference = float((one - other).abs().max())
    return difference / scale
