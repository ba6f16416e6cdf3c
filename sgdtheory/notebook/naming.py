"""What a landscape of one's own is called by a configuration, where it can be."""

import sys
from dataclasses import dataclass

from torch import nn

from sgdtheory.losses.custom import Custom
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.named import NAMED
from sgdtheory.runs.plain import Json

ADVICE = "give sgdtheory.landscape a function of a module that can be imported, which makes it"


@dataclass(frozen=True)
class Named:
    """The words of a landscape but for its data: `keys` of a configuration with their values, and
    the packages that these are from."""

    choices: tuple[str, ...]  # of groups: loss=mse
    keys: Json
    trust: tuple[str, ...]


def named(
    module: object, loss: Loss, weight_decay: float, parameters: str | None, entry: str | int | None
) -> Named | str:
    """How a configuration says a landscape, or in words why none can."""
    factory = type(module) if isinstance(module, nn.Module) else module
    what = "an instance of" if isinstance(module, nn.Module) else "made by"
    path = importable(factory)
    if path is None:
        own = getattr(factory, "__qualname__", type(factory).__name__)
        return f"its module is {what} {own}, which cannot be imported by its name; {ADVICE}"
    keys: Json = {
        "model.factory": path,
        "landscape.weight_decay": weight_decay,
        "landscape.parameters": parameters,
        "landscape.entry": entry,
    }
    choice = next((name for name, kind in NAMED.items() if kind() == loss), None)
    if choice is None:
        own_loss = importable(loss.factory) if isinstance(loss, Custom) else None
        if own_loss is None:
            return (
                "its loss is no function that can be imported by its name; write it into a module"
            )
        choice = "custom"
        keys["loss.factory"] = own_loss
    paths = [str(keys[key]) for key in ("model.factory", "loss.factory") if key in keys]
    trust = dict.fromkeys(path.replace(":", ".").split(".")[0] for path in paths)
    choices = ("landscape=network", "model=custom", "data=stored", f"loss={choice}")
    return Named(choices, keys, tuple(trust))


def importable(thing: object) -> str | None:
    """`module:name` of a function or a class that can be imported so; None where it cannot."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not name.isidentifier():
        return None
    found = sys.modules.get(module)
    if module == "__main__" or getattr(found, name, None) is not thing:
        return None
    return f"{module}:{name}"
