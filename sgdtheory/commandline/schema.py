"""The signature is the schema: a tree of plain data is checked against the callables its
`_target_`s name, then built.

Nothing is called before everything has been checked, and all that is wrong is told at once.

"""

from collections.abc import Mapping
from functools import partial
from inspect import Parameter
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from sgdtheory.annotations import ByName, ContentOf, Importable, Place
from sgdtheory.commandline.group_choices import MISSING, choice_named
from sgdtheory.commandline.hints import (
    Annotation,
    Target,
    allows_none,
    hints_of,
    inner,
    marks,
    parameters_of,
    short,
)
from sgdtheory.commandline.resolving import resolved
from sgdtheory.commandline.sources import SOURCE, digest_of_sources
from sgdtheory.commandline.suiting import why_unsuited
from sgdtheory.commandline.targets import OURS, public_name
from sgdtheory.commandline.validation import Unfit, validated
from sgdtheory.errors import UserError, nearest
from sgdtheory.runs.digests import digest_of_content
from sgdtheory.runs.plain import Facts, Json

RESERVED = ("_target_", "_partial_")


class Node(NamedTuple):
    """A checked call: what to call, with what, and its identity as plain data without places."""

    target: Target
    partial: bool
    arguments: Json  # values, Nodes, or lists and dicts of them
    science: Json


