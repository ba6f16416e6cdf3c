"""Checkpoints of networks, whoever wrote them: what a file holds, and which of its tensors are a
model's.

No pickle is ever executed: torch's weights-only reader alone sees it, and what is neither a tensor
nor plain data is refused, or stands there empty where it is a mere number or setting. Sizes are
looked at before anything is read.
"""

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from sgdtheory.errors import UserError, nearest
from sgdtheory.roles import NetworkLandscape, constants_of
from sgdtheory.runs.foreign import DEEPEST
from sgdtheory.runs.memory import refuse_what_does_not_fit

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".th")
WHOLE = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
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
# what wrapping a part puts into names
WRAPPERS = (
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
)
INERT = (
    "numpy",
    "argparse",
    "pathlib",
    "omegaconf",
    "collections",
    "datetime",
    "lightning",
    "pytorch_lightning",
)
WIDE = (torch.float64, torch.float32)
NARROW = (torch.float16, torch.bfloat16)
# of batch norm: recomputed at every point
STATISTICS = (
    "running_mean",
    "running_var",
    "num_batches_tracked",
)
# bytes of an index of shards; one of a model with a hundred thousand tensors has ten million
MOST_JSON = 1 << 28
LEAST_GROWN = 1 << 26  # bytes of a tensor below which it does no harm that it repeats numbers
TOLD = 3  # names in a message
LONGEST = 100  # characters of a name in a message
SOUGHT = 8  # names of the model by which prefixes are found


@dataclass(frozen=True)
class Checkpoint:
    """How the state dict of a file is found: `key`, the entry that holds it (`ema`, `ema.model`);
    `prefix`, what stands before every name; None: both are found, and said. `strict`: names that
    the model does not have are refused."""

    key: str | None = None
    prefix: str | None = None
    strict: bool = True


AS_FOUND = Checkpoint()


class Names(NamedTuple):
    """What the state dict of a landscape's module may hold, by name."""

    weights: dict[str, torch.Size]  # the coordinates of θ, in order
    # every name of a coordinate's tensor, its own first: tied parameters have several
    aliases: dict[str, list[str]]
    # what is neither a coordinate nor batch norm's statistics, as the landscape has it
    constants: dict[str, Tensor]
    kept: frozenset[str]  # of the constants, those that a state dict holds
    statistics: frozenset[str]  # mean and variance of each batch norm
    known: frozenset[str]


class Taken(NamedTuple):
    """A state dict by the model's own names, and where it was found."""

    tensors: dict[str, Tensor]
    key: str
    prefix: str  # as it is told
    outside: tuple[str, ...] = ()  # names that the prefix does not stand before


class Weights(NamedTuple):
    """What a state dict says of a landscape."""

    theta: Tensor  # [n]
    constants: dict[str, Tensor]
    statistics: dict[str, Tensor] | None  # the file's own mean and variance of every batch norm
    said: str  # what was taken, and what was left


# places → files


def places(word: str) -> list[Path]:
    """The files and folders that a word stands for: itself, `~` and a glob expanded, in the order
    of their names.

    Raises UserError where there is nothing.

    """
    path = Path(word).expanduser()
    if path.exists():
        return [path]
    found = sorted(glob(str(path), recursive=True)) if has_magic(str(path)) else []  # noqa: PTH207
    if not found:
        what = "no file fits it" if has_magic(str(path)) else "no such run or file"
        raise UserError(f"minima={word}: {what}; `sgdtheory status` lists the runs")
    return [Path(name) for name in found]


