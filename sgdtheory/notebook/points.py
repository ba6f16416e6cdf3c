"""Points of a landscape as they come from Python: vectors, modules and their state dicts."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.notebook.original import refuse_other_function
from sgdtheory.notebook.tensors import tensor_of
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
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.roles.asking import has
from sgdtheory.roles.facts import constants_of, device_of, title_of
from sgdtheory.runs.tensors import Tensors

Point: TypeAlias = Tensor | np.ndarray | nn.Module | Tensors


def cloud_of(landscape: Landscape, points: object) -> Cloud:
    """Points [P, n]: a cloud, or vectors [n], modules and state dicts one by one; one alone is a
    list of one. Raises UserError where there are none."""
    one_alone = isinstance(points, nn.Module | Mapping) and type(points) is not nn.ModuleList
    if isinstance(points, Tensor | np.ndarray) and points.ndim < 2:
        one_alone = True
    several = [points] if one_alone or not isinstance(points, Iterable) else list(points)
    if not several:
        raise UserError("points: there are none; give vectors [n], modules or state dicts")
    return torch.stack([point_of(landscape, point) for point in several])


def point_of(landscape: Landscape, point: object) -> Tensor:
    """The point θ [n] that a vector [n], a module or its state dict stands for; UserError where it
    is of another network, or of other constants. A list or a cloud of one is that one."""
    _refuse_no_landscape(landscape)
    if isinstance(point, list | tuple) and len(point) == 1 and not isinstance(point[0], Real):
        (point,) = point
    if not isinstance(point, nn.Module | Mapping):
        vector = tensor_of(point, "a point")
        if vector.shape == (1, landscape.dim):
            (vector,) = vector
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


def _refuse_no_landscape(landscape: object) -> None:
    """Raise UserError for what has not the least that a landscape has."""
    if not all(has(landscape, name) for name in ("dim", "init", "losses")):
        kind = type(landscape).__name__
        raise UserError(f"landscape: a {kind} is none; make one of it with sgdtheory.landscape(…)")


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
