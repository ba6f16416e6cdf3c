"""Plain data: what JSON can hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]  # an object read from a file of a run
Facts: TypeAlias = Mapping[str, Any]  # plain data by name, to be read alone


def plain(thing: object) -> object:
    """Plain data as JSON has it: numpy scalars become numbers, tuples lists, paths text, and what
    is not finite null."""
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    if hasattr(thing, "item") and getattr(thing, "ndim", 1) == 0:
        thing = thing.item()
    if isinstance(thing, float) and thing - thing != 0:
        return None
    return str(thing) if isinstance(thing, Path) else thing


def plain_object(things: Facts) -> Json:
    """The same of a mapping."""
    return {str(key): plain(value) for key, value in things.items()}
