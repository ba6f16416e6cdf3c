"""What a module computes with: trained parameters, constants, and statistics of batch norm."""

from collections.abc import Collection
from itertools import pairwise

import torch
from torch import nn

from sgdtheory.errors import UserError
from sgdtheory.landscapes.batch_norm import (
    batch_norms_of,
    statistic_of,
    with_population_statistics,
)
from sgdtheory.protocol import TensorsByName
from sgdtheory.runs.tensors import Tensors

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of a batch norm: recomputed


def fill(module: nn.Module, values: Tensors) -> None:
    """Copy values [their own shapes] into the parameters and buffers of these names, persistent or
    not."""
    places: TensorsByName = dict(module.named_parameters(remove_duplicate=False))
    places |= dict(module.named_buffers(remove_duplicate=False))
    with torch.no_grad():
        for name, value in values.items():
            places[name].copy_(value)


def refuse_shared(one: nn.Module, other: nn.Module) -> None:
    """Raise UserError where two modules that were made one after the other have parameters
    together: what is done to one would be done to the other, and to the user's own."""
    known = {id(parameter) for parameter in one.parameters()}
    for name, parameter in other.named_parameters():
        if id(parameter) in known:
            raise UserError(
                f"model: {name} of {type(other).__name__} is the same parameter each time that the "
                f"network is made; make it anew in the function, or give the module itself"
            )


def refuse_kinds(named: dict[str, nn.Parameter], model: str) -> None:
    for name, p in named.items():
        if not p.is_floating_point():
            kind = str(p.dtype).removeprefix("torch.")
            raise UserError(
                f"model: parameter {name} of {model} is {kind}; θ is a vector of real numbers"
            )


def refuse_overlaps(named: dict[str, nn.Parameter], model: str) -> None:
    """Raise UserError where two parameters share numbers: moved apart they are another network."""
    ends: list[tuple[int, int, str]] = []
    for name, p in named.items():
        first = p.data_ptr()
        if not first:  # it has none to share, as on torch's device "meta"
            continue
        strides = zip(p.shape, p.stride(), strict=True)
        length = 1 + sum((size - 1) * stride for size, stride in strides)
        last = first + length * p.element_size()
        ends.append((first, last, name))
    ends.sort()
    for (_, end, name), (begin, _, other) in pairwise(ends):
        if begin < end:
            raise UserError(
                f"model: parameters {name} and {other} of {model} share their numbers; make them "
                f"one nn.Parameter, used twice"
            )


def refuse_rescaled_embeddings(module: nn.Module) -> None:
    for name, part in module.named_modules():
        is_embedding = isinstance(part, nn.Embedding | nn.EmbeddingBag)
        if is_embedding and part.max_norm is not None:
            raise UserError(
                f"model: {name or 'the embedding'} has max_norm={part.max_norm:g}, which rescales "
                f"its weights at every pass; this tool descends one function of them: leave it out"
            )


def refuse_frozen_batch_norms(module: nn.Module) -> None:
    """Raise UserError where training mode leaves a batch norm in evaluation mode: its statistics
    would be constants, and here they are each batch's own."""
    module.train()
    for name, norm in batch_norms_of(module).items():
        if not norm.training:
            raise UserError(
                f"model: batch norm {name} stays in evaluation mode when the network is trained; "
                f"have constants of it, as torchvision.ops.FrozenBatchNorm2d has"
            )


def constants_of(module: nn.Module, trained: Collection[str]) -> TensorsByName:
    """Everything [their own shapes] that a module computes with besides trained parameters and
    batch norm's statistics."""
    statistics = statistics_names(module)
    constants = {}
    for name, parameter in module.named_parameters():
        if name not in trained:
            constants[name] = parameter.detach().clone()
    for name, buffer in module.named_buffers():
        if name not in statistics:
            constants[name] = buffer.clone()
    return constants


def keeping_statistics(module: nn.Module) -> nn.Module:
    """The module as its author wrote it, in evaluation mode; batch norms without statistics of
    their own (`track_running_stats=False`) get places for those they are scored with."""
    places = {}
    for name, norm in batch_norms_of(module).items():
        if norm.running_mean is None:
            channels = norm.num_features
            places[statistic_of(name, "running_mean")] = torch.zeros(channels)
            places[statistic_of(name, "running_var")] = torch.ones(channels)
    return with_population_statistics(module, {}, places)


def statistics_names(module: nn.Module) -> set[str]:
    """The names of the buffers that batch norms keep their statistics in."""
    names = set()
    for norm in batch_norms_of(module):
        names |= {statistic_of(norm, statistic) for statistic in STATISTICS}
    return names
