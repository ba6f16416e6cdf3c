"""Arrays of an .npz file, looked at before they are read."""

from collections.abc import Callable
from lzma import LZMAError
from math import prod
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

import numpy as np
from numpy.lib import format

from sgdtheory.annotations import Shape
from sgdtheory.errors import UserError, nearest
from sgdtheory.runs.memory import refuse_what_does_not_fit

GROWS = 500  # times: deflate packs nothing but repetition more densely
LARGE = 1 << 28  # bytes from which that is looked at
# what zipfile and numpy raise for a file that is no pack, or a damaged one
DAMAGED = (
    BadZipFile,
    EOFError,
    OSError,
    KeyError,
    ZlibError,
    LZMAError,
    RuntimeError,
    NotImplementedError,
)

Pack: TypeAlias = dict[str, np.ndarray]


class Header(NamedTuple):
    """What an array says of itself before its bytes."""

    shape: Shape
    dtype: np.dtype


def arrays_of(path: Path, where: str, wanted: Callable[[list[str]], tuple[str, ...]]) -> Pack:
    """The arrays of an .npz file that are `wanted` of the names there are, each looked at before it
    is read.

    Raises UserError, beginning with `where`, for one that is missing, does not fit into memory, or
    is pickled, and for a file that is no .npz.
    """
    try:
        with ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            there = list(members)
            names = wanted(there)
            _demand(there, names, where)
            size = 0
            for name in names:
                size += _size_of(archive, members[name], f"{where}: {name}")
            refuse_what_does_not_fit(size, where)
            return {name: _read(archive, members[name]) for name in names}
    except UserError:
        raise
    except ValueError as fault:
        raise UserError(
            f"{where}: not an .npz pack of plain arrays (pickled objects are not read)"
        ) from fault
    except DAMAGED as fault:
        if _is_bare(path):
            raise UserError(
                f"{where}: one bare array, not an .npz pack; write it with numpy.savez"
            ) from fault
        raise UserError(f"{where}: not an .npz pack, or a truncated one ({fault})") from fault


def as_int64(numbers: np.ndarray, where: str) -> np.ndarray:
    """Whole numbers as int64; a UserError, beginning with `where`, for one beyond it, which would
    become a negative one."""
    if numbers.size:
        highest = numbers.max()
        if highest > np.iinfo(np.int64).max:
            raise UserError(f"{where} holds {highest}, and numbers go up to 2⁶³ − 1")
    return numbers.astype(np.int64)


def _size_of(archive: ZipFile, member: ZipInfo, where: str) -> int:
    """The bytes of one array, from the headers of zip and numpy alone; refuses what they should not
    announce."""
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        held = member.file_size - stream.tell()
    size = prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError("pickled")
    if size != held:
        announced = f"{dtype} {list(shape)}, {size:,} bytes"
        raise UserError(f"{where} announces {announced}, but holds {max(held, 0):,}")
    refuse_what_does_not_fit(size, where)
    if size > LARGE and size > GROWS * member.compress_size:
        raise UserError(
            f"{where} grows from {member.compress_size:,} to {size:,} bytes unpacked: it "
            f"holds no data"
        )
    return size


def _header(stream: IO[bytes]) -> Header:
    version = format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"numpy format {version}")
    return Header(shape, dtype)


def _read(archive: ZipFile, member: ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        array: np.ndarray = format.read_array(stream, allow_pickle=False)
        stream.read(1)  # to the end, where the checksum is compared
        return array


def _is_bare(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            _header(stream)
    except (ValueError, OSError):
        return False
    return True


def _demand(there: list[str], names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        first = missing[0]
        others = [name for name in there if name not in names]
        hint = nearest(first, others)
        known = ", ".join(there) or "none"
        raise UserError(f"{where}: array {first!r} is missing (there are: {known}){hint}")


def described(x: np.ndarray) -> str:
    """The dtype and shape of an array [...], for messages."""
    return f"{x.dtype} {list(x.shape)}"
