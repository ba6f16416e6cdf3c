"""Diagnostics of chosen parameters, beside those of all."""

from collections.abc import Iterator
from typing import TypeAlias

from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscapes.derived.block import Block
from sgdtheory.landscapes.names import matching
from sgdtheory.protocol import Landscape
from sgdtheory.roles.facts import shapes_of, title_of
from sgdtheory.statistics.measured import Measured

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
        matching(shapes, expression, key)


def blocks_at(
    landscape: Landscape, theta: Tensor, parameters: Expressions
) -> Iterator[tuple[str, Block]]:
    """Each expression with the landscape of the parameters that it matches, the others held at
    θ [n]."""
    for expression in listed(parameters):
        names = matching(shapes_of(landscape), expression, "parameters")
        yield expression, Block.of_names(landscape, theta, names)


def named(columns: dict[str, Measured], expression: str) -> dict[str, Measured]:
    """Columns of a block under the names they have beside those of all: `trace[<expression>]`."""
    return {f"{name}[{expression}]": column for name, column in columns.items()}
