"""What a file holds: tensors by name, read without running any of its code."""

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.files import SUFFIXES, file_in
from sgdtheory.pipelines.checkpoints.words import listed, short
from sgdtheory.protocol import TensorsByName
from sgdtheory.runs.foreign import DEEPEST
from sgdtheory.runs.memory import refuse_what_does_not_fit

# packages whose objects are read as empty: mere numbers and settings
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
FACTORIES = (dict, list, int, float)  # what a defaultdict makes of nothing
# bytes of an index of shards; one of a model with a hundred thousand tensors has ten million
MOST_JSON = 1 << 28
LEAST_GROWN = 1 << 26  # bytes of a tensor below which it does no harm that it repeats numbers
# what is read instead of an object, and the name that stands for it in a file
Inert: TypeAlias = Callable[..., object] | tuple[Callable[..., object], str]
SHARD = re.compile(r"[^/\\\0]*[^/\\\0.]")  # the name of a file in the same folder


def opened(path: Path) -> object:
    """What a file holds: a tensor, or dictionaries of tensors and of other things. Raises UserError
    for anything else."""
    if path.is_dir():
        return opened(file_in(path))
    if not path.exists():
        raise UserError(f"no such file: {path}")
    if not path.is_file():
        raise UserError(f"{path} is no file")
    size, head = _beginning(path)
    if path.name.endswith(".json"):
        return _sharded(path, size)
    refuse_what_does_not_fit(size, str(path))
    header = int.from_bytes(head[:8], "little")  # its length, in a file of safetensors
    is_safetensors = head[8:9] == b"{" and header < size
    if path.suffix == ".safetensors" or is_safetensors:
        return _safetensors(path)
    content = _torch(path, size, head)
    _refuse_grown(content, path, max(size, LEAST_GROWN))
    return content


def names_in(path: Path) -> set[str]:
    """The names of the entries that a file holds; none of a bare tensor."""
    content = opened(path)
    if isinstance(content, Mapping):
        return {str(name) for name in content}
    return set()


def _beginning(path: Path) -> tuple[int, bytes]:
    """The size of a file and its first bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as fault:
        raise UserError(f"{path} cannot be read ({fault.strerror})") from None
    if not size:
        raise UserError(f"{path} is empty")
    return size, head


def _refuse_grown(thing: object, path: Path, most: int, depth: int = DEEPEST) -> None:
    """Raise UserError for a tensor of more bytes than its file has: a stride of 0 repeats few
    numbers without end."""
    if isinstance(thing, Tensor):
        grown = thing.numel() * thing.element_size()
        has_bytes = not thing.is_meta and thing.layout == torch.strided
        if has_bytes and grown > most:
            shape = list(thing.shape)
            raise UserError(
                f"{path}: a tensor {shape} has {grown:,} bytes, more than the "
                f"file; save a copy of it"
            )
    elif isinstance(thing, Mapping | list | tuple) and depth:
        parts = thing.values() if isinstance(thing, Mapping) else thing
        for part in parts:
            _refuse_grown(part, path, most, depth - 1)


# safetensors


def _safetensors(path: Path) -> TensorsByName:
    from safetensors import SafetensorError, safe_open

    try:  # the header is checked against the file's size before anything is read
        with safe_open(path, framework="pt") as held:
            names = list(held.keys())
            return {name: held.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, TypeError, OSError, RuntimeError, AttributeError) as fault:
        why = short(fault)
        raise UserError(f"{path} is damaged or cut short ({why})") from None


def _sharded(path: Path, size: int) -> TensorsByName:
    """All tensors of the files that an index names."""
    files = _weight_map(path, size)
    shards = _shards(path, files)
    tensors: TensorsByName = {}
    for shard in shards:
        place = path.parent / shard
        content = opened(place)
        if not isinstance(content, Mapping):
            raise UserError(f"{place} is no shard: it holds no tensors by name")
        for name, value in content.items():
            if isinstance(value, Tensor) and files.get(name) == shard:
                tensors[name] = value
    if lost := [name for name in files if name not in tensors]:
        raise UserError(f"{path}: its shards lack {listed(lost)}")
    return tensors


def _weight_map(path: Path, size: int) -> dict[str, str]:
    """The file of each tensor, by its name, as an index has them."""
    try:
        index = {}
        if size < MOST_JSON:
            index = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, str] = index["weight_map"]
        sorted(set(files.values()))  # raises where they are no names
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(
            f"{path} is no index of shards: it has no weight_map of names to files"
        ) from None
    return files


def _shards(path: Path, files: dict[str, str]) -> list[str]:
    """The files that an index names, all of them beside it."""
    shards = sorted(set(files.values()))
    if not shards or not all(map(_is_name_of_shard, shards)):
        raise UserError(f"{path}: its shards must be names of files beside it")
    if missing := [name for name in shards if not (path.parent / name).is_file()]:
        lost = f"{len(missing)} of its {len(shards)} shards"
        names = listed(missing)
        raise UserError(f"{path}: {lost} are not there ({names})")
    return shards


def _is_name_of_shard(name: object) -> bool:
    return isinstance(name, str) and SHARD.fullmatch(name) is not None


# torch


class _Unread:
    """What stands for a number or a setting that nothing asks for: it takes anything and keeps
    nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> "_Unread":
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _empty(cls: type, *args: object, **kwargs: object) -> dict[object, object]:
    return {}


# what stands for a kind of dictionary: a plain one, for torch puts items into no other
_UnreadMapping = type("_UnreadMapping", (), {"__new__": _empty})


def _torch(path: Path, size: int, head: bytes) -> object:
    """What torch's weights-only reader makes of a file."""
    is_archive = head[:2] == b"PK"
    if is_archive:
        _check_archive(path, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inert = _inert_names(path) if is_archive else []
            with torch.serialization.safe_globals(inert):
                content: object = torch.load(
                    path, map_location="cpu", weights_only=True, mmap=is_archive
                )
                return content
    except Exception as fault:
        why = _why(str(fault), path)
        raise UserError(f"{path} is not read: {why}") from None


def _inert_names(path: Path) -> list[Inert]:
    """The names in an archive that stand for mere numbers and settings, and what is read instead of
    them."""
    inert: list[Inert] = [*FACTORIES]
    for name in torch.serialization.get_unsafe_globals_in_checkpoint(str(path)):
        package, *_ = name.split(".")
        if package in INERT:
            is_mapping = name.lower().endswith("dict")  # AttributeDict, defaultdict
            inert.append((_UnreadMapping if is_mapping else _Unread, name))
    return inert


def _check_archive(path: Path, size: int) -> None:
    """Refuse what grows when it is read; torch's archives are never compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        grown = sum(entry.file_size for entry in entries)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError):
        raise UserError(f"{path} is not read: it is damaged or cut short") from None
    if grown > size:
        raise UserError(
            f"{path} is not read: it would grow from {size:,} to {grown:,} bytes, and torch "
            f"compresses nothing"
        )


def _why(fault: str, path: Path) -> str:
    """Why torch does not read a file, by what it says."""
    if stranger := re.search(r"GLOBAL ([\w.]+)", fault):
        name = stranger.group(1)
        what = f"it holds more than tensors ({name}), and no code of a file is ever run"
        return f"{what}; keep the weights alone: torch.save(model.state_dict(), …)"
    if path.suffix not in SUFFIXES:
        suffixes = ", ".join(SUFFIXES)
        return f"it is no file of tensors ({suffixes})"
    words = "it holds more than tensors, or is damaged"
    if "eights only" in fault:
        return words
    return f"{words} ({short(fault)})"
