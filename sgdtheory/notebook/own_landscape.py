"""The landscape of a module, data and a loss of one's own."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from sgdtheory.annotations import Shape
from sgdtheory.commandline.devices import device_meant, why_no_device
from sgdtheory.data.examples import Examples
from sgdtheory.data.stored import NO_TEST, outputs_for
from sgdtheory.errors import UserError, in_a_line
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.custom import Custom
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.named import NAMED, LossName, loss_named
from sgdtheory.models.custom import custom
from sgdtheory.notebook.copies import maker_of_copies
from sgdtheory.notebook.naming import Named, named
from sgdtheory.notebook.numbers import number_of
from sgdtheory.notebook.original import refuse_other_function
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.notebook.tensors import tensor_of
from sgdtheory.protocol import TensorsByName
from sgdtheory.roles.facts import constants_of


@runtime_checkable
class Pairs(Protocol):
    """A data set that gives inputs with their targets, one example at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


# inputs and targets, as tensors or arrays, or a data set that gives pairs of them
Split: TypeAlias = tuple[Tensor | np.ndarray, Tensor | np.ndarray] | Pairs
PAIRS = "give (inputs, targets), or a data set of such pairs"
# what has a length and items too, and is none
NO_PAIRS = (tuple, list, Mapping, str, Tensor, np.ndarray)
Own: TypeAlias = nn.Module | Callable[..., nn.Module]


class OwnNetwork(Network):
    """A network from Python, with how a configuration would say it, or why none can."""

    naming: Named | str = "it was made of other objects"


@left_alone()
def own_landscape(
    module: Own,
    train: Split,
    test: Split | None = None,
    loss: Loss | LossName | Callable[[Tensor, Tensor], Tensor] = "cross_entropy",
    weight_decay: float = 1e-3,
    parameters: str | None = None,
    entry: str | int | None = None,
    device: str = "cpu",
    name: str = "own data",
) -> OwnNetwork:
    """L(θ) = mean loss of the training examples, inputs [N, …] and targets [N, …], + ½λ|θ|², λ the
    `weight_decay`; see `sgdtheory.landscape`."""
    decay = number_of(weight_decay, "weight_decay")
    if decay < 0:
        raise UserError(f"weight_decay={weight_decay}: give a number that is not negative")
    place = device_meant(str(device))
    if why := why_no_device(place):
        raise UserError(f"device: {why}")
    if not isinstance(parameters, str | None):
        raise UserError(f"parameters: {parameters!r} is no text; give a regular expression")
    usual = torch.empty(0).device
    if usual.type != "cpu":  # random numbers are drawn on the CPU, whose bits are the same anywhere
        raise UserError(
            f"torch.set_default_device: new tensors are on {usual} in this process; set it back to "
            f"cpu, and give device= the place to compute"
        )
    data = _examples(train, test, name)
    known = _loss_meant(loss)
    landscape = OwnNetwork(
        _builder(module),
        data,
        decay,
        known,
        parameters=parameters,
        entry=entry,
        device=place,
    )
    landscape.naming = named(module, known, decay, parameters, entry)
    if not isinstance(module, nn.Module):
        return landscape
    landscape = landscape.with_constants(_constants_in(module, landscape))
    refuse_other_function(landscape, module)
    return landscape


def _loss_meant(loss: Loss | LossName | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss of a name, or of a function (outputs, targets) → [b]."""
    if isinstance(loss, str | Loss) and loss != "custom":  # a function is given as itself
        return loss_named(loss, None)
    if not callable(loss):
        names = ", ".join(NAMED)
        raise UserError(
            f"loss={loss!r}: give a name ({names}) or a function (outputs, targets) → [b]"
        )
    return Custom(loss)


def _builder(module: Own) -> Callable[..., nn.Module]:
    """Makes modules of this architecture, each with parameters of its own."""

    def made_by_factory(shape: Shape, classes: int) -> nn.Module:
        return custom(shape, classes, module)

    if isinstance(module, nn.Module):
        return maker_of_copies(module)
    if not callable(module):
        kind = type(module).__name__
        raise UserError(f"landscape: give an nn.Module or a function that makes one, not {kind}")
    return made_by_factory


def _constants_in(module: nn.Module, landscape: Network) -> TensorsByName:
    """Frozen parameters and buffers [their own shapes] as the given module has them."""
    own: TensorsByName = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: own[name].detach() for name in constants_of(landscape) if name in own}


def _examples(train: Split, test: Split | None, name: str) -> Examples:
    """Training and test examples; without test ones the training set's stand for them, and that is
    said."""
    told: tuple[str, ...] = ()
    if test is None:
        test = train
        told = (NO_TEST,)
    train_pair = _pair(train, "train")
    test_pair = train_pair if told else _pair(test, "test")
    outputs = outputs_for(train_pair[1], test_pair[1])
    return Examples(*train_pair, *test_pair, outputs, name, told)


def _pair(split: Split, name: str) -> tuple[Tensor, Tensor]:
    if isinstance(split, tuple | list) and len(split) == 2:
        inputs, targets = (tensor_of(part, name).clone() for part in split)  # theirs may change
    elif isinstance(split, Pairs) and not isinstance(split, NO_PAIRS):
        inputs, targets = _stacked(split, name)
    else:
        raise UserError(f"{name}: {PAIRS}")
    if not (inputs.ndim and targets.ndim):
        raise UserError(f"{name}: {PAIRS}; one number is no list of examples")
    if not len(inputs) or not len(targets):
        raise UserError(f"{name}: there are no examples")
    if not targets.is_floating_point() and not targets.is_complex():
        targets = targets.long()
    return inputs, targets


def _stacked(pairs: Pairs, name: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets [N, …] of a data set; UserError where it gives anything but pairs."""
    inputs, targets = [], []
    for i in range(len(pairs)):
        try:
            pair = pairs[i]
        except Exception as fault:  # of whatever kind: it is a stranger's code
            why = in_a_line(fault, 160)
            raise UserError(f"{name}: number {i} cannot be had ({why}); {PAIRS}") from fault
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            kind = type(pair).__name__
            found = f"{len(pair)} things" if isinstance(pair, tuple | list) else f"a {kind}"
            raise UserError(f"{name}: {PAIRS}; number {i} is {found}")
        inputs.append(tensor_of(pair[0], name))
        targets.append(tensor_of(pair[1], name))
    if not inputs:
        raise UserError(f"{name}: there are no examples")
    if not (_all_alike(inputs) and _all_alike(targets)):
        raise UserError(f"{name}: examples differ in shape; pad them to one")
    return torch.stack(inputs), torch.stack(targets)


def _all_alike(column: list[Tensor]) -> bool:
    """Whether tensors, one at least, have one shape."""
    return len({tuple(x.shape) for x in column}) == 1
