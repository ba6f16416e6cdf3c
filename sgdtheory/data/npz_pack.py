"""An .npz pack of images, plain or as JPEG files end to end: checked, array by array."""

from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np

from sgdtheory.data.decode import decoded
from sgdtheory.data.images import Split
from sgdtheory.data.npz import Pack, arrays_of, described
from sgdtheory.errors import UserError

PLAIN = ("train_images", "train_labels", "test_images", "test_labels")
LAYOUT = "layout"  # of float pictures, where their shape does not tell
AXES = {"NHWC": 3, "NCHW": 1}  # which one is the channels'
MOST_CHANNELS = 4  # by which they are told from a height or a width
COMPRESSED = ("jpeg", "offsets", "labels", "train_count", "classes")


def read_npz(path: Path) -> tuple[Split, Split, int]:
    """The training split, the test split, and the number of classes; the two forms are described in
    `pack.images`."""
    where = f"data.path={path}"
    pack = arrays_of(path, where, _wanted)
    if "jpeg" in pack:
        return _from_jpegs(pack, where)
    return _from_plain(pack, where)


def _wanted(there: list[str]) -> tuple[str, ...]:
    if "jpeg" in there:
        return COMPRESSED
    if LAYOUT in there:
        return (*PLAIN, LAYOUT)
    return PLAIN


def _from_plain(pack: Pack, where: str) -> tuple[Split, Split, int]:
    train = _split(pack, "train", where)
    test = _split(pack, "test", where)
    _, labels = train
    known = np.unique(labels)
    classes = len(known)
    if not np.array_equal(known, np.arange(classes)):
        needed = "train_labels must be 0 … K − 1, each at least once"
        raise UserError(f"{where}: {needed}; they are {_listed(known)}")
    return train, test, classes


def _split(pack: Pack, name: str, where: str) -> Split:
    images = _pixels(pack, f"{name}_images", where)
    labels = _labels(pack, f"{name}_labels", where)
    return images, labels


def _pixels(pack: Pack, name: str, where: str) -> np.ndarray:
    """[N, C, H, W] from [N, H, W] or [N, H, W, C], of floating numbers also from [N, C, H, W]."""
    pixels = pack[name]
    is_float = pixels.dtype.kind == "f"
    is_known = is_float or pixels.dtype == np.uint8
    if not is_known or pixels.ndim not in (3, 4):
        raise UserError(
            f"{where}: {name} must be uint8 or float32 [N, H, W] or [N, H, W, C], not "
            f"{described(pixels)}"
        )
    if is_float:
        pixels = pixels.astype(np.float32)
    if pixels.ndim == 3:
        return pixels[:, None]
    if is_float:
        axis = _channels(pack, name, where)
        return np.moveaxis(pixels, axis, 1)
    shape = list(pixels.shape)
    if shape[3] > MOST_CHANNELS >= shape[1]:
        raise UserError(f"{where}: {name} {shape} has its channels second; write [N, H, W, C]")
    return pixels.transpose(0, 3, 1, 2)


def _channels(pack: Pack, name: str, where: str) -> int:
    """Which axis of float pictures of four is the channels': as `layout` says, or the one of at
    most four."""
    if LAYOUT in pack:
        said = str(pack[LAYOUT])
        if said not in AXES:
            raise UserError(f"{where}: {LAYOUT} is {said!r}; it must be NHWC or NCHW")
        return AXES[said]
    shape = list(pack[name].shape)
    axes = [axis for axis in AXES.values() if shape[axis] <= MOST_CHANNELS]
    if len(axes) != 1:
        raise UserError(
            f"{where}: {name} {shape} may have its channels second or last; add an array "
            f"{LAYOUT}, 'NHWC' or 'NCHW'"
        )
    return axes[0]


def _labels(pack: Pack, name: str, where: str) -> np.ndarray:
    labels = pack[name]
    if not _are_integers(labels, 1):
        raise UserError(f"{where}: {name} must be integers [N], not {described(labels)}")
    return labels


def _from_jpegs(pack: Pack, where: str) -> tuple[Split, Split, int]:
    labels = _labels(pack, "labels", where)
    count = len(labels)
    data = pack["jpeg"]
    offsets = _offsets(pack["offsets"], data, count, where)
    classes = _classes(pack["classes"], where)
    train = _whole(pack["train_count"], "train_count", where)
    if not 0 < train < count:
        raise UserError(
            f"{where}: train_count={train} of {count} images leaves a split empty; it must "
            f"be 1 … {count - 1}"
        )
    sources = _pictures(data, offsets, where)
    pixels, _ = decoded(sources, count, ("JPEG",))
    train_split = (pixels[:train], labels[:train])
    test_split = (pixels[train:], labels[train:])
    return train_split, test_split, classes


def _pictures(data: np.ndarray, offsets: list[int], where: str) -> Iterator[tuple[str, BytesIO]]:
    """Each compressed picture of data uint8 [bytes], and where it lies."""
    for i, (start, end) in enumerate(pairwise(offsets)):
        picture = data[start:end].tobytes()
        yield f"{where}: image {i}", BytesIO(picture)


def _offsets(offsets: np.ndarray, jpeg: np.ndarray, count: int, where: str) -> list[int]:
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1:
        raise UserError(f"{where}: jpeg must be uint8 [bytes], not {described(jpeg)}")
    if not _are_integers(offsets, 1):
        raise UserError(f"{where}: offsets must be int64 [N + 1], not {described(offsets)}")
    if len(offsets) != count + 1:
        raise UserError(
            f"{where}: {count} labels need {count + 1} offsets, but there are {len(offsets)}"
        )
    places: list[int] = offsets.tolist()
    for i, (start, end) in enumerate(pairwise(places)):
        if end <= start:
            raise UserError(f"{where}: offsets do not increase after image {i}")
    first = places[0]
    last = places[-1]
    if first < 0 or last > len(jpeg):
        beyond = f"beyond the {len(jpeg)} bytes of jpeg"
        raise UserError(f"{where}: offsets run from {first} to {last}, {beyond}")
    return places


def _classes(classes: np.ndarray, where: str) -> int:
    are_names = classes.ndim == 1 and classes.dtype.kind in "US"
    if are_names:
        return len(classes)
    return _whole(classes, "classes", where)


def _whole(number: np.ndarray, name: str, where: str) -> int:
    if not _are_integers(number, 0):
        raise UserError(f"{where}: {name} must be one integer, not {described(number)}")
    return int(number)


def _are_integers(array: np.ndarray, axes: int) -> bool:
    return array.ndim == axes and array.dtype.kind in "iu"


def _listed(labels: np.ndarray) -> str:
    shown = [str(label) for label in labels[:6]]
    if len(labels) > 6:
        shown[-1] += " …"
    return ", ".join(shown)
