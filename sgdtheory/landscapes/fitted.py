"""A module as a function of the data that it is given."""

from collections.abc import Callable

import torch
from torch import nn

from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError, in_a_line
from sgdtheory.landscapes.layout import Layout, layout_of
from sgdtheory.landscapes.module_function import ModuleFunction


def fitted(
    build: Callable[[], nn.Module],
    data: Examples,
    parameters: str | None,
    entry: str | int | None,
    device: torch.device,
) -> tuple[ModuleFunction, Layout]:
    """The function of a module and how its inputs lie in memory; a UserError where it does not take
    such data. See `ModuleFunction` for what the arguments say."""
    example = data.prepared(data.train_inputs[:2], torch.float32)
    try:
        function = ModuleFunction(build, parameters, entry, example, device)
        layout = layout_of(function, example)
    except UserError:
        raise
    except Exception as fault:  # of whatever kind: it is a stranger's code
        shape = "×".join(map(str, data.shape))
        raise UserError(
            f"model: it does not take examples {shape} of {data.name} "
            f"({in_a_line(fault, 160)}); give another model or other data"
        ) from fault
    return function, layout
