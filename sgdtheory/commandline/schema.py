"""The signature is the schema: a tree of plain data is checked against the callables its
`_target_`s name, then built.

Nothing is called before everything has been checked, and all that is wrong is told at once.

"""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from sgdtheory.annotations import ContentOf, Importable, Place
from sgdtheory.commandline.habits import value_meant
from sgdtheory.commandline.sources import SOURCE, digest_of_sources
from sgdtheory.commandline.targets import OURS, nearest_target, public_name, targets
from sgdtheory.errors import UserError, nearest
from sgdtheory.runs.folder import digest_of_content

RESERVED = ("_target_", "_partial_")


class Node(NamedTuple):
    """A checked call: what to call, with what, and its identity as plain data without places."""

    target: Callable[..., Any]
    partial: bool
    arguments: dict[str, Any]  # values, Nodes, or lists and dicts of them
    science: dict[str, Any]


class Checker:
    """Checks trees under one trust rule and gathers what is wrong, each fault a line `where: what;
    what to do`."""

    def __init__(self, trust: tuple[str, ...] = ()) -> None:
        self.roots = (OURS, *trust)
        self.faults: list[str] = []
        self.sources: dict[str, str | None] = {}  # digests, by the name of the package
        self.looked_outside = False  # whether an identity depends on files that it names

    def fault(self, where: str, what: str) -> None:
        self.faults.append(f"{where}: {what}")

    # names → callables

    def resolve(self, name: Any, where: str) -> Callable[..., Any] | None:
        """The callable that a dotted name or `module:name` means, if it lives where it may; else a
        fault and None."""
        try:
            return self._resolved(name)
        except UserError as mistake:
            self.fault(where, str(mistake))
            return None

    def _resolved(self, name: Any) -> Callable[..., Any]:
        parts = name.replace(":", ".").split(".") if isinstance(name, str) else []
        if len(parts) < 2 or not all(part.isidentifier() for part in parts):
            raise UserError(
                f"{name!r} is not the dotted name of a class or function, such as "
                f"package.module.Name"
            )
        root, module_name, attribute = parts[0], ".".join(parts[:-1]), parts[-1]
        if root not in self.roots:
            raise UserError(
                f"{name!r} is not trusted; if you trust that package, add --trust {root}"
            )
        if root == OURS:
            _refuse_unlisted(".".join(parts))  # before anything is imported
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise UserError(
                f"{name!r} cannot be imported ({error}); is it installed, or in the working "
                f"directory?"
            ) from None
        except (
            Exception
        ) as error:  # whatever a stranger's module does at import is told in one line
            raise UserError(
                f"{name!r} cannot be imported ({type(error).__name__}: {error})"
            ) from None
        found: Any = getattr(module, attribute, None)
        if not callable(found):
            raise UserError(
                f"{module_name} has no {attribute!r}" + nearest(attribute, list(vars(module)))
            )
        home = str(getattr(found, "__module__", "")).split(".")[0]
        if home not in self.roots:
            raise UserError(
                f"{name!r} lives in {home!r}, which is not trusted; add --trust {home} if "
                f"you trust it"
            )
        if home == OURS:  # what a trusted package has merely imported from here
            _refuse_unlisted(f"{found.__module__}.{getattr(found, '__qualname__', attribute)}")
        return found  # type: ignore[no-any-return]

    # trees → Nodes

    def node(self, tree: Mapping[str, Any], where: str = "", wanted: Any = Any) -> Node | None:
        """Check a mapping that has a `_target_`; what is not of the kind that is wanted is not
        looked into any further."""
        name, is_partial = tree["_target_"], bool(tree.get("_partial_", False))
        target = self.resolve(name, f"{where}._target_" if where else "_target_")
        if target is None or not self._suits(wanted, target, where or "_target_", is_partial):
            return None
        arguments = {key: value for key, value in tree.items() if key not in RESERVED}
        return self.call(target, arguments, where, is_partial, str(name))

    def call(
        self,
        target: Callable[..., Any],
        arguments: Mapping[str, Any],
        where: str,
        is_partial: bool = False,
        name: str = "",
    ) -> Node:
        """Check arguments against a signature: names, presence, types, ranges."""
        parameters = _parameters(target)
        hints = _hints(target)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        prefix = f"{where}." if where else ""
        checked: dict[str, Any] = {}
        name = name or f"{target.__module__}.{target.__qualname__}"
        science: dict[str, Any] = {"_target_": public_name(name), **self._sources(name)}
        for key, value in arguments.items():
            if key not in parameters and not takes_any:
                self.fault(
                    f"{prefix}{key}",
                    f"{_short(target)} has no parameter {key!r}" + nearest(key, list(parameters)),
                )
                continue
            annotation = hints.get(key, Any)
            if value == "???":
                self.fault(f"{prefix}{key}", f"must be given: {prefix}{key}=…")
                continue
            checked[key], identity = self.value(annotation, value, f"{prefix}{key}")
            if Place not in _marks(annotation):
                science[key] = identity
        for key, parameter in parameters.items():
            variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            needed = parameter.default is parameter.empty and not variadic
            if needed and key not in arguments and not is_partial:
                self.fault(f"{prefix}{key}", f"must be given: {prefix}{key}=…")
        return Node(target, is_partial, checked, science)

    def value(self, annotation: Any, value: Any, where: str) -> tuple[Any, Any]:
        """(what to pass, its identity as plain data)."""
        if _is_node(value):
            node = self.node(value, where, annotation)
            return node, node and node.science
        if isinstance(value, Mapping) and any(map(_is_node, value.values())):
            pairs = {
                key: self.value(_inner(annotation), item, f"{where}.{key}")
                for key, item in value.items()
            }
            return {k: v for k, (v, _) in pairs.items()}, {k: i for k, (_, i) in pairs.items()}
        if isinstance(value, list) and any(map(_is_node, value)):
            items = [
                self.value(_inner(annotation), item, f"{where}[{i}]")
                for i, item in enumerate(value)
            ]
            return [v for v, _ in items], [i for _, i in items]
        marks = _marks(annotation)
        if Importable in marks:
            found = self.resolve(value, where)
            sources = self._sources(value) if found is not None else {}
            return found, {"_target_": value, **sources} if sources else value
        checked = self._plain(annotation, value, where)
        if content := next((mark for mark in marks if isinstance(mark, ContentOf)), None):
            several = isinstance(checked, list | tuple)
            if several and not checked:
                self.fault(where, "an empty list names no file; give at least one, or leave it out")
            paths = [path for path in (checked if several else [checked]) if isinstance(path, Path)]
            digests = [self._content(path, content, where) for path in paths]
            return checked, digests if several else (digests or [None])[0]
        return checked, str(checked) if isinstance(checked, Path) else checked

    def _sources(self, name: str) -> dict[str, str]:
        """The sources of a trusted package, as a part of the identity of what it makes; nothing for
        ours."""
        root = name.replace(":", ".").split(".")[0]
        if root == OURS:
            return {}
        if root not in self.sources:
            self.sources[root] = digest_of_sources(root)
            self.looked_outside = True
        return {} if self.sources[root] is None else {SOURCE: str(self.sources[root])}

    def _content(self, path: Path, content: ContentOf, where: str) -> str | None:
        """What a file holds, as its identity."""
        self.looked_outside = True
        if path.exists():
            return digest_of_content(
                path, content.files(path) if content.files is not None and path.is_dir() else None
            )
        self.fault(where, f"no such file or folder: {path}")
        return None

    def _plain(self, annotation: Any, value: Any, where: str) -> Any:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool) and not _allows(annotation, item):
                advice = value_meant(where.rpartition(".")[2], item)
                self.fault(where, f"{str(item).lower()} is not a number or a name{advice}")
                return None
        kinds = [leaf for leaf in _leaves(annotation) if is_dataclass(leaf)]
        only = len(kinds) == len(_leaves(annotation)) and not (
            value is None and type(None) in get_args(_bare(annotation))
        )
        if kinds and (
            only or isinstance(value, Mapping)
        ):  # pydantic would make one of a mapping, without a _target_
            self.fault(
                where,
                f"must be a {' or a '.join(map(_short, kinds))}, named by a _target_, not "
                f"{value!r}",
            )
            return None
        try:
            return _adapter(annotation).validate_python(value)
        except PydanticSchemaGenerationError:
            return value  # a stranger's annotation that pydantic cannot read checks nothing
        except ValidationError as error:
            if value is not None and _is_list(
                annotation
            ):  # 0.1 where [0.1] is meant, [0, 1] where [[0, 1]] is
                with suppress(ValidationError):
                    return _adapter(annotation).validate_python([value])
            for problem in error.errors()[:1]:
                place = "".join(f"[{part}]" for part in problem["loc"] if isinstance(part, int))
                told = _told(problem, annotation, value)
                advice = value_meant(where.rpartition(".")[2], value)
                self.fault(
                    f"{where}{place}",
                    told.partition("; did you mean")[0] + advice if advice else told,
                )
            return None

    def _suits(
        self, annotation: Any, target: Callable[..., Any], where: str, is_partial: bool = False
    ) -> bool:
        """Whether what a target builds can be what the parameter asks for, as far as it can be told
        without building it."""
        if Any in _leaves(annotation):
            return True
        if is_partial:
            calls = [
                leaf
                for leaf in _leaves(annotation)
                if get_origin(leaf) is Callable or leaf is Callable
            ]
            if not calls:
                self.fault(where, f"{_short(target)} itself is asked for; leave _partial_ out")
                return False
            annotation = _returned(annotation)
            if annotation is Any:
                return True
        result = target if inspect.isclass(target) else _hints(target).get("return", Any)
        if not inspect.isclass(result):
            if _is_ours(
                target
            ):  # a function that says nothing of what it gives is no maker of anything
                self.fault(where, f"{_short(target)} makes nothing that can stand here")
            return not _is_ours(target)
        said = [_unlike(result, kind) for kind in _classes(annotation)]
        if "" in said:
            return True
        self.fault(
            where,
            said[-1] if said else f"must be {_told_kinds(annotation)}, not a {_short(result)}",
        )
        return False


