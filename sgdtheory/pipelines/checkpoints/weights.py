"""The point of a landscape that a state dict stands for, and what belongs to it."""

from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.checkpoint import Checkpoint
from sgdtheory.pipelines.checkpoints.names import Names, names_of
from sgdtheory.pipelines.checkpoints.state_dict import (
    StateDict,
    faults_of,
    same_bits,
    state_dict_in,
)
from sgdtheory.pipelines.checkpoints.words import TOLD, listed, printable
from sgdtheory.protocol import TensorsByName
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.tensors import Tensors

WIDE = (torch.float64, torch.float32)
NARROW = (torch.float16, torch.bfloat16)


class Weights(NamedTuple):
    """What a state dict says of a landscape."""

    theta: Tensor  # [n]
    constants: TensorsByName
    statistics: TensorsByName | None  # the file's own mean and variance of every batch norm
    said: str  # what was taken, and what was left
    another: str  # how another set of weights that fits would be had; empty where there is none


def weights_in(
    thing: object, where: str, landscape: NetworkLandscape, how: Checkpoint, dtype: torch.dtype
) -> Weights:
    """The point θ [n] that the state dict in what a file holds stands for, with all that belongs to
    it.

    `where`: how the file is called in messages. Raises UserError for what is not of this model.

    """
    names = names_of(landscape)
    fitting, held, another = state_dict_in(thing, where, names, how)
    if fitting is None:
        _refuse(held, names, where)
    left = [name for name in held.tensors if name not in names.known]
    if left and how.strict:
        more = (
            f"it also holds {listed(left)}; is it a larger model? checkpoint.strict=false "
            f"leaves them out"
        )
        raise UserError(f"{where} is not of this model alone: {more}")
    left += held.outside
    theta, converted = _vector(held.tensors, names, dtype, where)
    constants, lacking = _constants(held.tensors, names, how, where)
    said = "weights"
    if held.key:
        said += f" of '{printable(held.key)}'"
    if held.prefix:
        said += f", prefix '{printable(held.prefix)}' dropped"
    if converted:
        said += f", {converted}"
    if left:
        said += f", {listed(left)} left out"
    if lacking:
        said += f", {listed(lacking)} not there, the model's own taken"
    statistics = _statistics(held.tensors, names, dtype)
    if another:
        said += f" ({another} takes another)"
    return Weights(theta, constants, statistics, said, another)


def _refuse(held: StateDict, names: Names, where: str) -> None:
    """Raise UserError that says what is wrong with the weights of a state dict."""
    for name in names.weights:  # packed weights have other shapes too: what they are says more
        value = names.value(held.tensors, name)
        if value is not None:
            _check_weight(name, value, where)
    faults = faults_of(held, names)
    if held.tensors and not names.held_in(held.tensors):
        theirs = listed(list(held.tensors))
        ours = listed(list(names.weights))
        raise UserError(
            f"{where} is not of this model: it holds {theirs}, the model has {ours}; "
            f"checkpoint.key=, checkpoint.prefix= say where its weights are"
        )
    words = "; ".join(faults[:TOLD])
    if len(faults) > TOLD:
        words += f", and {len(faults) - TOLD} more"
    raise UserError(f"{where} is not of this model: {words}")


def has_plain_numbers(value: Tensor) -> bool:
    """Whether a tensor [any shape] holds its numbers one by one."""
    return value.layout == torch.strided and not value.is_quantized and not value.is_meta


def kind_of(value: Tensor) -> str:
    """What a tensor [any shape] holds: sparse, meta, or its dtype."""
    if value.layout != torch.strided:
        return "sparse"
    if value.is_meta:
        return "meta"
    return name_of(value.dtype)


def name_of(dtype: torch.dtype) -> str:
    """float32 of torch.float32."""
    return str(dtype).removeprefix("torch.")


def _check_weight(name: str, value: Tensor, where: str) -> None:
    if has_plain_numbers(value) and value.dtype in (*WIDE, *NARROW):
        return
    kind = kind_of(value).replace("meta", "a tensor without numbers (meta)")
    raise UserError(
        f"{where}: {name} is {kind}; weights must be float64, float32, bfloat16 or float16"
    )


def _vector(tensors: Tensors, names: Names, dtype: torch.dtype, where: str) -> tuple[Tensor, str]:
    """θ [n] in the model's order, of `dtype`, and what was converted."""
    parts: TensorsByName = {}
    dtypes = set()
    for name in names.weights:
        value = names.value(tensors, name)
        assert value is not None
        _check_weight(name, value, where)
        _check_tied(name, value, tensors, names, where)
        dtypes.add(value.dtype)
        flat = value.detach().reshape(-1)
        parts[name] = flat.to(dtype)
    bad = []
    for name, part in parts.items():
        if not torch.isfinite(part).all():
            bad.append(name)
    if bad:
        raise UserError(
            f"{where} holds numbers that are not finite, in {listed(bad)}; leave it out"
        )
    theta = torch.cat(list(parts.values()))
    others = sorted(name_of(other) for other in dtypes - {dtype})
    if not others:
        return theta, ""
    names_of_others = ", ".join(others)
    return theta, f"{names_of_others} made {name_of(dtype)}"


def _check_tied(name: str, value: Tensor, tensors: Tensors, names: Names, where: str) -> None:
    """Refuse a file in which the names of one parameter hold different numbers."""
    for alias in names.aliases[name]:
        if alias in tensors and not same_bits(tensors[alias], value):
            raise UserError(
                f"{where}: {name} and {alias} are one parameter of this model, and differ there"
            )


def _constants(
    tensors: Tensors, names: Names, how: Checkpoint, where: str
) -> tuple[TensorsByName, list[str]]:
    """What the file has of what is not trained, in the landscape's dtypes, and the names that it
    lacks."""
    constants = {}
    lacking = []
    for name, own in names.constants.items():
        value = names.value(tensors, name)
        if value is not None:
            constants[name] = as_constant(name, value, own, where)
        elif name in names.kept:
            lacking.append(name)
    if lacking and how.strict:
        what = f"it lacks {listed(lacking)}, which the model computes with"
        raise UserError(f"{where}: {what}; checkpoint.strict=false takes the model's own")
    return constants, lacking


def as_constant(name: str, value: Tensor, own: Tensor, where: str) -> Tensor:
    """A buffer or frozen parameter of a file [the shape of the landscape's `own`], of its dtype and
    device."""
    if value.shape != own.shape:
        raise UserError(
            f"{where} is not of this model: {name} is {list(value.shape)} instead of "
            f"{list(own.shape)}"
        )
    kind = name_of(value.dtype)
    is_plain = has_plain_numbers(value)
    if not is_plain:
        kind += " without plain numbers"
    both_real = value.is_floating_point() == own.is_floating_point()
    both_complex = value.is_complex() == own.is_complex()
    if not is_plain or not both_real or not both_complex:
        wanted = name_of(own.dtype)
        raise UserError(f"{where}: {name} is {kind}, the model's is {wanted}")
    return value.detach().clone().to(own)


def _statistics(tensors: Tensors, names: Names, dtype: torch.dtype) -> TensorsByName | None:
    """The file's own statistics of all batch norms, of `dtype`; None where there are none, or not
    all, or no numbers."""
    statistics = {}
    for name in sorted(names.statistics):
        value = tensors.get(name)
        if value is None or not value.is_floating_point() or not torch.isfinite(value).all():
            return None
        statistics[name] = value.detach().to(dtype)
    return statistics or None