def file_in(folder: Path) -> Path:
    """The one checkpoint that a folder holds: a whole model by its usual names, or its only file of
    weights."""
    for name in WHOLE:
        if (folder / name).is_file():
            return folder / name
    inside = sorted(folder.iterdir())
    found = [path for path in inside if path.name.endswith(".index.json") and path.is_file()]
    found = found or [path for path in inside if path.suffix in SUFFIXES and path.is_file()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"{folder} holds no run and no checkpoint ({', '.join(SUFFIXES)})")
    names = ", ".join(path.name for path in found[:TOLD])
    more = f" and {len(found) - TOLD} more" if len(found) > TOLD else ""
    every = folder / f"*{found[0].suffix}"
    raise UserError(
        f"{folder} holds {len(found)} checkpoints ({names}{more}): name one, or take all "
        f"with 'minima=\"{every}\"'"
    )


# files → tensors


def opened(path: Path) -> Any:
    """What a file holds: a tensor, or dictionaries of tensors and of other things. Raises UserError
    for anything else."""
    if path.is_dir():
        return opened(file_in(path))
    if not path.is_file():
        raise UserError(f"{path} is no file" if path.exists() else f"no such file: {path}")
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as fault:
        raise UserError(f"{path} cannot be read ({fault.strerror})") from None
    if not size:
        raise UserError(f"{path} is empty")
    if path.name.endswith(".json"):
        return _sharded(path, size)
    refuse_what_does_not_fit(size, str(path))
    if path.suffix == ".safetensors" or (
        head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size
    ):
        return _safetensors(path)
    found = _torch(path, size, head)
    _refuse_grown(found, path, max(size, LEAST_GROWN))
    return found


