"""Parameters of a module, chosen by their names."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from sgdtheory.errors import UserError


def tied_names(module: nn.Module) -> dict[str, str]:
    """Further names of the parameters that a module has in several places, with that by which
    `named_parameters` knows each."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    tied = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        known = first[id(parameter)]
        if name != known:
            tied[name] = known
    return tied


def matching(
    names: Iterable[str], pattern: str, key: str, tied: Mapping[str, str] | None = None
) -> list[str]:
    """The names in which a regular expression is found, or in another one of whose `tied_names`;
    UserError where it is none, or is found in no name. `key`: what gave it, for the complaint."""
    try:
        expression = re.compile(pattern)
    except re.error as fault:
        raise UserError(f"{key}={pattern}: no regular expression ({fault})") from None
    known = list(names)
    found = {name for name in known if expression.search(name)}
    found |= {name for other, name in (tied or {}).items() if expression.search(other)}
    chosen = [name for name in known if name in found]
    if not chosen:
        some = ", ".join(known[:6])
        raise UserError(f"{key}={pattern} matches no parameter; there are {some} …")
    return chosen


def coordinates_of(shapes: Mapping[str, torch.Size], names: Iterable[str]) -> Tensor:
    """The indices [k] in θ of the parameters of these names, ascending; `shapes`: of all, in their
    order in θ."""
    chosen = set(names)
    parts = []
    first = 0
    for name, shape in shapes.items():
        last = first + shape.numel()
        if name in chosen:
            parts.append(torch.arange(first, last))
        first = last
    return torch.cat(parts)
