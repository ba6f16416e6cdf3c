"""Where in a file the state dict of a model is."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import UserError, nearest
from sgdtheory.pipelines.checkpoints.checkpoint import Checkpoint
from sgdtheory.pipelines.checkpoints.names import WRAPPERS, Names, unwrapped
from sgdtheory.pipelines.checkpoints.words import TOLD, listed, printable
from sgdtheory.protocol import TensorsByName
from sgdtheory.runs.tensors import Tensors

# where state dicts and their names usually stand, the most usual first
KEYS = (
    "",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "student",
)
PREFIXES = (
    "",
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.",
    "net.",
    "network.",
)
SOUGHT = 8  # names of the model by which prefixes are found


class StateDict(NamedTuple):
    """A state dict by the model's own names, and where it was found."""

    tensors: TensorsByName
    key: str
    prefix: str  # as it is told
    outside: tuple[str, ...] = ()  # names that the prefix does not stand before


def state_dict_in(
    thing: object, where: str, names: Names, how: Checkpoint
) -> tuple[StateDict | None, StateDict, str]:
    """(the state dict in what a file holds that fits a model, None where none does; the one that is
    nearest to fit; how another that fits is had)."""
    entries = {}
    if isinstance(thing, Mapping):
        entries = dict(_entries(thing))
    if how.key is not None:
        entries = {how.key: _entry(thing, entries, how.key, where)}
    if not entries:
        raise UserError(f"{where} holds no state dict: tensors by the names of parameters")
    fits = list(_fits(entries, names, how))
    chosen, said = _chosen(fits, where)
    return chosen, chosen or _nearest(entries, names, how), said


def _entries(
    thing: Mapping[object, object], key: str = "", depth: int = 2
) -> Iterator[tuple[str, TensorsByName]]:
    """Every dictionary that holds tensors, by the keys that lead to it, two levels deep."""
    tensors: TensorsByName = {}
    inner: dict[str, Mapping[object, object]] = {}
    for name, value in thing.items():
        if isinstance(name, str) and isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(name, str) and isinstance(value, Mapping):
            inner[name] = value
    if tensors:
        yield key, tensors
    if not depth:
        return
    for name, mapping in inner.items():
        path = f"{key}.{name}" if key else name
        yield from _entries(mapping, path, depth - 1)


def _entry(thing: object, entries: dict[str, TensorsByName], key: str, where: str) -> TensorsByName:
    """What `checkpoint.key` names; in a file without dictionaries, the names that begin with it."""
    if key in entries:
        return entries[key]
    begun = {}
    prefix = f"{key}."
    for name, value in entries.get("", {}).items():
        if name.startswith(prefix):
            begun[name.removeprefix(prefix)] = value
    if begun:
        return begun
    known = dict.fromkeys(filter(None, entries))
    if isinstance(thing, Mapping):
        known |= dict.fromkeys(map(str, thing))
    hint = nearest(key, [printable(name) for name in known])
    if not hint and known:
        hint = f"; it holds {listed(list(known))}"
    raise UserError(f"{where}: there is no state dict under checkpoint.key={key}{hint}")


def _fits(entries: dict[str, TensorsByName], names: Names, how: Checkpoint) -> Iterator[StateDict]:
    """Every place where all weights of the model are, in their shapes."""
    for key, tensors in entries.items():
        for view in (tensors, unwrapped(tensors, names)):
            views = _views(key, view, tensors, names, how)
            fitting = [held for held in views if not faults_of(held, names)]
            yield from fitting
            if fitting:
                break


def _views(
    key: str, view: Tensors, raw: Tensors, names: Names, how: Checkpoint
) -> Iterator[StateDict]:
    """A state dict under each prefix that one of the model's names has in it."""
    inside = ""
    if view is not raw:
        whole = " ".join(raw)
        inside = "".join(wrapper for wrapper in WRAPPERS if wrapper in whole)
    for prefix in _prefixes(view, names, how):
        bare = {}
        outside = []
        for name, value in view.items():
            if name.startswith(prefix):
                bare[name.removeprefix(prefix)] = value
            else:
                outside.append(name)
        yield StateDict(bare, key, f"{inside}{prefix}", tuple(outside))


