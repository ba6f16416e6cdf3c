"""A plain value against a type, by pydantic, and its complaints in the tool's own voice."""

import inspect
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from sgdtheory.commandline.habits import value_meant
from sgdtheory.commandline.hints import (
    Annotation,
    allows,
    allows_none,
    choices,
    is_list,
    leaves,
    short,
)
from sgdtheory.errors import nearest

OPTIONS = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


class Unfit(Exception):
    """A value that is not of the type: where in it, such as [0], and why not."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(why)
        self.place = place


def validated(annotation: Annotation, value: object, leaf: str) -> object:
    """The value as the type has it. Raises Unfit where it is not of the type.

    `leaf`: the last part of the key that is set, for hints.
    """
    _refuse_truth(annotation, value, leaf)
    _refuse_unnamed(annotation, value)
    try:
        return _adapter(annotation).validate_python(value)
    except PydanticSchemaGenerationError:
        return value  # a stranger's annotation that pydantic cannot read checks nothing
    except ValidationError as error:
        if value is not None and is_list(annotation):
            # 0.1 where [0.1] is meant, [0, 1] where [[0, 1]] is
            with suppress(ValidationError):
                return _adapter(annotation).validate_python([value])
        raise _unfit(error, annotation, value, leaf) from None


def _refuse_truth(annotation: Annotation, value: object, leaf: str) -> None:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool) and not allows(annotation, item):
            advice = value_meant(leaf, item)
            raise Unfit("", f"{str(item).lower()} is not a number or a name{advice}")


def _refuse_unnamed(annotation: Annotation, value: object) -> None:
    """Of a mapping without a _target_ pydantic would make a dataclass."""
    kinds = leaves(annotation)
    built = [kind for kind in kinds if is_dataclass(kind)]
    is_only = len(built) == len(kinds) and not (value is None and allows_none(annotation))
    if built and (is_only or isinstance(value, Mapping)):
        names = " or a ".join(map(short, built))
        raise Unfit("", f"must be a {names}, named by a _target_, not {value!r}")


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=OPTIONS)
    except PydanticSchemaGenerationError:
        raise
    except Exception:  # types that carry a configuration of their own refuse another one
        return TypeAdapter(annotation)


def _unfit(error: ValidationError, annotation: Annotation, value: object, leaf: str) -> Unfit:
    problem = error.errors()[0]
    place = "".join(f"[{part}]" for part in problem["loc"] if isinstance(part, int))
    is_plain = isinstance(problem["input"], str | int | float | bool | type(None))
    given = problem["input"] if is_plain else value
    complaint = _complaint(problem["msg"], annotation, given)
    if advice := value_meant(leaf, value):
        complaint = complaint.partition("; did you mean")[0] + advice
    return Unfit(place, complaint)


def _complaint(message: str, annotation: Annotation, given: object) -> str:
    others = [leaf.__name__ for leaf in leaves(annotation) if inspect.isclass(leaf)]
    names = [str(choice) for choice in choices(annotation)]
    if names and (isinstance(given, str) or not others):
        known = ", ".join([*names, *others])
        return f"{given!r} is not one of {known}{nearest(str(given), names)}"
    message = _shortened(message)
    return f"{message[0].lower()}{message[1:]}, not {given!r}"


def _shortened(message: str) -> str:
    message = message.replace("Value error, ", "").replace("Input should be", "must be")
    for name in ("a valid tuple", "a valid list"):
        message = message.replace(name, "a list [a,b]")
    return re.split(", | for <", message)[0]  # the rest is about parsing and classes
