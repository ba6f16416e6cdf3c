"""A network from outside: any function or class that returns an nn.Module."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Annotated, Any

from torch import nn

from sgdtheory.annotations import Importable, PositiveInt, Shape
from sgdtheory.errors import UserError


def custom(
    shape: Shape,
    classes: PositiveInt,
    factory: Annotated[Callable[..., nn.Module], Importable],
) -> nn.Module:
    """`factory(shape=…, classes=…)`, called with those of the two that its signature takes: the
    shape of one input, (C, H, W) of an image, and how many numbers are to be given for a target.

    What it returns maps inputs [b, …] to logits [b, classes]. Its batch statistics may be plain
    batch norm.
    """
    name = f"{factory.__module__}:{getattr(factory, '__qualname__', type(factory).__qualname__)}"
    given = _accepted(factory, name, {"shape": shape, "classes": classes})
    try:
        model = factory(**given)
    except UserError:
        raise
    except (
        Exception
    ) as fault:  # whatever a stranger's code raises, it is this model for these data that cannot be
        said = next(iter(str(fault).splitlines()), "without a word")
        size = "×".join(map(str, shape))
        raise UserError(
            f"model.factory={name}: makes no model for inputs of {size} in {classes} classes "
            f"({type(fault).__name__}: {said}); "
            "give the data= that it is made for, or a factory that takes shape= and classes="
        ) from fault
    if not isinstance(model, nn.Module):
        raise UserError(
            f"model.factory={name}: returned a {type(model).__name__}; it must return a "
            f"torch.nn.Module"
        )
    return model


def _accepted(
    factory: Callable[..., nn.Module], name: str, offered: dict[str, Any]
) -> dict[str, Any]:
    """Those of the offered arguments that the factory takes; a UserError if it needs another
    one."""
    parameters = signature(factory).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return offered
    given = {key: value for key, value in offered.items() if key in parameters}
    try:
        signature(factory).bind(**given)
    except TypeError as fault:
        raise UserError(
            f"model.factory={name}: {fault}; it is called with shape= and classes= alone"
        ) from fault
    return given
