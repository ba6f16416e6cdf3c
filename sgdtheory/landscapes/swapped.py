"""A module that is called with other tensors in the places of its own."""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sgdtheory.protocol import TensorsByName

# where a tensor stands in a part: its parameters or buffers, and the name there
Place: TypeAlias = tuple[dict[str, Any], str]


class Swapped:
    """`functional_call` of one module, its places looked up once: looking for them anew is a tenth
    of a call of a small network.

    A tensor with several names is exchanged in all its places, each once: torch's own leaves what
    it put in where a part is used twice. Where a name is none of its parameters or buffers, and
    where torch.compile looks on, it is torch's.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._places: dict[str, list[Place]] = {}
        of_tensor: dict[int, list[Place]] = {}
        for prefix, part in module.named_modules():
            before = f"{prefix}." if prefix else ""
            for own in (part._parameters, part._buffers):
                for name, tensor in own.items():
                    if tensor is None:
                        continue
                    places = of_tensor.setdefault(id(tensor), [])
                    places.append((own, name))
                    self._places[before + name] = places
        self._shares = _shares_tensors(module)

    def __call__(self, values: TensorsByName, inputs: Tensor) -> object:
        """What the module returns of inputs [b, …] with `values` [their own shapes] in the places
        of these names."""
        is_simple = values.keys() <= self._places.keys()
        if not is_simple or torch.compiler.is_compiling():
            shares = self._shares
            return functional_call(self._module, values, (inputs,), tie_weights=shares)
        places: list[tuple[Place, Tensor]] = []
        for name, value in values.items():
            for place in self._places[name]:
                places.append((place, value))
        before = [own[name] for (own, name), _ in places]
        try:
            for (own, name), value in places:
                own[name] = value
            return self._module(inputs)
        finally:
            for ((own, name), _), value in zip(places, before, strict=True):
                own[name] = value


def _shares_tensors(module: nn.Module) -> bool:
    """Whether a parameter or buffer has several names."""
    parameters = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    buffers = [name for name, _ in module.named_buffers(remove_duplicate=False)]
    tensors = {*module.parameters(), *module.buffers()}
    return len(tensors) < len(parameters) + len(buffers)
