"""An .npz pack of images, plain or as JPEG files end to end: checked, array by array."""

from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from sgdtheory.data.decode import decoded
from sgdtheory.data.images import Split
from sgdtheory.faults import Mistake, nearest

PLAIN = ("train_images", "train_labels", "test_images", "test_labels")
COMPRESSED = ("jpeg", "offsets", "labels", "train_count", "classes")

Pack = dict[str, np.ndarray]


def read_npz(path: Path) -> tuple[Split, Split, int]:
    """The training split, the test split, and the number of classes; the two forms are described in `pack.images`."""
    where = f"data.path={path}"
    pack = _arrays(path, where)
    compressed = "jpeg" in pack
    _demand(pack, COMPRESSED if compressed else PLAIN, where)
    return _from_jpegs(pack, where) if compressed else _from_plain(pack, where)


def _from_plain(pack: Pack, where: str) -> tuple[Split, Split, int]:
    train, test = (
        (_pixels(pack, f"{split}_images", where), _labels(pack, f"{split}_labels", where)) for split in ("train", "test")
    )
    known = np.unique(train[1])
    classes = len(known)
    if not np.array_equal(known, np.arange(classes)):
        raise Mistake(f"{where}: train_labels must be 0 … K − 1, each at least once; they are {_listed(known)}")
    return train, test, classes


def _arrays(path: Path, where: str) -> Pack:
    """Every array of the pack; pickled ones are refused."""
    try:
        pack = np.load(path, allow_pickle=False)
        if not isinstance(pack, np.ndarray):
            with pack:
                return {name: pack[name] for name in pack.files}
    except ValueError as fault:
        raise Mistake(f"{where}: not an .npz pack of plain arrays (pickled objects are not read)") from fault
    except (BadZipFile, EOFError, OSError, KeyError, ZlibError) as fault:
        raise Mistake(f"{where}: not an .npz pack, or a truncated one ({fault})") from fault
    raise Mistake(f"{where}: one bare array, not an .npz pack; write it with numpy.savez")


def _demand(pack: Pack, names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in pack]
    if missing:
        hint = nearest(missing[0], [name for name in pack if name not in names])
        raise Mistake(f"{where}: array {missing[0]!r} is missing (there are: {', '.join(pack) or 'none'}){hint}")


def _pixels(pack: Pack, name: str, where: str) -> np.ndarray:
    """[N, C, H, W] from [N, H, W] or [N, H, W, C]."""
    pixels = pack[name]
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise Mistake(f"{where}: {name} must be uint8 [N, H, W] or [N, H, W, C], not {_described(pixels)}")
    if pixels.ndim == 4 and pixels.shape[3] > 4 >= pixels.shape[1]:
        raise Mistake(f"{where}: {name} {list(pixels.shape)} has its channels second; write [N, H, W, C]")
    return pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)


def _labels(pack: Pack, name: str, where: str) -> np.ndarray:
    labels = pack[name]
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise Mistake(f"{where}: {name} must be integers [N], not {_described(labels)}")
    return labels


def _from_jpegs(pack: Pack, where: str) -> tuple[Split, Split, int]:
    labels = _labels(pack, "labels", where)
    count = len(labels)
    offsets = _offsets(pack["offsets"], pack["jpeg"], count, where)
    classes = _classes(pack["classes"], where)
    train = _whole(pack["train_count"], "train_count", where)
    if not 0 < train < count:
        raise Mistake(f"{where}: train_count={train} of {count} images leaves a split empty; it must be 1 … {count - 1}")
    data = pack["jpeg"]
    sources = ((f"{where}: image {i}", BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())) for i in range(count))
    pixels = decoded(sources, count, ("JPEG",))
    return (pixels[:train], labels[:train]), (pixels[train:], labels[train:]), classes


def _offsets(offsets: np.ndarray, jpeg: np.ndarray, count: int, where: str) -> list[int]:
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1:
        raise Mistake(f"{where}: jpeg must be uint8 [bytes], not {_described(jpeg)}")
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1:
        raise Mistake(f"{where}: offsets must be int64 [N + 1], not {_described(offsets)}")
    if len(offsets) != count + 1:
        raise Mistake(f"{where}: {count} labels need {count + 1} offsets, but there are {len(offsets)}")
    found: list[int] = offsets.tolist()
    bad = next((i for i in range(count) if found[i + 1] <= found[i]), None)
    if bad is not None:
        raise Mistake(f"{where}: offsets do not increase after image {bad}")
    if found[0] < 0 or found[-1] > len(jpeg):
        raise Mistake(f"{where}: offsets run from {found[0]} to {found[-1]}, beyond the {len(jpeg)} bytes of jpeg")
    return found


def _classes(classes: np.ndarray, where: str) -> int:
    return len(classes) if classes.ndim == 1 and classes.dtype.kind in "US" else _whole(classes, "classes", where)


def _whole(number: np.ndarray, name: str, where: str) -> int:
    if number.ndim != 0 or number.dtype.kind not in "iu":
        raise Mistake(f"{where}: {name} must be one integer, not {_described(number)}")
    return int(number)


def _described(x: np.ndarray) -> str:
    return f"{x.dtype} {list(x.shape)}"


def _listed(labels: np.ndarray) -> str:
    shown = ", ".join(map(str, labels[:6]))
    return f"{shown} …" if len(labels) > 6 else shown