def _refuse_grown(thing: Any, path: Path, most: int, depth: int = DEEPEST) -> None:
    """Raise UserError for a tensor of more bytes than its file has: a stride of 0 repeats few
    numbers without end."""
    if isinstance(thing, Tensor):
        grown = thing.numel() * thing.element_size()
        if grown > most and not thing.is_meta and thing.layout == torch.strided:
            raise UserError(
                f"{path}: a tensor {list(thing.shape)} has {grown:,} bytes, more than the "
                f"file; save a copy of it"
            )
    elif isinstance(thing, Mapping | list | tuple) and depth:
        for inner in thing.values() if isinstance(thing, Mapping) else thing:
            _refuse_grown(inner, path, most, depth - 1)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:  # the header is checked against the file's size before anything is read
        with safe_open(path, framework="pt") as held:
            return {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118  (it is no dictionary)
    except (SafetensorError, ValueError, TypeError, OSError, RuntimeError, AttributeError) as fault:
        raise UserError(f"{path} is damaged or cut short ({_short(fault)})") from None


def _sharded(path: Path, size: int) -> dict[str, Tensor]:
    """All tensors of the files that an index names."""
    try:
        index = json.loads(path.read_text(encoding="utf-8")) if size < MOST_JSON else None
        files = index["weight_map"]  # type: ignore[index]
        shards = sorted(set(files.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(
            f"{path} is no index of shards: it has no weight_map of names to files"
        ) from None
    if not shards or not all(
        isinstance(name, str) and re.fullmatch(r"[^/\\\0]*[^/\\\0.]", name) for name in shards
    ):
        raise UserError(f"{path}: its shards must be names of files beside it")
    if missing := [name for name in shards if not (path.parent / name).is_file()]:
        raise UserError(
            f"{path}: {len(missing)} of its {len(shards)} shards are not there ({_some(missing)})"
        )
    found: dict[str, Tensor] = {}
    for name in shards:
        held = opened(path.parent / name)
        if not isinstance(held, Mapping):
            raise UserError(f"{path.parent / name} is no shard: it holds no tensors by name")
        found |= {
            key: value
            for key, value in held.items()
            if isinstance(value, Tensor) and files.get(key) == name
        }
    if lost := [key for key in files if key not in found]:
        raise UserError(f"{path}: its shards lack {_some(lost)}")
    return found


class _Unread:
    """What stands for a number or a setting that nobody asked for: it takes anything and keeps
    nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Unread":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _torch(path: Path, size: int, head: bytes) -> Any:
    archive = head[:2] == b"PK"
    if archive:
        _check_archive(path, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            needed = (
                torch.serialization.get_unsafe_globals_in_checkpoint(str(path)) if archive else []
            )
            inert = [(_Unread, name) for name in needed if name.split(".")[0] in INERT]
            with torch.serialization.safe_globals(inert):  # type: ignore[arg-type]
                return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as fault:
        raise UserError(f"{path} is not read: {_why(str(fault), path)}") from None


def _check_archive(path: Path, size: int) -> None:
    """Refuse what grows when it is read; torch's archives are never compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            grown = sum(each.file_size for each in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, EOFError):
        raise UserError(f"{path} is not read: it is damaged or cut short") from None
    if grown > size:
        raise UserError(
            f"{path} is not read: it would grow from {size:,} to {grown:,} bytes, and torch "
            f"compresses nothing"
        )


def _why(said: str, path: Path) -> str:
    if found := re.search(r"GLOBAL ([\w.]+)", said):
        what = f"it holds more than tensors ({found.group(1)}), and no code of a file is ever run"
        return f"{what}; keep the weights alone: torch.save(model.state_dict(), …)"
    if path.suffix not in SUFFIXES:
        return f"it is no file of tensors ({', '.join(SUFFIXES)})"
    short = "" if "eights only" in said else f" ({_short(said)})"
    return f"it holds more than tensors, or is damaged{short}"


# tensors → a state dict of the model


def names_of(landscape: NetworkLandscape) -> Names:
    """The names that a state dict for this landscape may hold."""
    module = landscape.module
    every = dict(module.named_parameters(remove_duplicate=False))
    constants = constants_of(landscape)
    weights = dict(landscape.shapes)
    same: dict[int, list[str]] = {}
    for name, parameter in every.items():
        same.setdefault(id(parameter), []).append(name)
    aliases = {}
    for name in (*weights, *(name for name in constants if name in every)):
        others = same[id(every[name])] if name in every else [name]
        aliases[name] = [name, *(other for other in others if other != name)]
    norms = [
        f"{name}." if name else ""
        for name, part in module.named_modules()
        if isinstance(part, _BatchNorm)
    ]
    statistics = [prefix + kind for prefix in norms for kind in STATISTICS]
    stored = {*module.state_dict(), *every}
    return Names(
        weights,
        aliases,
        constants,
        frozenset(name for name in constants if name in stored),
        frozenset(name for name in statistics if not name.endswith(STATISTICS[2])),
        frozenset({*stored, *statistics, *weights, *constants}),
    )


def weights_in(
    thing: Any, where: str, landscape: NetworkLandscape, how: Checkpoint, dtype: torch.dtype
) -> Weights:
    """The point θ [n] that the state dict in what a file holds stands for, with all that belongs to
    it.

    `where`: how the file is called in messages. Raises UserError for what is not of this model.

    """
    names = names_of(landscape)
    entries = dict(_entries(thing)) if isinstance(thing, Mapping) else {}
    if how.key is not None:
        entries = {how.key: _entry(thing, entries, how.key, where)}
    if not entries:
        raise UserError(f"{where} holds no state dict: tensors by the names of parameters")
    taken, said = _chosen(list(_fits(entries, names, how)), where)
    if taken is None:
        taken = _nearest(entries, names, how)
        _refuse(taken, names, where)
    left = [name for name in taken.tensors if name not in names.known]
    if left and how.strict:
        more = (
            f"it also holds {_some(left)}; is it a larger model? checkpoint.strict=false "
            f"leaves them out"
        )
        raise UserError(f"{where} is not of this model alone: {more}")
    left += taken.outside
    theta, converted = _vector(taken.tensors, names, dtype, where)
    constants, lacking = _constants(taken.tensors, names, how, where)
    told = [f"weights of '{_clean(taken.key)}'" if taken.key else "weights"]
    told += [f"prefix '{_clean(taken.prefix)}' dropped"] if taken.prefix else []
    told += [converted] if converted else []
    told += [f"{_some(left)} left out"] if left else []
    told += [f"{_some(lacking)} not there, the model's own taken"] if lacking else []
    return Weights(
        theta, constants, _statistics(taken.tensors, names, dtype), ", ".join(told) + said
    )


def _entries(
    thing: Mapping[Any, Any], key: str = "", depth: int = 2
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary that holds tensors, by the keys that lead to it, two levels deep."""
    tensors = {
        name: value
        for name, value in thing.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield key, tensors
    for name, value in thing.items() if depth else ():
        if isinstance(name, str) and isinstance(value, Mapping):
            yield from _entries(value, f"{key}.{name}" if key else name, depth - 1)


def _entry(
    thing: Any, entries: dict[str, dict[str, Tensor]], key: str, where: str
) -> dict[str, Tensor]:
    """What `checkpoint.key` names; in a file without dictionaries, the names that begin with it."""
    if key in entries:
        return entries[key]
    flat = entries.get("", {})
    if begun := {
        name.removeprefix(f"{key}."): value
        for name, value in flat.items()
        if name.startswith(f"{key}.")
    }:
        return begun
    known = [str(name) for name in thing] if isinstance(thing, Mapping) else []
    known = list(dict.fromkeys([*(name for name in entries if name), *known]))
    hint = nearest(key, [_clean(name) for name in known]) or (
        f"; it holds {_some(known)}" if known else ""
    )
    raise UserError(f"{where}: there is no state dict under checkpoint.key={key}{hint}")


def _fits(entries: dict[str, dict[str, Tensor]], names: Names, how: Checkpoint) -> Iterator[Taken]:
    """Every place where all weights of the model are, in their shapes."""
    for key, tensors in entries.items():
        for view in (tensors, _unwrapped(tensors, names)):
            found = [
                taken
                for taken in _views(key, view, tensors, names, how)
                if not _faults(taken, names)
            ]
            yield from found
            if found:
                break


def _views(
    key: str, view: Mapping[str, Tensor], raw: Mapping[str, Tensor], names: Names, how: Checkpoint
) -> Iterator[Taken]:
    """A state dict under each prefix that one of the model's names has in it."""
    if how.prefix is not None:
        prefixes = (
            [how.prefix]
            if how.prefix.endswith(".") or not how.prefix
            else [how.prefix + ".", how.prefix]
        )
    else:
        sought = [alias for name in list(names.weights)[:SOUGHT] for alias in names.aliases[name]]
        ends = {
            name[: len(name) - len(alias)]
            for name in view
            for alias in sought
            if name.endswith(alias)
        }
        prefixes = [prefix for prefix in sorted(ends) if not prefix or prefix.endswith(".")]
    inside = "".join(
        wrapper for wrapper in WRAPPERS if view is not raw and any(wrapper in name for name in raw)
    )
    for prefix in prefixes:
        bare = {
            name[len(prefix) :]: value for name, value in view.items() if name.startswith(prefix)
        }
        outside = tuple(name for name in view if not name.startswith(prefix))
        yield Taken(bare, key, f"{inside}{prefix}", outside)


def _unwrapped(tensors: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """The same without what torch.compile and FSDP put into the names of the parts they wrap."""
    found = {}
    for name, value in tensors.items():
        for wrapper in WRAPPERS:
            if not any(wrapper in known for known in names.known):
                name = name.replace(wrapper, "")
        found[name] = value
    return found


def _chosen(fits: list[Taken], where: str) -> tuple[Taken | None, str]:
    """The one of several places that is meant, and a word about the others; equal ones are one."""
    different: list[Taken] = []
    for taken in sorted(fits, key=_rank):
        if not any(_equal(taken.tensors, other.tensors) for other in different):
            different.append(taken)
    if len(different) < 2:
        return (different[0] if different else None), ""
    first, second = different[:2]
    by = "key" if first.key != second.key else "prefix"
    ranks = [_rank(taken)[0 if by == "key" else 1] for taken in different[:2]]
    others = list(
        dict.fromkeys(
            getattr(taken, by) for taken in different if getattr(taken, by) != getattr(first, by)
        )
    )
    if ranks[0] == ranks[1]:
        both = " or ".join(
            f"checkpoint.{by}={_clean(getattr(taken, by))}" for taken in different[:TOLD]
        )
        raise UserError(f"{where} holds {len(different)} sets of weights that fit: say {both}")
    return first, f" (checkpoint.{by}={_clean(others[0])} takes another)"


def _rank(taken: Taken) -> tuple[int, int]:
    """How usual a place is for the weights that are meant: the raw ones rather than their running
    average."""
    key = KEYS.index(taken.key) if taken.key in KEYS else len(KEYS)
    return key, PREFIXES.index(taken.prefix) if taken.prefix in PREFIXES else len(PREFIXES)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        same_bits(value, other[name]) for name, value in one.items()
    )


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers in the same dtype and shape, not-a-number
    included."""
    if one.shape != other.shape or one.dtype != other.dtype or one.is_meta or other.is_meta:
        return False
    if one.layout != torch.strided or other.layout != torch.strided or one.is_quantized:
        return False
    flat = [x.detach().cpu().reshape(-1).contiguous() for x in (one, other)]
    return bool(torch.equal(flat[0].view(torch.uint8), flat[1].view(torch.uint8)))


def _nearest(entries: dict[str, dict[str, Tensor]], names: Names, how: Checkpoint) -> Taken:
    """Where most of the model's names are, to say what is wrong there."""
    every = [
        taken
        for key, tensors in entries.items()
        for taken in _views(key, tensors, tensors, names, how)
    ]
    every += [Taken(tensors, key, "") for key, tensors in entries.items() if how.prefix is None]
    if not every:
        return Taken({}, "", how.prefix or "")
    return max(
        every,
        key=lambda taken: sum(
            any(a in taken.tensors for a in names.aliases[n]) for n in names.weights
        ),
    )


def _faults(taken: Taken, names: Names) -> list[str]:
    """What is wrong with the model's weights in a state dict, a few words each."""
    found = []
    for name, shape in names.weights.items():
        value = _value(taken.tensors, names, name)
        if value is None:
            found.append(f"{name} is missing")
        elif value.shape != shape:
            found.append(f"{name} is {list(value.shape)} instead of {list(shape)}")
    return found


def _refuse(taken: Taken, names: Names, where: str) -> None:
    for name in names.weights:  # packed weights have other shapes too: what they are says more
        value = _value(taken.tensors, names, name)
        if value is not None:
            _check_weight(name, value, where)
    wrong = _faults(taken, names)
    if (
        len(wrong) == len(names.weights)
        and all(fault.endswith("missing") for fault in wrong)
        and taken.tensors
    ):
        few = f"it holds {_some(list(taken.tensors))}, the model has {_some(list(names.weights))}"
        raise UserError(
            f"{where} is not of this model: {few}; checkpoint.key=, checkpoint.prefix= say "
            f"where its weights are"
        )
    more = f", and {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
    raise UserError(f"{where} is not of this model: {'; '.join(wrong[:TOLD])}{more}")


def _value(tensors: Mapping[str, Tensor], names: Names, name: str) -> Tensor | None:
    return next(
        (tensors[alias] for alias in names.aliases.get(name, [name]) if alias in tensors), None
    )


def _check_weight(name: str, value: Tensor, where: str) -> None:
    kind = str(value.dtype).removeprefix("torch.")
    kind = (
        "sparse"
        if value.layout != torch.strided
        else "a tensor without numbers (meta)"
        if value.is_meta
        else kind
    )
    if (
        value.is_quantized
        or value.layout != torch.strided
        or value.is_meta
        or value.dtype not in (*WIDE, *NARROW)
    ):
        raise UserError(
            f"{where}: {name} is {kind}; weights must be float64, float32, bfloat16 or float16"
        )


def _vector(
    tensors: Mapping[str, Tensor], names: Names, dtype: torch.dtype, where: str
) -> tuple[Tensor, str]:
    """θ [n] in the model's order, of `dtype`, and what was converted."""
    parts, kinds = [], set()
    for name in names.weights:
        value = _value(tensors, names, name)
        assert value is not None
        _check_weight(name, value, where)
        for alias in names.aliases[name]:
            if alias in tensors and not same_bits(tensors[alias], value):
                raise UserError(
                    f"{where}: {name} and {alias} are one parameter of this model, and differ there"
                )
        kinds.add(value.dtype)
        parts.append(value.detach().reshape(-1).to(dtype))
    theta = torch.cat(parts)
    if not torch.isfinite(theta).all():
        bad = [
            name
            for name, part in zip(names.weights, parts, strict=True)
            if not torch.isfinite(part).all()
        ]
        raise UserError(f"{where} holds numbers that are not finite, in {_some(bad)}; leave it out")
    other = sorted(str(kind).removeprefix("torch.") for kind in kinds if kind != dtype)
    return theta, f"{', '.join(other)} made {str(dtype).removeprefix('torch.')}" if other else ""


def _constants(
    tensors: Mapping[str, Tensor], names: Names, how: Checkpoint, where: str
) -> tuple[dict[str, Tensor], list[str]]:
    """What the file has of what is not trained, in the landscape's dtypes, and the names that it
    lacks."""
    found, lacking = {}, []
    for name, own in names.constants.items():
        value = _value(tensors, names, name)
        if value is not None:
            found[name] = as_constant(name, value, own, where)
        elif name in names.kept:
            lacking.append(name)
    if lacking and how.strict:
        what = f"it lacks {_some(lacking)}, which the model computes with"
        raise UserError(f"{where}: {what}; checkpoint.strict=false takes the model's own")
    return found, lacking


def as_constant(name: str, value: Tensor, own: Tensor, where: str) -> Tensor:
    """A buffer or frozen parameter of a file, of the landscape's own dtype and device."""
    if value.shape != own.shape:
        raise UserError(
            f"{where} is not of this model: {name} is {list(value.shape)} instead of "
            f"{list(own.shape)}"
        )
    plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    if (
        not plain
        or value.is_floating_point() != own.is_floating_point()
        or value.is_complex() != own.is_complex()
    ):
        kinds = [str(x.dtype).removeprefix("torch.") for x in (value, own)]
        raise UserError(
            f"{where}: {name} is {kinds[0]}{'' if plain else ' without plain numbers'}, the "
            f"model's is {kinds[1]}"
        )
    return value.detach().clone().to(own)


def _statistics(
    tensors: Mapping[str, Tensor], names: Names, dtype: torch.dtype
) -> dict[str, Tensor] | None:
    """The file's own statistics of all batch norms, of `dtype`; None where there are none, or not
    all, or no numbers."""
    found = {name: tensors[name].detach() for name in sorted(names.statistics) if name in tensors}
    whole = len(found) == len(names.statistics) and bool(found)
    fine = all(
        value.is_floating_point() and bool(torch.isfinite(value).all()) for value in found.values()
    )
    return {name: value.to(dtype) for name, value in found.items()} if whole and fine else None


def _some(names: list[str]) -> str:
    """a, b, c and 4 more"""
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(map(_clean, names[:TOLD])) + more


def _clean(name: str) -> str:
    """A stranger's name as it may be printed."""
    return "".join(letter if letter.isprintable() else "�" for letter in name[:LONGEST])


def _short(fault: object) -> str:
    return next(
        (line.strip() for line in str(fault).splitlines() if line.strip()), type(fault).__name__
    )[:80]