class Checked(NamedTuple):
    """What to pass, and its identity as plain data."""

    value: object
    identity: object


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

    def resolve(self, name: object, where: str) -> Target | None:
        """The callable that a dotted name or `module:name` means, if it lives where it may; else a
        fault and None."""
        try:
            return resolved(name, self.roots)
        except UserError as mistake:
            self.fault(where, str(mistake))
            return None

    def node(self, tree: Facts, where: str = "", wanted: Annotation = Any) -> Node | None:
        """Check a mapping that has a `_target_`; one that is not of the kind that is wanted is not
        looked into any further."""
        name, is_partial = tree["_target_"], bool(tree.get("_partial_", False))
        target = self.resolve(name, f"{where}._target_" if where else "_target_")
        if target is None:
            return None
        unsuited = why_unsuited(wanted, target, is_partial)
        if unsuited is not None:
            self.fault(where or "_target_", unsuited)
            return None
        arguments = {key: value for key, value in tree.items() if key not in RESERVED}
        return self.call(target, arguments, where, is_partial, str(name))

    def call(
        self,
        target: Target,
        arguments: Facts,
        where: str,
        is_partial: bool = False,
        name: str = "",
    ) -> Node:
        """Check arguments against a signature: names, presence, types, ranges."""
        name = name or f"{target.__module__}.{target.__qualname__}"
        node = Node(target, is_partial, {}, {"_target_": public_name(name), **self._sources(name)})
        parameters = parameters_of(target)
        hints = hints_of(target)
        prefix = f"{where}." if where else ""
        takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
        for key, value in arguments.items():
            if not isinstance(key, str):  # yaml reads on, off, yes, no as true and false
                self.fault(f"{prefix}{key}", "a key is text; put quotes around it, as in 'on'")
            elif key not in parameters and not takes_any:
                # a study, or a file, may state a key of another choice
                hint = nearest(key, list(parameters)) or f"; '~{prefix}{key}' leaves it out"
                self.fault(f"{prefix}{key}", f"{short(target)} has no parameter {key!r}{hint}")
            elif value == MISSING:
                self._must_be_given(f"{prefix}{key}")
            else:
                self._argument(node, key, hints.get(key, Any), value, f"{prefix}{key}")
        for key, parameter in parameters.items():
            if key not in arguments and not is_partial and _is_needed(parameter):
                self._must_be_given(f"{prefix}{key}")
        return node

    def _argument(
        self, node: Node, key: str, annotation: Annotation, value: object, where: str
    ) -> None:
        node.arguments[key], identity = self.value(annotation, value, where)
        if Place not in marks(annotation):
            node.science[key] = identity

    def _must_be_given(self, key: str) -> None:
        self.fault(key, f"must be given: {key}=…")

    def value(self, annotation: Annotation, value: object, where: str) -> Checked:
        """Check a value against a type: a call, a list or a mapping of calls, or plain data."""
        if is_node(value):
            node = self.node(value, where, annotation)
            return Checked(node, node and node.science)
        if isinstance(value, Mapping) and any(map(is_node, value.values())):
            kind = inner(annotation)
            items = {key: self.value(kind, item, f"{where}.{key}") for key, item in value.items()}
            identities = {key: item.identity for key, item in items.items()}
            values = {key: item.value for key, item in items.items()}
            return Checked(values, identities)
        if isinstance(value, list) and any(map(is_node, value)):
            kind = inner(annotation)
            listed = [self.value(kind, item, f"{where}[{i}]") for i, item in enumerate(value)]
            of_items = [item.identity for item in listed]
            return Checked([item.value for item in listed], of_items)
        return self._data(annotation, value, where)

    def _data(self, annotation: Annotation, value: object, where: str) -> Checked:
        """Check plain data: its identity is itself, what the files that it names hold, or that of
        the choice that it names."""
        known = marks(annotation)
        named = next((mark for mark in known if isinstance(mark, ByName)), None)
        if named is not None and isinstance(value, str):
            choice = choice_named(named.group, value)
            if choice is not None:
                return self.value(annotation, choice, where)
        if Importable in known and not (value is None and allows_none(annotation)):
            target = self.resolve(value, where)
            sources = self._sources(str(value)) if target is not None else {}
            return Checked(target, {"_target_": value, **sources} if sources else value)
        checked = self._plain(annotation, value, where)
        content = next((mark for mark in known if isinstance(mark, ContentOf)), None)
        if content is not None:
            return Checked(checked, self._contents(checked, content, where))
        return Checked(checked, str(checked) if isinstance(checked, Path) else checked)

    def _plain(self, annotation: Annotation, value: object, where: str) -> object:
        try:
            return validated(annotation, value, where.rpartition(".")[2])
        except Unfit as fault:
            self.fault(f"{where}{fault.place}", str(fault))
            return None

    def _contents(self, value: object, content: ContentOf, where: str) -> object:
        """What the file or the files of a value hold, as its identity."""
        if isinstance(value, list | tuple):
            if not value:
                self.fault(where, "an empty list names no file; give at least one, or leave it out")
            paths = [path for path in value if isinstance(path, Path)]
            return [self._content(path, content, where) for path in paths]
        return self._content(value, content, where) if isinstance(value, Path) else None

    def _content(self, path: Path, content: ContentOf, where: str) -> str | None:
        self.looked_outside = True
        if not path.exists():
            self.fault(where, f"no such file or folder: {path}")
            return None
        choose = content.files
        files = None if choose is None or not path.is_dir() else choose(path)
        return digest_of_content(path, files)

    def _sources(self, name: str) -> dict[str, str]:
        """The sources of a trusted package, as a part of the identity of what it makes; nothing for
        ours."""
        root = name.replace(":", ".").split(".")[0]
        if root == OURS:
            return {}
        if root not in self.sources:
            self.sources[root] = digest_of_sources(root)
            self.looked_outside = True
        sources = self.sources[root]
        return {} if sources is None else {SOURCE: sources}


def is_node(value: object) -> TypeGuard[Facts]:
    """Whether a tree describes a call."""
    return isinstance(value, Mapping) and "_target_" in value


def _is_needed(parameter: Parameter) -> bool:
    is_variadic = parameter.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    return parameter.default is Parameter.empty and not is_variadic


def build(thing: object) -> Any:
    """Call what has been checked, innermost first. A ValueError of a constructor is the user's
    mistake."""
    if isinstance(thing, Node):
        arguments = {key: build(value) for key, value in thing.arguments.items()}
        if thing.partial:
            return partial(thing.target, **arguments)
        built = thing.target(**arguments)
        if content := getattr(built, "content_sha256", None):  # it has read files
            thing.science["content"] = str(content)
        return built
    if isinstance(thing, dict):
        return {key: build(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [build(value) for value in thing]
    return thing


def refuse(faults: list[str]) -> None:
    """Raise one UserError that tells all faults, in three lines at most."""
    if faults:
        unique = list(dict.fromkeys(faults))
        lines = unique
        if len(unique) > 3:
            lines = [*unique[:2], "; ".join(unique[2:])]
        raise UserError("\n".join(lines))
