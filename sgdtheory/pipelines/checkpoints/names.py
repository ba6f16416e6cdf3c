"""The names that a state dict of a model may hold."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from sgdtheory.protocol import TensorsByName
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.roles.facts import constants_of
from sgdtheory.runs.tensors import Tensors

MOMENTS = ("running_mean", "running_var")  # of a batch norm: recomputed at every point
COUNT = "num_batches_tracked"
# what wrapping a part puts into names
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


class Names(NamedTuple):
    """What the state dict of a landscape's module may hold, by name."""

    weights: dict[str, torch.Size]  # the coordinates of θ, in order
    # every name of a coordinate's tensor, its own first: tied parameters have several
    aliases: dict[str, list[str]]
    # what is neither a coordinate nor batch norm's statistics, as the landscape has it
    constants: TensorsByName
    kept: frozenset[str]  # of the constants, those that a state dict holds
    statistics: frozenset[str]  # mean and variance of each batch norm
    known: frozenset[str]

    def value(self, tensors: Tensors, name: str) -> Tensor | None:
        """A coordinate's tensor [its shape] or a constant's in a state dict, under any of its
        names."""
        for alias in self.aliases.get(name, [name]):
            if alias in tensors:
                return tensors[alias]
        return None

    def held_in(self, tensors: Tensors) -> int:
        """How many coordinates' tensors a state dict holds, of whatever shapes […]."""
        held = [self.value(tensors, name) is not None for name in self.weights]
        return sum(held)


def names_of(landscape: NetworkLandscape) -> Names:
    """The names that a state dict for this landscape may hold."""
    module = landscape.module
    parameters = dict(module.named_parameters(remove_duplicate=False))
    weights = dict(landscape.shapes)
    constants = constants_of(landscape)
    same: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        same.setdefault(id(parameter), []).append(name)
    aliases = {}
    for name in (*weights, *constants):
        if name in parameters:
            names = same[id(parameters[name])]
            others = [other for other in names if other != name]
            aliases[name] = [name, *others]
        elif name in weights:
            aliases[name] = [name]
    statistics = set()
    counts = set()
    for norm, part in module.named_modules():
        if isinstance(part, _BatchNorm):
            statistics |= {f"{norm}.{name}".lstrip(".") for name in MOMENTS}
            counts.add(f"{norm}.{COUNT}".lstrip("."))
    stored = frozenset({*module.state_dict(), *parameters})
    return Names(
        weights,
        aliases,
        constants,
        kept=stored.intersection(constants),
        statistics=frozenset(statistics),
        known=stored.union(statistics, counts, weights, constants),
    )


def unwrapped(tensors: Tensors, names: Names) -> TensorsByName:
    """The same tensors […] without what torch.compile and FSDP put into the names of the parts they
    wrap."""
    known = " ".join(names.known)
    strange = [wrapper for wrapper in WRAPPERS if wrapper not in known]
    renamed = {}
    for name, value in tensors.items():
        for wrapper in strange:
            name = name.replace(wrapper, "")
        renamed[name] = value
    return renamed
