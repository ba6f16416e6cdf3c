"""Annotations, read: what a type allows, of what it is made, and how it is called."""

import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

Target: TypeAlias = Callable[..., Any]  # what a `_target_` names: a class or a function
Annotation: TypeAlias = object  # a type as it is annotated: a class, an alternative of types, Any
CONSTRUCTOR = attrgetter("__init__")


def parameters_of(target: Target) -> Mapping[str, inspect.Parameter]:
    """The parameters by name; none where a signature cannot be read."""
    try:
        return inspect.signature(target).parameters
    except ValueError:  # written in C, and silent about its parameters
        return {}


def hints_of(target: Target) -> dict[str, Annotation]:
    """The annotations of the parameters, and of what is returned.

    A stranger's annotations may name what does not exist: then nothing is checked.
    """
    is_plain_class = inspect.isclass(target) and not hasattr(target, "__dataclass_fields__")
    owner = CONSTRUCTOR(target) if is_plain_class else target
    try:
        return get_type_hints(owner, include_extras=True)
    except Exception:
        return {}


def bare(annotation: Annotation) -> Annotation:
    """A type without Annotated."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def leaves(annotation: Annotation) -> list[Annotation]:
    """The alternatives of a type, without Annotated and Optional."""
    kind = bare(annotation)
    if not _is_union(kind):
        return [kind]
    parts = [leaf for part in get_args(kind) for leaf in leaves(part)]
    return [leaf for leaf in parts if leaf is not type(None)]


def _is_union(kind: Annotation) -> bool:
    return get_origin(kind) in (Union, UnionType)


def marks(annotation: Annotation) -> list[object]:
    """The marks of a type and of its alternatives: Place, Content, Importable."""
    kind = bare(annotation)
    found: list[object] = []
    if get_origin(annotation) is Annotated:
        found += get_args(annotation)[1:]
    if _is_union(kind):
        for part in get_args(kind):
            found += marks(part)
    return found


def classes(annotation: Annotation) -> list[type]:
    """The classes among the alternatives of a type: of `dict[str, X]` dict itself."""
    origins = [get_origin(leaf) or leaf for leaf in leaves(annotation)]
    return [kind for kind in origins if inspect.isclass(kind)]


def choices(annotation: Annotation) -> list[object]:
    """The values that a type names one by one."""
    literals = [leaf for leaf in leaves(annotation) if get_origin(leaf) is Literal]
    return [choice for leaf in literals for choice in get_args(leaf)]


def calls(annotation: Annotation) -> list[Annotation]:
    """The alternatives that are called."""
    kinds = leaves(annotation)
    return [leaf for leaf in kinds if get_origin(leaf) is Callable or leaf is Callable]


def returned(annotation: Annotation) -> Annotation:
    """What a Callable[…, X] gives when it is called."""
    for leaf in calls(annotation):
        if arguments := get_args(leaf):
            return arguments[-1]
    return Any


def inner(annotation: Annotation) -> Annotation:
    """The type of the items of a list, a tuple or a dictionary."""
    arguments = [argument for leaf in leaves(annotation) for argument in get_args(leaf)]
    kinds = [argument for argument in arguments if argument is not Ellipsis]
    return kinds[-1] if kinds else Any


def allows_none(annotation: Annotation) -> bool:
    return type(None) in get_args(bare(annotation))


def allows(annotation: Annotation, value: bool) -> bool:
    """Whether true or false may stand here: pydantic alone would read them as 1 and 0."""
    for leaf in leaves(annotation):
        arguments = get_args(leaf)
        if leaf in (Any, bool):
            return True
        if get_origin(leaf) is Literal:
            if any(value is choice for choice in arguments):
                return True
        elif bool in arguments:
            return True
    return False


def is_list(annotation: Annotation) -> bool:
    """Whether a list of any length of one kind may stand here."""
    return any(map(_is_list, leaves(annotation)))


def _is_list(leaf: Annotation) -> bool:
    if get_origin(leaf) is list:
        return True
    arguments = get_args(leaf)
    return get_origin(leaf) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis


def short(target: object) -> str:
    """A class or a function by its own name."""
    return str(getattr(target, "__name__", target))