def _refuse_unlisted(name: str) -> None:
    """Raise UserError for what is of this package, and is built by no file of configs/."""
    if name not in targets():
        raise UserError(f"{name!r} is nothing that a configuration builds{nearest_target(name)}")


def _unlike(result: type, kind: type) -> str:
    """Why a class is not of a kind; empty where it is."""
    if not getattr(kind, "_is_protocol", False):
        return "" if issubclass(result, kind) else f"{_short(result)} is no {kind.__name__}"
    methods = [
        name
        for name, value in vars(kind).items()
        if (callable(value) and name[0] != "_") or name == "__call__"
    ]
    missing = [name for name in methods if not any(name in vars(base) for base in result.__mro__)]
    return (
        f"{_short(result)} is no {kind.__name__}: it has no {', '.join(missing)}" if missing else ""
    )


def build(thing: Any) -> Any:
    """Call what has been checked, innermost first. A ValueError of a constructor is the user's
    mistake."""
    if isinstance(thing, Node):
        arguments = {key: build(value) for key, value in thing.arguments.items()}
        if thing.partial:
            return partial(thing.target, **arguments)
        found = thing.target(**arguments)
        if content := getattr(
            found, "content_sha256", None
        ):  # what it has read is a part of what it is
            thing.science["content"] = str(content)
        return found
    if isinstance(thing, dict):
        return {key: build(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [build(value) for value in thing]
    return thing


def refuse(faults: list[str]) -> None:
    """Raise one UserError that tells all faults, in three lines at most."""
    if faults:
        unique = list(dict.fromkeys(faults))
        lines = unique if len(unique) <= 3 else [*unique[:2], "; ".join(unique[2:])]
        raise UserError("\n".join(lines))


# types, read


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except ValueError:  # written in C, and silent about what it takes
        return {}


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    plain_class = inspect.isclass(target) and not hasattr(target, "__dataclass_fields__")
    owner = target.__init__ if plain_class else target  # type: ignore[misc]
    try:
        return get_type_hints(owner, include_extras=True)
    except (
        Exception
    ):  # a stranger's annotations may name what does not exist: then nothing is checked
        return {}


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(
            annotation, config=ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        )
    except PydanticSchemaGenerationError:
        raise
    except Exception:  # types that carry a configuration of their own refuse another one
        return TypeAdapter(annotation)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _leaves(annotation: Any) -> list[Any]:
    """The alternatives of a type, without Annotated and Optional."""
    bare = _bare(annotation)
    if get_origin(bare) in (Union, UnionType):
        return [leaf for part in get_args(bare) for leaf in _leaves(part) if leaf is not type(None)]
    return [bare]


def _classes(annotation: Any) -> list[type]:
    """The classes among the alternatives of a type: of `dict[str, X]` dict itself."""
    origins = [get_origin(leaf) or leaf for leaf in _leaves(annotation)]
    return [kind for kind in origins if inspect.isclass(kind)]


def _told_kinds(annotation: Any) -> str:
    """The alternatives of a type that are no classes, in words."""
    choices = [
        str(choice)
        for leaf in _leaves(annotation)
        if get_origin(leaf) is Literal
        for choice in get_args(leaf)
    ]
    return f"one of {', '.join(choices)}" if choices else str(annotation)


def _is_ours(target: Any) -> bool:
    return str(getattr(target, "__module__", "")).split(".")[0] == OURS


def _marks(annotation: Any) -> tuple[Any, ...]:
    """The marks of a type and of its alternatives: Place, Content, Importable."""
    own = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    bare = _bare(annotation)
    if get_origin(bare) in (Union, UnionType):
        return (*own, *(mark for part in get_args(bare) for mark in _marks(part)))
    return tuple(own)


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _returned(annotation: Any) -> Any:
    """What a Callable[…, X] gives when it is called: a partial node is one."""
    return next(
        (
            get_args(leaf)[-1]
            for leaf in _leaves(annotation)
            if get_origin(leaf) is Callable and get_args(leaf)
        ),
        Any,
    )


def _inner(annotation: Any) -> Any:
    """The type of the items of a list, a tuple or a dictionary."""
    arguments = [
        arg for leaf in _leaves(annotation) for arg in get_args(leaf) if arg is not Ellipsis
    ]
    return arguments[-1] if arguments else Any


def _allows(annotation: Any, value: bool) -> bool:
    """Whether true or false may stand here: pydantic alone would read them as 1 and 0."""
    for leaf in _leaves(annotation):
        named = get_args(leaf)
        if leaf in (Any, bool) or (
            any(value is choice for choice in named)
            if get_origin(leaf) is Literal
            else bool in named
        ):
            return True
    return False


def _is_list(annotation: Any) -> bool:
    """Whether a list of any length of one kind may stand here."""
    kinds = [(get_origin(leaf), get_args(leaf)) for leaf in _leaves(annotation)]
    return any(
        kind is list or (kind is tuple and len(inner) == 2 and inner[1] is Ellipsis)
        for kind, inner in kinds
    )


def _short(target: Any) -> str:
    return str(getattr(target, "__name__", target))


def _told(problem: Any, annotation: Any, value: Any) -> str:
    """A pydantic complaint in the tool's own voice."""
    choices = [
        choice
        for leaf in _leaves(annotation)
        if get_origin(leaf) is Literal
        for choice in get_args(leaf)
    ]
    given = (
        problem["input"]
        if isinstance(problem["input"], str | int | float | bool | type(None))
        else value
    )
    others = [leaf.__name__ for leaf in _leaves(annotation) if inspect.isclass(leaf)]
    if choices and (isinstance(given, str) or not others):
        names = [str(choice) for choice in choices]
        return f"{given!r} is not one of {', '.join([*names, *others])}" + nearest(
            str(given), names
        )
    message = problem["msg"].replace("Value error, ", "").replace("Input should be", "must be")
    message = message.replace("a valid tuple", "a list [a,b]").replace(
        "a valid list", "a list [a,b]"
    )
    message = re.split(", | for <", message)[0]  # the rest is about parsing and classes
    return f"{message[0].lower()}{message[1:]}, not {given!r}"
