"""Diagnostics of chosen parameters, beside those of all."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscapes.derived.block import Block
from sgdtheory.landscapes.names import matching, tied_names
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import is_network
from sgdtheory.roles.facts import shapes_of, title_of
from sgdtheory.statistics.measured import Measured

Columns: TypeAlias = dict[str, Measured]
Expressions: TypeAlias = str | tuple[str, ...] | None  # regular ones, a block each


def listed(parameters: Expressions) -> tuple[str, ...]:
    """One expression as a list of one."""
    if parameters is None:
        return ()
    if isinstance(parameters, str):
        return (parameters,)
    return parameters


def refuse_unmatched(landscape: Landscape, parameters: Expressions, key: str) -> None:
    """Raise UserError where an expression is none or matches no parameter, or where parameters have
    no names. `key`: what gave the expressions."""
    shapes = shapes_of(landscape)
    for expression in listed(parameters):
        if not shapes:
            raise UserError(
                f"{key}={expression}: parameters of {title_of(landscape)} have no names; "
                f"leave it out"
            )
        _matched(landscape, expression, key)


def _matched(landscape: Landscape, expression: str, key: str) -> list[str]:
    """The parameters that an expression finds by any of their names."""
    tied = tied_names(landscape.module) if is_network(landscape) else None
    return matching(shapes_of(landscape), expression, key, tied)


def beside_blocks(
    columns_at: Callable[[Landscape, Tensor], Columns],
    landscape: Landscape,
    theta: Tensor,
    parameters: Expressions,
) -> Columns:
    """The columns at θ [n] of all parameters, and as `trace[<expression>]` those of the parameters
    that each expression matches, the others held."""
    columns = columns_at(landscape, theta)
    for expression in listed(parameters):
        names = _matched(landscape, expression, "parameters")
        block = Block.of_names(landscape, theta, names)
        for name, column in columns_at(block, block.theta).items():
            columns[f"{name}[{expression}]"] = column
    return columns
