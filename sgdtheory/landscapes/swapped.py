"""A module that is called with other tensors in the places of its own."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sgdtheory.protocol import TensorsByName


class Swapped:
    """`functional_call` of one module, its places looked up once: looking for them anew is a tenth
    of a call of a small network.

    Where a tensor has several names, where a name is none of its parameters or buffers, and where
    torch.compile looks on, it is torch's own.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._places: dict[str, tuple[TensorsByName, str]] = {}
        for prefix, part in module.named_modules():
            for own in (part._parameters, part._buffers):
                for name, tensor in own.items():
                    if tensor is not None:
                        whole = f"{prefix}.{name}" if prefix else name
                        self._places[whole] = (own, name)
        self._shares = _shares_tensors(module)

    def __call__(self, values: TensorsByName, inputs: Tensor) -> object:
        """What the module returns of inputs [b, …] with `values` [their own shapes] in the places
        of these names."""
        is_simple = not self._shares and values.keys() <= self._places.keys()
        if not is_simple or torch.compiler.is_compiling():
            shares = self._shares
            return functional_call(self._module, values, (inputs,), tie_weights=shares)
        places = [self._places[name] for name in values]
        before = [own[name] for own, name in places]
        try:
            for (own, name), value in zip(places, values.values(), strict=True):
                own[name] = value
            return self._module(inputs)
        finally:
            for (own, name), value in zip(places, before, strict=True):
                own[name] = value


def _shares_tensors(module: nn.Module) -> bool:
    """Whether a parameter or buffer has several names."""
    parameters = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    buffers = [name for name, _ in module.named_buffers(remove_duplicate=False)]
    tensors = {*module.parameters(), *module.buffers()}
    return len(tensors) < len(parameters) + len(buffers)
