"""What the command line says of a landscape, held against that of an earlier run."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple

from sgdtheory.commandline.group_choices import name_of, told_by_name
from sgdtheory.commandline.minima_runs import RATE, Identity, digest_of_landscape, without_rate
from sgdtheory.commandline.schema import is_node
from sgdtheory.commandline.words import is_below
from sgdtheory.errors import RunError, UserError
from sgdtheory.runs.plain import Json

if TYPE_CHECKING:
    from omegaconf import DictConfig

SOURCES = ("landscape", "model", "data", "loss")  # root keys that come with an earlier run
TOLD = 3  # differences that are named
NOTHING = "nothing"  # what is said of a key that is not there


class Agreed(NamedTuple):
    """A run's configuration, and what was typed against it."""

    config: "DictConfig"  # with what was typed and changes nothing that is computed
    conflicts: list[str]  # `data.limit=200 (there 300)`


def agreed(
    config: "DictConfig",
    theirs: "DictConfig",
    typed: Iterable[str],
    identity: Identity,
    known: object = None,
) -> Agreed:
    """The configuration of a run, with the keys of `config` that were typed where they leave its
    landscape what it is: another place of the same data, the learning rate that is `auto` on it.

    The name of a group, `model=mlp`, says no more than what tells it from the others that are made
    by the same function. `known`: the digest of the run's landscape when it was made, for a run
    whose data are no longer where they were.
    """
    from omegaconf import OmegaConf

    keys = sorted(key for key in set(typed) if key.split(".")[0] in SOURCES)
    if not keys:
        return Agreed(theirs, [])
    as_is = identity_or_none(theirs, identity)
    conflicts: dict[str, str] = {}
    for key in keys:
        mine, there = _value(config, key), _value(theirs, key)
        if mine == there or any(is_below(key, group) for group in conflicts):
            continue
        trial = deepcopy(theirs)
        OmegaConf.update(trial, key, mine, merge=False, force_add=True)
        is_rate = key == f"landscape.{RATE}"
        if is_rate or _is_same(identity_or_none(trial, identity), as_is, known):
            theirs = trial
        elif key in SOURCES and isinstance(mine, dict) and isinstance(there, dict):
            conflicts |= _conflicts_of_group(key, mine, there, keys)
        else:
            conflicts[key] = _told(key, mine, there)
    return Agreed(theirs, list(conflicts.values()))


def identity_or_none(config: "DictConfig", identity: Identity) -> Json | None:
    """A configuration's landscape; None where it cannot be said, or its package is not trusted."""
    try:
        return identity(config)
    except (UserError, RunError):
        return None


def differences(one: object, other: object) -> str:
    """In which keys two landscapes, given as plain data, differ: `data.limit 300 and 200`."""
    mine, theirs = _leaves(without_rate(one)), _leaves(without_rate(other))
    told = []
    for name in {**mine, **theirs}:
        value = mine.get(name, NOTHING)
        there = theirs.get(name, NOTHING)
        if value != there:
            told.append(f"{name} {_short(value)} and {_short(there)}")
    left = len(told) - TOLD
    if left > 0:
        told[TOLD:] = [f"{left} more"]
    return ", ".join(told)


def _is_same(landscape: Json | None, other: Json | None, known: object) -> bool:
    """Whether a landscape is another one, or has the digest that is known."""
    if landscape is None:
        return False
    is_known = known is not None and digest_of_landscape(landscape) == known
    return is_known or without_rate(landscape) == without_rate(other)


def _value(config: "DictConfig", key: str) -> object:
    """What stands at a key, as plain data; of a group with its interpolations, which lead to other
    groups."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    value = OmegaConf.select(config, key, default=NOTHING)
    if isinstance(value, DictConfig | ListConfig):
        return OmegaConf.to_container(value, resolve="." in key)
    return value


def _conflicts_of_group(group: str, mine: Json, there: Json, typed: list[str]) -> dict[str, str]:
    """What a choice of a group says against a run's, by its key."""
    if mine.get("_target_") != there.get("_target_"):
        return {group: _told(group, name_of(group, mine), name_of(group, there))}
    found = {}
    for key in told_by_name(group, mine, typed):
        name = f"{group}.{key}"
        if key == RATE or name in typed:
            continue
        value = mine.get(key, NOTHING)
        other = there.get(key, NOTHING)
        if value != other:
            found[name] = _told(name, value, other)
    return found


def _told(key: str, mine: object, there: object) -> str:
    group = key.rpartition(".")[2]
    said, other = [
        name_of(group, value) if is_node(value) else _short(value) for value in (mine, there)
    ]
    return f"{key}={said} (there {other})"


def _leaves(tree: object, where: str = "") -> dict[str, object]:
    """All values in plain data, by the keys that they are typed as."""
    if isinstance(tree, tuple):  # a unit's facts were read from a file, which has lists alone
        return {where: list(tree)}
    if not isinstance(tree, Mapping):
        return {where: tree}
    found: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{where}.{key}"
        if not where:
            is_group = key in SOURCES and isinstance(value, Mapping)
            name = str(key) if is_group else f"landscape.{key}"
        found |= _leaves(value, name)
    return found


def _short(value: object) -> str:
    """A value as it is typed, in brief."""
    text = "null" if value is None else str(value)
    if isinstance(value, bool):
        text = text.lower()
    return shorten(text, 40, placeholder=" …")
