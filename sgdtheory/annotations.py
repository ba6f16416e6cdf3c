"""Kinds of values that signatures declare: the signature of a target is the schema of its yaml.

`Place` marks a parameter that says where something is computed or kept, not what: it is left out of
a run's identity. `Content` marks a path whose identity is what the file holds, not where it lies.
`Importable` marks a dotted name (`package.module:function`) that is resolved under the same trust
rule as a `_target_`. `ByName` marks a value that may be said by its name in a group of choices,
and is then that choice.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


class ContentOf(_Mark):
    """`files`: of a folder those that are read; by default all."""

    def __init__(self, files: Callable[[Path], Iterable[Path]] | None = None) -> None:
        super().__init__("Content")
        self.files = files


class ByName(_Mark):
    """`group`: whose choices the names are."""

    def __init__(self, group: str) -> None:
        super().__init__(f"ByName({group})")
        self.group = group


Content = ContentOf()
Place = _Mark("Place")
Importable = _Mark("Importable")

PositiveInt = Annotated[int, Ge(1)]  # how many of something, at least one
NonNegativeInt = Annotated[int, Ge(0)]  # how many of something, possibly none
PositiveFloat = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Shape = tuple[int, ...]  # how long each axis of a tensor is
BelowOne = Annotated[float, Ge(0), Lt(1)]  # momentum: at 1 nothing would ever be forgotten
ContentPath = Annotated[Path, Content]
PlacePath = Annotated[Path, Place]
