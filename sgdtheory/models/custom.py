"""A network from outside: any function or class that returns an nn.Module."""

from collections.abc import Callable
from functools import partial
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

    A factory written as a call of its own (`_target_: timm.create_model`, `_partial_: true`, and
    its arguments) is given those of the two that its signature names. What it returns maps inputs
    [b, …] to logits [b, classes]. Its batch statistics may be plain batch norm.
    """
    name = _name_of(factory)
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


def _name_of(factory: Callable[..., nn.Module]) -> str:
    if isinstance(factory, partial):
        return _name_of(factory.func)
    own = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{factory.__module__}:{own}"


def _accepted(
    factory: Callable[..., nn.Module], name: str, offered: dict[str, Any]
) -> dict[str, Any]:
    """Those of the offered arguments that the factory takes; a UserError if it needs another
    one."""
    parameters = signature(factory).parameters
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    if takes_any and not isinstance(factory, partial):  # that has said what it is called with
        return offered
    given = {key: value for key, value in offered.items() if key in parameters}
    try:
        signature(factory).bind(**given)
    except TypeError as fault:
        raise UserError(
            f"model.factory={name}: {fault}; it is called with shape= and classes= alone"
        ) from fault
    return given
