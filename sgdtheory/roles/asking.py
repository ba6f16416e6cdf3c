"""The one place that asks a landscape for what it may have."""

from typing import Any


def has(thing: object, name: str) -> bool:
    return hasattr(thing, name)


def of(thing: object, name: str, default: Any = None) -> Any:
    return getattr(thing, name, default)
