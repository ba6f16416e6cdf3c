"""What a pass in training mode moves besides the statistics of batch norm."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from sgdtheory.errors import UserError
from sgdtheory.landscapes.culprit import REFUSED
from sgdtheory.landscapes.module_parts import constants_of
from sgdtheory.protocol import TensorsByName

if TYPE_CHECKING:
    from sgdtheory.landscapes.network import Network


def refuse_what_training_moves(few: "Network", module: nn.Module, own: TensorsByName) -> None:
    """Raise UserError where a pass in training mode moves a buffer that no batch norm has, or what
    evaluation mode computes though every buffer is put back."""
    some, _ = few.examples("train")
    inputs = few.data.prepared(some, torch.float32)
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    try:
        before = _tensors_of(module.eval(), inputs)
        is_same = _alike(before, _tensors_of(module, inputs))  # else `_same_bits` says why
        _tensors_of(module.train(), inputs)
    except Exception:
        return  # it may not be made for training in one piece: then nothing is known, nor wrong
    for name, after in constants_of(module, few.function.shapes).items():
        if name not in own or not after.is_floating_point():
            continue
        if not torch.equal(after, own[name]):
            part, _, buffer = name.rpartition(".")
            kind = type(module.get_submodule(part)).__name__
            owner = part or few.function.name
            raise UserError(
                f"model: {buffer} of {owner} ({kind}) is changed by every pass "
                f"in training mode, and only batch norm's statistics can be recomputed; {REFUSED}: "
                "use a layer without such a memory"
            )
    with torch.no_grad():
        for name, value in module.named_buffers():
            if name in buffers:
                value.copy_(buffers[name])
    if is_same and not _alike(before, _tensors_of(module.eval(), inputs)):
        raise UserError(
            f"model: a pass in training mode changes what {few.function.name} computes in "
            f"evaluation mode, by something that is no buffer; {REFUSED}: statistics in a plain "
            f"attribute are in no checkpoint, use nn.BatchNorm or register_buffer"
        )


def _alike(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))


def _tensors_of(module: nn.Module, inputs: Tensor) -> list[Tensor]:
    """What a module returns of inputs [N, …], which it may write over, tensor by tensor."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        outputs = module(inputs.clone())
    return [leaf.clone() for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
