"""An .npz pack of images, plain or as JPEG files end to end: checked, array by array."""

from io import BytesIO
from itertools import pairwise
from lzma import LZMAError
from math import prod
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

import numpy as np
from numpy.lib import format

from sgdtheory.data.decode import decoded
from sgdtheory.data.images import Split
from sgdtheory.errors import UserError, nearest
from sgdtheory.runs.memory import refuse_what_does_not_fit

PLAIN = ("train_images", "train_labels", "test_images", "test_labels")
COMPRESSED = ("jpeg", "offsets", "labels", "train_count", "classes")

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

    shape: tuple[int, ...]
    dtype: np.dtype


def read_npz(path: Path) -> tuple[Split, Split, int]:
    """The training split, the test split, and the number of classes; the two forms are described in
    `pack.images`."""
    where = f"data.path={path}"
    pack = _arrays(path, where)
    return _from_jpegs(pack, where) if "jpeg" in pack else _from_plain(pack, where)


def _from_plain(pack: Pack, where: str) -> tuple[Split, Split, int]:
    train, test = _split(pack, "train", where), _split(pack, "test", where)
    known = np.unique(train[1])
    classes = len(known)
    if not np.array_equal(known, np.arange(classes)):
        needed = "train_labels must be 0 … K − 1, each at least once"
        raise UserError(f"{where}: {needed}; they are {_listed(known)}")
    return train, test, classes


def _split(pack: Pack, name: str, where: str) -> Split:
    images = _pixels(pack, f"{name}_images", where)
    return images, _labels(pack, f"{name}_labels", where)


def _arrays(path: Path, where: str) -> Pack:
    """The arrays of the pack that are asked for, each looked at before it is read; pickled ones are
    refused."""
    try:
        with ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = COMPRESSED if "jpeg" in members else PLAIN
            _demand(list(members), wanted, where)
            sizes = [_size_of(archive, members[name], f"{where}: {name}") for name in wanted]
            refuse_what_does_not_fit(sum(sizes), where)
            return {name: _read(archive, members[name]) for name in wanted}
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
            f"holds no pictures"
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
        others = [name for name in there if name not in names]
        hint = nearest(missing[0], others)
        known = ", ".join(there) or "none"
        raise UserError(f"{where}: array {missing[0]!r} is missing (there are: {known}){hint}")


def _pixels(pack: Pack, name: str, where: str) -> np.ndarray:
    """[N, C, H, W] from [N, H, W] or [N, H, W, C]."""
    pixels = pack[name]
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise UserError(
            f"{where}: {name} must be uint8 [N, H, W] or [N, H, W, C], not {_described(pixels)}"
        )
    if pixels.ndim == 4 and pixels.shape[3] > 4 >= pixels.shape[1]:
        raise UserError(
            f"{where}: {name} {list(pixels.shape)} has its channels second; write [N, H, W, C]"
        )
    return pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)


def _labels(pack: Pack, name: str, where: str) -> np.ndarray:
    labels = pack[name]
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(f"{where}: {name} must be integers [N], not {_described(labels)}")
    return labels


def _from_jpegs(pack: Pack, where: str) -> tuple[Split, Split, int]:
    labels = _labels(pack, "labels", where)
    count = len(labels)
    offsets = _offsets(pack["offsets"], pack["jpeg"], count, where)
    classes = _classes(pack["classes"], where)
    train = _whole(pack["train_count"], "train_count", where)
    if not 0 < train < count:
        raise UserError(
            f"{where}: train_count={train} of {count} images leaves a split empty; it must "
            f"be 1 … {count - 1}"
        )
    data = pack["jpeg"]
    files = (data[start:end].tobytes() for start, end in pairwise(offsets))
    sources = ((f"{where}: image {i}", BytesIO(file)) for i, file in enumerate(files))
    pixels, _ = decoded(sources, count, ("JPEG",))
    return (pixels[:train], labels[:train]), (pixels[train:], labels[train:]), classes


def _offsets(offsets: np.ndarray, jpeg: np.ndarray, count: int, where: str) -> list[int]:
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1:
        raise UserError(f"{where}: jpeg must be uint8 [bytes], not {_described(jpeg)}")
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1:
        raise UserError(f"{where}: offsets must be int64 [N + 1], not {_described(offsets)}")
    if len(offsets) != count + 1:
        raise UserError(
            f"{where}: {count} labels need {count + 1} offsets, but there are {len(offsets)}"
        )
    places: list[int] = offsets.tolist()
    for i, (start, end) in enumerate(pairwise(places)):
        if end <= start:
            raise UserError(f"{where}: offsets do not increase after image {i}")
    first, last = places[0], places[-1]
    if first < 0 or last > len(jpeg):
        beyond = f"beyond the {len(jpeg)} bytes of jpeg"
        raise UserError(f"{where}: offsets run from {first} to {last}, {beyond}")
    return places


def _classes(classes: np.ndarray, where: str) -> int:
    are_names = classes.ndim == 1 and classes.dtype.kind in "US"
    return len(classes) if are_names else _whole(classes, "classes", where)


def _whole(number: np.ndarray, name: str, where: str) -> int:
    if number.ndim != 0 or number.dtype.kind not in "iu":
        raise UserError(f"{where}: {name} must be one integer, not {_described(number)}")
    return int(number)


def _described(x: np.ndarray) -> str:
    return f"{x.dtype} {list(x.shape)}"


def _listed(labels: np.ndarray) -> str:
    shown = ", ".join(map(str, labels[:6]))
    return f"{shown} …" if len(labels) > 6 else shown
