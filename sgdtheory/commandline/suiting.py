"""Whether what a target builds can be what a parameter asks for, as far as it can be told without
building it."""

import inspect
from typing import Any

from sgdtheory.commandline.hints import (
    Annotation,
    Target,
    calls,
    choices,
    classes,
    hints_of,
    leaves,
    returned,
    short,
)
from sgdtheory.commandline.resolving import root_of
from sgdtheory.commandline.targets import OURS


def why_unsuited(annotation: Annotation, target: Target, is_partial: bool = False) -> str | None:
    """Why a target cannot stand where a type is asked for; None where it can."""
    if Any in leaves(annotation):
        return None
    if is_partial:
        if not calls(annotation):
            return f"{short(target)} itself is asked for; leave _partial_ out"
        annotation = returned(annotation)
        if annotation is Any:
            return None
    result = target if inspect.isclass(target) else hints_of(target).get("return", Any)
    if inspect.isclass(result):
        return _why_other(result, annotation)
    is_ours = root_of(target) == OURS  # a function of ours always says what it gives
    return f"{short(target)} makes nothing that can stand here" if is_ours else None


def _why_other(result: type, annotation: Annotation) -> str | None:
    reasons = [_unlike(result, kind) for kind in classes(annotation)]
    if None in reasons:
        return None
    return reasons[-1] if reasons else f"must be {_in_words(annotation)}, not a {short(result)}"


def _unlike(result: type, kind: type) -> str | None:
    """Why a class is not of a kind; None where it is."""
    if not getattr(kind, "_is_protocol", False):
        return None if issubclass(result, kind) else f"{short(result)} is no {kind.__name__}"
    missing = [name for name in _methods(kind) if not _has(result, name)]
    if not missing:
        return None
    return f"{short(result)} is no {kind.__name__}: it has no {', '.join(missing)}"


def _methods(protocol: type) -> list[str]:
    members = vars(protocol).items()
    return [name for name, value in members if name == "__call__" or _is_public(name, value)]


def _is_public(name: str, value: object) -> bool:
    return callable(value) and not name.startswith("_")


def _has(kind: type, name: str) -> bool:
    return any(name in vars(base) for base in kind.__mro__)


def _in_words(annotation: Annotation) -> str:
    """The alternatives of a type that are no classes."""
    named = [str(choice) for choice in choices(annotation)]
    return f"one of {', '.join(named)}" if named else str(annotation)
