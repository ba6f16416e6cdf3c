"""Which modules are chains of linear maps and pointwise functions: known by their exact types and
torch's own forward functions, so that a class with a forward of its own is never taken for one."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sgdtheory.annotations import Shape
from sgdtheory.landscapes.chain import Affine, Layer, Pointwise
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import ACTIVATIONS, MLP

Part = tuple[str, nn.Module]  # the prefix of its parameters' names, and itself
PLAIN: frozenset[type[Tensor]] = frozenset({nn.Parameter})  # no stranger's kind of parameter
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class ModuleChain(NamedTuple):
    """A module as layers one behind the other, and the hooks of all that takes part in it."""

    layers: tuple[Layer, ...]
    hooks: tuple[Mapping[int, object], ...]  # as they are at any time
    dropouts: tuple[nn.Module, ...]

    @property
    def names(self) -> set[str]:
        """Of the parameters of its linear maps."""
        found = set()
        for layer in self.layers:
            if isinstance(layer, Affine):
                found |= {layer.weight, layer.bias or layer.weight}
        return found


class _Foreign(Exception):
    """A part that is not known."""


def chain_of_module(module: nn.Module, shape: Shape) -> ModuleChain | None:
    """The layers of a module in evaluation mode that takes inputs [b, *shape]; None where it is not
    known to be a chain, or uses a layer or a parameter twice."""
    try:
        parts = list(_parts("", module))
        layers = tuple(_layers(parts, len(shape)))
    except _Foreign:
        return None
    parameters: list[int] = []
    dropouts = []
    for _, part in parts:
        parameters += map(id, part.parameters())
        if type(part) is nn.Dropout:
            dropouts.append(part)
    if not parameters or len(set(parameters)) < len(parameters):
        return None
    hooks = []
    for part in module.modules():
        own = vars(part)
        hooks += [own[name] for name in HOOKS]
    return ModuleChain(layers, tuple(hooks), tuple(dropouts))


def _parts(prefix: str, module: nn.Module) -> Iterator[Part]:
    """The parts that are called one after the other; `_Foreign` where the way through them is not
    torch's or ours."""
    if not _is_plain(module):
        raise _Foreign
    kind = type(module)
    if kind is nn.Sequential:
        for name, part in module._modules.items():  # a part that comes twice is called twice
            assert part is not None
            yield from _parts(f"{prefix}{name}.", part)
    elif isinstance(module, MLP) and kind in (MLP, Linear):
        yield from _parts_of_mlp(prefix, module)
    else:
        yield prefix, module


def _parts_of_mlp(prefix: str, module: MLP) -> Iterator[Part]:
    activations = [kind for kind, known in OF_MLP.items() if known is module.activation]
    if type(module.layers) is not nn.ModuleList or not activations:
        raise _Foreign
    yield prefix, nn.Flatten()
    for depth, layer in enumerate(module.layers):
        if depth:
            yield prefix, activations[0]()
        yield from _parts(f"{prefix}layers.{depth}.", layer)


def _layers(parts: list[Part], axes: int) -> Iterator[Layer]:
    """The layers of parts that take examples of so many axes."""
    for prefix, part in parts:
        kind = type(part)
        known = _pointwise(part)
        if isinstance(part, nn.Flatten) and kind is nn.Flatten:
            if (part.start_dim, part.end_dim) != (1, -1):
                raise _Foreign
            axes = min(axes, 1)
        elif isinstance(part, nn.Linear) and kind is nn.Linear and axes == 1:
            yield _affine(prefix, part)
        elif known is not None:
            yield known
        elif kind not in (nn.Identity, nn.Dropout):  # in evaluation mode both do nothing
            raise _Foreign


def _affine(prefix: str, part: nn.Linear) -> Affine:
    kinds = {type(p) for p in part.parameters()}
    if not kinds <= PLAIN or part._parameters.keys() != {"weight", "bias"}:
        raise _Foreign
    weight = f"{prefix}weight"
    if part.bias is None:
        return Affine(weight, None)
    return Affine(weight, f"{prefix}bias")


def _is_plain(module: nn.Module) -> bool:
    """Whether calling it runs its class's own forward and nothing else."""
    is_written_over = "forward" in vars(module)
    has_hooks = any(vars(module)[name] for name in HOOKS)
    return not (is_written_over or has_hooks or module.training)


# torch's own derivatives g·σ'(x) of y = σ(x), so that corners and overflows are autograd's


def _pulled_by_relu(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    del x
    pulled: Tensor = torch.ops.aten.threshold_backward(g, y, 0)
    return pulled


def _pulled_by_tanh(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    del x
    pulled: Tensor = torch.ops.aten.tanh_backward(g, y)
    return pulled


def _pulled_by_sigmoid(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    del x
    pulled: Tensor = torch.ops.aten.sigmoid_backward(g, y)
    return pulled


def _pulled_by_gelu(approximate: str, g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    del y
    pulled: Tensor = torch.ops.aten.gelu_backward(g, x, approximate=approximate)
    return pulled


def _pointwise(part: nn.Module) -> Pointwise | None:
    """The function that a part of torch's is; None where it is not known."""
    if isinstance(part, nn.GELU) and type(part) is nn.GELU:
        return Pointwise(part, partial(_pulled_by_gelu, part.approximate))
    return POINTWISE.get(type(part))


OF_MLP = {
    nn.ReLU: ACTIVATIONS["relu"],
    nn.Tanh: ACTIVATIONS["tanh"],
    nn.Sigmoid: ACTIVATIONS["sigmoid"],
}
POINTWISE: dict[type[nn.Module], Pointwise] = {
    nn.ReLU: Pointwise(torch.relu, _pulled_by_relu),
    nn.Tanh: Pointwise(torch.tanh, _pulled_by_tanh),
    nn.Sigmoid: Pointwise(torch.sigmoid, _pulled_by_sigmoid),
}
