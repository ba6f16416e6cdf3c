"""Parameters of a module, chosen by their names."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from sgdtheory.errors import UserError


def matching(names: Iterable[str], pattern: str, key: str) -> list[str]:
    """The names in which a regular expression is found; UserError where it is none, or is found in
    no name. `key`: what gave it, for the complaint."""
    try:
        expression = re.compile(pattern)
    except re.error as fault:
        raise UserError(f"{key}={pattern}: no regular expression ({fault})") from None
    known = list(names)
    chosen = [name for name in known if expression.search(name)]
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