def _prefixes(view: Tensors, names: Names, how: Checkpoint) -> list[str]:
    """What may stand before the model's names: what the user says, else what stands before one of
    its first."""
    if how.prefix is not None:
        is_whole = how.prefix.endswith(".") or not how.prefix
        if is_whole:
            return [how.prefix]
        return [how.prefix + ".", how.prefix]
    aliases: list[str] = []
    for own in list(names.weights)[:SOUGHT]:
        aliases += names.aliases[own]
    prefixes = set()
    for alias in aliases:
        prefixes |= {name.removesuffix(alias) for name in view if name.endswith(alias)}
    return [prefix for prefix in sorted(prefixes) if not prefix or prefix.endswith(".")]


def _chosen(fits: list[StateDict], where: str) -> tuple[StateDict | None, str]:
    """The one of several places that is meant, and how the next is had, if there is one; equal
    ones are one."""
    different: list[StateDict] = []
    for held in sorted(fits, key=_rank):
        if not any(_equal(held.tensors, other.tensors) for other in different):
            different.append(held)
    if not different:
        return None, ""
    first, *others = different
    if not others:
        return first, ""
    second = others[0]
    if first.key != second.key:
        ranks = [_rank_in(KEYS, held.key) for held in (first, second)]
        words = [f"checkpoint.key={printable(held.key)}" for held in different]
    else:
        ranks = [_rank_in(PREFIXES, held.prefix) for held in (first, second)]
        words = [f"checkpoint.prefix={printable(held.prefix)}" for held in different]
    if ranks[0] == ranks[1]:
        both = " or ".join(words[:TOLD])
        count = len(different)
        raise UserError(f"{where} holds {count} sets of weights that fit: say {both}")
    return first, words[1]


def _rank(held: StateDict) -> tuple[int, int]:
    """How usual a place is for the weights that are meant: the raw ones rather than their running
    average."""
    return _rank_in(KEYS, held.key), _rank_in(PREFIXES, held.prefix)


def _rank_in(usual: tuple[str, ...], name: str) -> int:
    """Where a name stands among the usual ones; behind them where it is none."""
    if name in usual:
        return usual.index(name)
    return len(usual)


def _equal(one: Tensors, other: Tensors) -> bool:
    if one.keys() != other.keys():
        return False
    return all(same_bits(value, other[name]) for name, value in one.items())


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors [any shape] hold the same numbers in the same dtype and shape,
    not-a-number included."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.is_meta or other.is_meta or one.is_quantized:
        return False
    if one.layout != torch.strided or other.layout != torch.strided:
        return False
    return torch.equal(_bytes_of(one), _bytes_of(other))


def _bytes_of(value: Tensor) -> Tensor:
    flat = value.detach().cpu().reshape(-1).contiguous()
    return flat.view(torch.uint8)


def _nearest(entries: dict[str, TensorsByName], names: Names, how: Checkpoint) -> StateDict:
    """Where most of the model's names are, to say what is wrong there."""
    places: list[StateDict] = []
    for key, tensors in entries.items():
        places += _views(key, tensors, tensors, names, how)
    if how.prefix is None:
        places += [StateDict(tensors, key, "") for key, tensors in entries.items()]
    if not places:
        return StateDict({}, "", how.prefix or "")
    return max(places, key=lambda held: names.held_in(held.tensors))


def faults_of(held: StateDict, names: Names) -> list[str]:
    """What is wrong with the model's weights in a state dict, a few words each."""
    faults = []
    for name, shape in names.weights.items():
        value = names.value(held.tensors, name)
        if value is None:
            faults.append(f"{name} is missing")
        elif value.shape != shape:
            given = list(value.shape)
            wanted = list(shape)
            faults.append(f"{name} is {given} instead of {wanted}")
    return faults
