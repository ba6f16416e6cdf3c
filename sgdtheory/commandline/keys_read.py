"""Which keys of a composed configuration are read: what else is set would have no effect."""

import re
from collections.abc import Iterable

from sgdtheory.commandline.complaints import key_of, paths_of
from sgdtheory.commandline.composer import groups
from sgdtheory.commandline.habits import meant
from sgdtheory.commandline.hints import parameters_of
from sgdtheory.commandline.schema import Checker
from sgdtheory.commandline.words import is_below, root_of
from sgdtheory.runs.plain import Json

SETTINGS = ("device", "threads", "run", "executor")
REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\.?(?=[}$\[])")  # ${key.of.the.file


def parameters_read(raw: Json, tree: Json, checker: Checker, overrides: Iterable[str]) -> list[str]:
    """The root keys of a tree that are its pipeline's own; every key that an override sets and
    that nothing reads is a fault."""
    parameters, read = _read(raw, tree, checker)
    for key in dict.fromkeys(map(key_of, overrides)):
        root = root_of(key)
        if root in tree and not _is_read(key, read):
            checker.fault(*_unread(key, root, parameters, read, paths_of(raw)))
    return parameters


def _read(raw: Json, tree: Json, checker: Checker) -> tuple[list[str], set[str]]:
    """(root keys that are the pipeline's own, all keys that are read, with dots).

    What is neither a setting nor a parameter may be a group that others refer to, such as `model`,
    or to a part of which, such as `sgd.steps`; with `landscape=quadratic` nothing refers to
    `model`.
    """
    target = checker.resolve(tree.get("_target_"), "_target_")
    known = parameters_of(target) if target else {}
    choices = groups()
    science = [key for key in tree if key not in SETTINGS]
    parameters = [key for key in science if key in known or key not in choices]
    read = {*parameters, *SETTINGS}
    while True:
        referred: set[str] = set()
        for name in read:
            there = _at(raw, name)
            referred |= _references(there)
        if referred <= read:
            return parameters, read
        read |= referred


def _references(thing: object) -> set[str]:
    """The keys that interpolations inside a raw tree refer to, with dots: `${sgd.momentum}` →
    sgd.momentum."""
    if isinstance(thing, str):
        return set(REFERENCE.findall(thing))
    if not isinstance(thing, dict | list):
        return set()
    values = thing.values() if isinstance(thing, dict) else thing
    found: set[str] = set()
    for value in values:
        found |= _references(value)
    return found


def _at(raw: object, key: str) -> object:
    """What stands at a key with dots in a raw tree."""
    for part in key.split("."):
        if not isinstance(raw, dict):
            return None
        raw = raw.get(part)
    return raw


def _is_read(key: str, read: set[str]) -> bool:
    """Whether a key, something in it, or what it is a part of is read."""
    return any(is_below(key, other) or is_below(other, key) for other in read)


def _unread(
    key: str, root: str, parameters: list[str], read: set[str], keys: list[str]
) -> tuple[str, str]:
    """(where, what): why what the user set would have no effect."""
    if not _is_read(root, read):
        for name in keys:
            if name.endswith(f".{root}") and _is_read(name, read):
                return root, f"{name}= is given too, and takes its place; leave one of them out"
        return root, f"nothing here reads {root!r}; leave it out"
    leaf = key.rpartition(".")[2]
    if leaf in parameters and leaf != key:
        return key, f"{leaf}= is given too, and the two are one; leave one of them out"
    known = [name for name in keys if _is_read(name, read)]
    hint = meant(key, known) or "; leave it out"
    return key, f"nothing here reads it{hint}"
