"""From a dotted name to the callable that it means, if it lives where it may."""

import importlib
from types import ModuleType

from sgdtheory.commandline.hints import Target
from sgdtheory.commandline.targets import OURS, nearest_target, targets
from sgdtheory.errors import UserError, nearest


def resolved(name: object, roots: tuple[str, ...]) -> Target:
    """The callable that a dotted name or `module:name` means. Raises UserError for what is none,
    and for what lives in a package that is not among `roots`."""
    parts = name.replace(":", ".").split(".") if isinstance(name, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise UserError(
            f"{name!r} is not the dotted name of a class or function, such as package.module.Name"
        )
    root = parts[0]
    if root not in roots:
        raise UserError(f"{name!r} is not trusted; if you trust that package, add --trust {root}")
    if root == OURS:
        _refuse_unlisted(".".join(parts))  # before anything is imported
    module_name, attribute = ".".join(parts[:-1]), parts[-1]
    module = _imported(module_name, name)
    target: object = getattr(module, attribute, None)
    if not callable(target):
        raise UserError(
            f"{module_name} has no {attribute!r}" + nearest(attribute, list(vars(module)))
        )
    _refuse_stranger(target, name, attribute, roots)
    return target


def _imported(module_name: str, name: object) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{name!r} cannot be imported ({error}); is it installed, or in the working directory?"
        ) from None
    except Exception as error:  # a stranger's module may raise anything at import
        raise UserError(f"{name!r} cannot be imported ({type(error).__name__}: {error})") from None


def _refuse_stranger(target: Target, name: object, attribute: str, roots: tuple[str, ...]) -> None:
    """Raise UserError for what a trusted module has merely imported from elsewhere."""
    home = root_of(target)
    if home not in roots:
        raise UserError(
            f"{name!r} lives in {home!r}, which is not trusted; add --trust {home} if you trust it"
        )
    if home == OURS:
        own_name = getattr(target, "__qualname__", attribute)
        _refuse_unlisted(f"{target.__module__}.{own_name}")


def _refuse_unlisted(name: str) -> None:
    """Raise UserError for what is of this package, and is built by no file of configs/."""
    if name not in targets():
        raise UserError(f"{name!r} is nothing that a configuration builds{nearest_target(name)}")


def root_of(target: object) -> str:
    """The package that a class or a function lives in."""
    return str(getattr(target, "__module__", "")).split(".")[0]
