"""The landscape of a module, data and a loss of one's own."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from sgdtheory.annotations import Shape
from sgdtheory.data.examples import Examples
from sgdtheory.data.stored import NO_TEST, outputs_for
from sgdtheory.errors import UserError, in_a_line
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.custom import Custom
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.named import LossName, loss_named
from sgdtheory.models.custom import custom
from sgdtheory.notebook.copies import maker_of_copies
from sgdtheory.notebook.naming import Named, named
from sgdtheory.notebook.original import refuse_other_function
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.pipelines.checkpoints.checkpoint import AS_FOUND
from sgdtheory.pipelines.checkpoints.state_dict import same_bits
from sgdtheory.pipelines.checkpoints.weights import (
    NARROW,
    WIDE,
    has_plain_numbers,
    kind_of,
    weights_in,
)
from sgdtheory.pipelines.minima_file import are_own
from sgdtheory.protocol import Landscape, TensorsByName
from sgdtheory.roles.facts import constants_of, device_of, title_of
from sgdtheory.runs.tensors import Tensors


@runtime_checkable
class Pairs(Protocol):
    """A data set that gives inputs with their targets, one example at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


# inputs and targets, as tensors or arrays, or a data set that gives pairs of them
Split: TypeAlias = tuple[Tensor | np.ndarray, Tensor | np.ndarray] | Pairs
PAIRS = "give (inputs, targets), or a data set of such pairs"
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
    if not 0 <= weight_decay < inf:
        raise UserError(f"weight_decay={weight_decay}: give a number that is not negative")
    usual = torch.empty(0).device
    if usual.type != "cpu":  # random numbers are drawn on the CPU, whose bits are the same anywhere
        raise UserError(
            f"torch.set_default_device: new tensors are on {usual} in this process; set it back to "
            f"cpu, and give device= the place to compute"
        )
    data = _examples(train, test, name)
    known = loss_named(loss, None) if isinstance(loss, str | Loss) else Custom(loss)
    landscape = OwnNetwork(
        _builder(module),
        data,
        weight_decay,
        known,
        parameters=parameters,
        entry=entry,
        device=device,
    )
    landscape.naming = named(module, known, weight_decay, parameters, entry)
    if not isinstance(module, nn.Module):
        return landscape
    landscape = landscape.with_constants(_constants_in(module, landscape))
    refuse_other_function(landscape, module)
    return landscape


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
        inputs, targets = (_tensor(part, name).clone() for part in split)  # theirs may change
    elif isinstance(split, Pairs) and not isinstance(split, tuple | list | Tensor | np.ndarray):
        inputs, targets = _stacked(split, name)
    else:
        raise UserError(f"{name}: {PAIRS}")
    if not len(inputs) or not len(targets):
        raise UserError(f"{name}: there are no examples")
    if not targets.is_floating_point() and not targets.is_complex():
        targets = targets.long()
    return inputs, targets


def _stacked(pairs: Pairs, name: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets [N, …] of a data set; UserError where it gives anything but pairs."""
    inputs, targets = [], []
    for i in range(len(pairs)):
        pair = pairs[i]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            kind = type(pair).__name__
            found = f"{len(pair)} things" if isinstance(pair, tuple | list) else f"a {kind}"
            raise UserError(f"{name}: {PAIRS}; number {i} is {found}")
        inputs.append(_tensor(pair[0], name))
        targets.append(_tensor(pair[1], name))
    if not inputs:
        raise UserError(f"{name}: there are no examples")
    if not (_all_alike(inputs) and _all_alike(targets)):
        raise UserError(f"{name}: examples differ in shape; pad them to one")
    return torch.stack(inputs), torch.stack(targets)


def _all_alike(column: list[Tensor]) -> bool:
    """Whether tensors, one at least, have one shape."""
    return len({tuple(x.shape) for x in column}) == 1


def _tensor(part: object, name: str) -> Tensor:
    """A tensor [...] of numbers, on the CPU."""
    try:
        tensor = torch.as_tensor(part)
    except (TypeError, ValueError, RuntimeError) as fault:
        raise UserError(f"{name}: {in_a_line(fault, 160)}; give tensors or arrays") from None
    if tensor.layout != torch.strided:
        raise UserError(f"{name}: a tensor is {tensor.layout}; give it as a dense one (to_dense)")
    return tensor.detach().cpu()


def point_of(landscape: Landscape, point: Tensor | nn.Module | Tensors) -> Tensor:
    """The point θ [n] that a vector [n], a module or its state dict stands for; UserError where it
    is of another network, or of other constants."""
    if not isinstance(point, nn.Module | Mapping):
        vector = _tensor(point, "a point")
        if vector.shape != (landscape.dim,):
            shape = list(vector.shape)
            raise UserError(f"a point of this landscape is [{landscape.dim}], not {shape}")
        if vector.dtype not in (*WIDE, *NARROW) or not has_plain_numbers(vector):
            raise UserError(
                f"a point of this landscape is of float64, float32, bfloat16 or float16, not "
                f"{kind_of(vector)}; give it as floating-point numbers (.float())"
            )
        return vector.to(device_of(landscape))
    if not isinstance(landscape, Network):
        raise UserError(f"{title_of(landscape)} has no module: a point of it is a vector [n]")
    if isinstance(point, nn.Module):
        theta = _point_of_weights(landscape, _tensors_of(point, landscape), "the module")
        refuse_other_function(landscape, point, theta)
        return theta
    return _point_of_weights(landscape, point, "the state dict")


def _tensors_of(module: nn.Module, landscape: Network) -> TensorsByName:
    """The state dict [their own shapes] of a module, with what else the landscape knows as
    constants: buffers that are in no state dict."""
    tensors: TensorsByName = {}
    constants = constants_of(landscape)
    for name, buffer in module.named_buffers():
        if name in constants and constants[name].shape == buffer.shape:
            tensors[name] = buffer
    return {**tensors, **module.state_dict()}


def _point_of_weights(landscape: Network, weights: Tensors, where: str) -> Tensor:
    """The point θ [n], found as in a file; `where`: what holds the weights."""
    if not weights:
        raise UserError(f"{where} has no {next(iter(landscape.shapes))}")
    found = weights_in(weights, where, landscape, AS_FOUND, torch.float32)
    if found.another:
        raise UserError(
            f"{where} holds several sets of weights that fit, and {found.another} is one of them: "
            f"give the one that is meant alone, such as checkpoint['state_dict']"
        )
    if not are_own(landscape, found.constants):
        own = constants_of(landscape)
        name = next(name for name, x in found.constants.items() if not same_bits(x, own[name]))
        raise UserError(
            f"{name} is not trained, and another one in {where} than in the landscape; "
            f"make the landscape of the module that these weights belong to"
        )
    return found.theta.to(device_of(landscape))
