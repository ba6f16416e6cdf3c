"""Packs of images: read as they are, or refused with what is wrong."""

import os
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy
from PIL import Image

from sgdtheory.data.pack import images
from sgdtheory.errors import UserError

Arrays = dict[str, Any]


def pictures(count: int, *shape: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(count)).integers(
        0, 256, (count, *shape), dtype=np.uint8
    )


def jpeg(pixels: np.ndarray, kind: str = "JPEG") -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def plain() -> Arrays:
    return {
        "train_images": pictures(8, 6, 5, 3),
        "train_labels": np.arange(8) % 4,
        "test_images": pictures(4, 6, 5, 3),
        "test_labels": np.arange(4, dtype=np.uint8),
    }


def packed(files: list[bytes], **changes: Any) -> Arrays:
    arrays = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": (np.arange(len(files)) % 2).astype(np.uint8),
        "train_count": np.int64(4),
        "classes": np.array(["cat", "dog"]),
    }
    return {**arrays, **changes}


FILES = [jpeg(pixels) for pixels in pictures(6, 8, 9, 3)]


def saved(tmp_path: Path, arrays: Arrays) -> Path:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def test_plain_colour(tmp_path: Path) -> None:
    arrays = plain()
    found = images(saved(tmp_path, arrays), augment="crop_flip", padding=2)
    assert (found.name, found.classes, found.shape, found.augment, found.padding) == (
        "mine",
        4,
        (3, 6, 5),
        "crop_flip",
        2,
    )
    assert np.array_equal(found.train_inputs.permute(0, 2, 3, 1).numpy(), arrays["train_images"])
    assert found.train_inputs.is_contiguous()
    assert found.test_targets.tolist() == [0, 1, 2, 3]


def test_plain_grey(tmp_path: Path) -> None:
    arrays = {**plain(), "train_images": pictures(8, 6, 5), "test_images": pictures(4, 6, 5)}
    found = images(saved(tmp_path, arrays))
    assert found.shape == (1, 6, 5)
    assert np.array_equal(found.test_inputs[:, 0].numpy(), arrays["test_images"])


@pytest.mark.parametrize("classes", [np.array(["cat", "dog"]), np.int64(2)], ids=["names", "count"])
def test_jpeg(tmp_path: Path, classes: Any) -> None:
    found = images(saved(tmp_path, packed(FILES, classes=classes)))
    assert (found.count, len(found.test_targets), found.classes, found.shape) == (
        4,
        2,
        2,
        (3, 8, 9),
    )
    for image, file in zip([*found.train_inputs, *found.test_inputs], FILES, strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(Image.open(BytesIO(file))))


def test_grey_jpeg(tmp_path: Path) -> None:
    assert images(saved(tmp_path, packed([jpeg(x) for x in pictures(6, 8, 9)]))).shape == (1, 8, 9)


def without(name: str, arrays: Arrays) -> Arrays:
    return {key: value for key, value in arrays.items() if key != name}


OFFSETS = np.cumsum([0, *map(len, FILES)])
SWAPPED = OFFSETS[[0, 2, 1, 3, 4, 5, 6]]
BROKEN = [*FILES[:2], b"not a picture", *FILES[3:]]
CUT = [*FILES[:5], FILES[5][:200]]
DEFECTS: dict[str, tuple[Arrays, str]] = {
    "missing": (without("test_labels", plain()), "array 'test_labels' is missing"),
    "misspelt": (
        {**without("test_labels", plain()), "test_lables": np.arange(4)},
        "did you mean 'test_lables'",
    ),
    "empty pack": ({}, r"'train_images' is missing \(there are: none\)"),
    "wide images": (
        {**plain(), "train_images": np.zeros((8, 6, 5), np.int16)},
        "train_images must be uint8 or float32 .* not int16",
    ),
    "flat images": (
        {**plain(), "test_images": pictures(4, 30)},
        r"test_images must be .* not uint8 \[4, 30\]",
    ),
    "channels first": ({**plain(), "train_images": pictures(8, 3, 6, 5)}, "channels second"),
    "float labels": ({**plain(), "train_labels": np.zeros(8)}, "train_labels must be integers"),
    "2-d labels": (
        {**plain(), "test_labels": np.zeros((4, 1), int)},
        "test_labels must be integers",
    ),
    "lengths": ({**plain(), "train_labels": np.arange(7) % 4}, "8 images but 7 labels"),
    "labels from one": ({**plain(), "train_labels": np.arange(8) % 4 + 1}, "they are 1, 2, 3, 4"),
    "label gap": ({**plain(), "train_labels": np.array([0, 1, 2, 4] * 2)}, "they are 0, 1, 2, 4"),
    "negative label": ({**plain(), "test_labels": np.array([0, -1, 2, 3])}, "lie in -1"),
    "unknown test label": (
        {**plain(), "test_labels": np.array([0, 1, 2, 4])},
        "there are 4 classes",
    ),
    "no training images": (
        {**plain(), "train_images": pictures(0, 6, 5, 3), "train_labels": np.arange(0)},
        "train has no",
    ),
    "no test images": (
        {**plain(), "test_images": pictures(0, 6, 5, 3), "test_labels": np.arange(0)},
        "test has no",
    ),
    "sizes": ({**plain(), "test_images": pictures(4, 5, 5, 3)}, "in the test set"),
    "pickled": ({**plain(), "train_labels": np.array([{}] * 8, object)}, "pickled"),
    "jpeg: missing": (without("train_count", packed(FILES)), "'train_count' is missing"),
    "jpeg: bytes": (packed(FILES, jpeg=np.zeros(9)), "jpeg must be uint8"),
    "jpeg: offsets float": (packed(FILES, offsets=OFFSETS * 1.0), "offsets must be int64"),
    "jpeg: offsets count": (
        packed(FILES, offsets=OFFSETS[:-1]),
        "6 labels need 7 offsets, but there are 6",
    ),
    "jpeg: offsets order": (packed(FILES, offsets=SWAPPED), "do not increase after image 1"),
    "jpeg: empty file": (
        packed(FILES, offsets=OFFSETS[[0, 1, 2, 2, 4, 5, 6]]),
        "do not increase after image 2",
    ),
    "jpeg: offsets end": (packed(FILES, offsets=OFFSETS + 1), "beyond the .* bytes"),
    "jpeg: offsets start": (packed(FILES, offsets=OFFSETS - 1), "from -1 to"),
    "jpeg: labels": (packed(FILES, labels=np.arange(6)), "lie in 0 … 3, but there are 2 classes"),
    "jpeg: no training": (packed(FILES, train_count=np.int64(0)), "train_count=0 of 6 images"),
    "jpeg: no test": (packed(FILES, train_count=np.int64(6)), "train_count=6 of 6 images"),
    "jpeg: train_count": (
        packed(FILES, train_count=np.arange(2)),
        "train_count must be one integer",
    ),
    "jpeg: classes": (packed(FILES, classes=np.zeros(2)), "classes must be one integer"),
    "jpeg: not a picture": (packed(BROKEN), "image 2 cannot be decoded as JPEG"),
    "jpeg: cut off": (packed(CUT), "image 5 cannot be decoded"),
    "jpeg: a png": (
        packed([jpeg(x, "PNG") for x in pictures(6, 8, 9, 3)]),
        "image 0 cannot be decoded as JPEG",
    ),
    "jpeg: sizes": (
        packed([*FILES[:5], jpeg(pictures(1, 9, 8, 3)[0])]),
        "image 5 is 9x8 .* image 0 is 8x9",
    ),
    "jpeg: colours": (
        packed([*FILES[:5], jpeg(pictures(1, 8, 9)[0])]),
        "of 1 channel, but .* 3 channels",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_bad_pack_is_refused_with_what_is_wrong(tmp_path: Path, defect: str) -> None:
    arrays, message = DEFECTS[defect]
    with pytest.raises(UserError, match=message) as caught:
        images(saved(tmp_path, arrays))
    assert "mine" in str(caught.value)
    assert str(caught.value).count("\n") < 3


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_pack_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, plain())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="truncated"):
        images(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x93NUMPY"], ids=["empty", "text", "torn npy"]
)
def test_what_is_no_pack_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not an \.npz pack"):
        images(path)


def test_a_damaged_pack_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, plain())
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # a pixel: only the zip's checksum knows
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not an \.npz pack"):
        images(path)


def test_a_bare_array_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", pictures(3, 4, 4))
    with pytest.raises(UserError, match="one bare array"):
        images(tmp_path / "bare.npy")
    with pytest.raises(UserError, match="no such file"):
        images(tmp_path / "nothing.npz")


def folder(tmp_path: Path, suffix: str = "png") -> Path:
    for split, count in (("train", 3), ("test", 2)):
        for shift, name in enumerate(("zebra", "ant")):
            (tmp_path / split / name).mkdir(parents=True)
            for i, pixels in enumerate(pictures(count, 6, 5, 3)):
                Image.fromarray(pixels // 2 + 100 * shift).save(
                    tmp_path / split / name / f"{i}.{suffix}"
                )
    return tmp_path


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG"])
def test_folder(tmp_path: Path, suffix: str) -> None:
    (folder(tmp_path, suffix) / "train" / "ant" / "notes.txt").write_text(
        "not a picture", encoding="utf-8"
    )
    (tmp_path / "train" / ".cache").mkdir()
    found = images(tmp_path)
    assert (found.classes, found.shape) == (2, (3, 6, 5))
    assert (found.train_targets.tolist(), found.test_targets.tolist()) == (
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1],
    )
    if suffix == "png":  # ant comes first, and is the brighter one
        assert np.array_equal(
            found.test_inputs[0].permute(1, 2, 0).numpy(), pictures(2, 6, 5, 3)[0] // 2 + 100
        )


def empty(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


FOLDER_DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no train": (lambda p: (p / "train").rename(p / "training"), "has no folder train/"),
    "no test": (lambda p: (p / "test").rename(p / "tst"), r"has no folder test/ \(or val/\)"),
    "class missing": (
        lambda p: (p / "test" / "ant").rename(p / "ant"),
        "class 'ant' is in train/ but not in test/",
    ),
    "class unknown": (
        lambda p: (p / "test" / "bee").mkdir(),
        "class 'bee' is in test/ but not in train/",
    ),
    "class empty": (lambda p: empty(p / "train" / "zebra"), "train/zebra/ has no pictures"),
    "no classes": (
        lambda p: [(p / "train" / x).rename(p / x) for x in ("ant", "zebra")],
        "train/ has no class folders",
    ),
    "broken": (
        lambda p: (p / "test" / "ant" / "1.png").write_bytes(b"\x89PNG"),
        "1.png cannot be decoded as PNG, JPEG, ",
    ),
    "size": (
        lambda p: Image.new("RGB", (7, 7)).save(p / "train" / "zebra" / "9.png"),
        "9.png is 7x7 pixels",
    ),
    "kind": (
        lambda p: Image.new("I;16", (5, 6)).save(p / "train" / "zebra" / "9.png"),
        "pixels of kind I;16",
    ),
}


@pytest.mark.parametrize("defect", FOLDER_DEFECTS)
def test_a_bad_folder_is_refused_with_what_is_wrong(tmp_path: Path, defect: str) -> None:
    spoil, message = FOLDER_DEFECTS[defect]
    spoil(folder(tmp_path))
    with pytest.raises(UserError, match=message):
        images(tmp_path)


def test_a_limit_draws_from_both_splits_evenly(tmp_path: Path) -> None:
    folder(tmp_path)  # sorted by class: the first three of each split are ants
    whole, few = images(tmp_path), images(tmp_path, limit=2)
    assert few.train_targets.tolist() == few.test_targets.tolist() == [0, 1]
    known = {x.numpy().tobytes() for x in whole.train_inputs}
    assert all(x.numpy().tobytes() in known for x in few.train_inputs)
    assert images(tmp_path, limit=2).train_inputs.equal(few.train_inputs)
    assert images(tmp_path, limit=100).train_inputs.equal(whole.train_inputs)


def test_a_limit_below_the_number_of_classes_is_told_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, plain())
    assert images(path, limit=3).remarks[0] == "data.limit=3: 3 of 4 classes have a training image"
    assert not any("data.limit" in remark for remark in images(path, limit=4).remarks)
    with pytest.raises(
        UserError, match=r"all training images are of one class.*; data.limit=1 is too small"
    ):
        images(path, limit=1)


def test_training_images_of_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="all training images are of one class"):
        images(
            saved(
                tmp_path,
                {**plain(), "train_labels": np.zeros(8, int), "test_labels": np.zeros(4, int)},
            )
        )


# what Pillow reads


@pytest.mark.parametrize(
    "suffix", ["webp", "bmp", "gif", "tif", "tiff", "ppm", "WEBP", "BMP", "PNG"]
)
def test_every_kind_of_picture_is_read(tmp_path: Path, suffix: str) -> None:
    found = images(folder(tmp_path, suffix))
    assert (found.count, found.shape, found.told) == (6, (3, 6, 5), ())
    if suffix.lower() in ("bmp", "tif", "tiff", "ppm", "png"):  # without loss
        assert np.array_equal(
            found.test_inputs[0].permute(1, 2, 0).numpy(), pictures(2, 6, 5, 3)[0] // 2 + 100
        )


def test_pictures_in_folders_of_a_class_and_behind_links_are_read_in_order(tmp_path: Path) -> None:
    ant = folder(tmp_path / "all") / "train" / "ant"
    plain_order = images(tmp_path / "all").train_inputs
    (ant / "b").mkdir()
    (ant / "1.png").rename(ant / "b" / "1.png")
    (ant / "2.png").rename(tmp_path / "2.png")
    (ant / "c").mkdir()
    (ant / "c" / "2.png").symlink_to(tmp_path / "2.png")
    (ant / "d").symlink_to(ant, target_is_directory=True)  # leads back up
    (tmp_path / "all" / "train" / "zebra").rename(tmp_path / "zebra")
    (tmp_path / "all" / "train" / "zebra").symlink_to(tmp_path / "zebra", target_is_directory=True)
    found = images(tmp_path / "all")
    assert found.train_inputs.equal(plain_order) and found.train_targets.tolist() == [
        0,
        0,
        0,
        1,
        1,
        1,
    ]


def test_what_is_not_read_is_told(tmp_path: Path) -> None:
    folder(tmp_path)
    for name in (
        "train/ant/a.svg",
        "train/notes.txt",
        "test/zebra/deep/b.heic",
        "train/ant/.hidden",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    (tmp_path / "extra").mkdir()
    told = images(tmp_path).told
    assert len(told) == 2 and told[0] == "not read: extra/"
    assert told[1].startswith("3 files are not read")
    assert all(
        name in told[1] for name in ("train/notes.txt", "train/ant/a.svg", "test/zebra/deep/b.heic")
    )
    (tmp_path / "train" / "ant" / "3.gif").write_bytes(animated(5, 6))
    (tmp_path / "train" / "ant" / "4.png").write_bytes(jpeg(pictures(1, 6, 5, 4)[0], "PNG"))
    assert images(tmp_path).told[2:] == (
        "of 1 of the pictures only the first frame is read",
        "of 1 of the pictures the alpha channel is left out",
    )


def animated(width: int, height: int) -> bytes:
    buffer = BytesIO()
    frames = [Image.fromarray(pixels) for pixels in pictures(3, height, width, 3)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_folder_with_val_instead_of_test_is_read_and_told(tmp_path: Path, name: str) -> None:
    (folder(tmp_path) / "test").rename(tmp_path / name)
    found = images(tmp_path)
    assert found.test_targets.tolist() == [0, 0, 1, 1]
    assert found.told == (f"{name}/ is the test set, for there is no test/",)


def test_test_goes_before_val_and_val_is_named(tmp_path: Path) -> None:
    (folder(tmp_path) / "val").mkdir()
    assert images(tmp_path).told == ("not read: val/",)


def a_pipe(path: Path) -> None:
    os.mkfifo(path / "train" / "ant" / "9.png")


def a_giant(path: Path) -> None:
    Image.new("L", (10_000, 10_000)).save(path / "train" / "ant" / "9.jpg")


STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (a_pipe, "9.png is no ordinary file but a pipe"),
    "device": (
        lambda p: (p / "train/ant/9.png").symlink_to("/dev/zero"),
        "9.png is no ordinary file",
    ),
    "broken link": (lambda p: (p / "train/ant/9.png").symlink_to("nowhere"), "9.png leads nowhere"),
    "link to itself": (
        lambda p: (p / "train/ant/9.png").symlink_to(p / "train/ant/9.png"),
        "9.png leads nowhere",
    ),
    "giant": (a_giant, "9.jpg has more pixels than Pillow opens: at most 4,096x4,096 are read"),
    "large": (
        lambda p: Image.new("L", (5000, 5000)).save(p / "train" / "ant" / "9.jpg"),
        "9.jpg has 5,000x5,000 pixels: at most 4,096x4,096 are read",
    ),
    "a folder": (lambda p: (p / "train/ant/9.png").mkdir(), ""),
    "only others": (
        lambda p: [f.rename(f.with_suffix(".heic")) for f in (p / "test/ant").iterdir()],
        r"test/ant/ has no pictures that are read .*, but .heic",
    ),
}


@pytest.mark.parametrize("defect", STRANGE)
def test_what_is_no_picture_is_refused_at_once(tmp_path: Path, defect: str) -> None:
    spoil, message = STRANGE[defect]
    spoil(folder(tmp_path))
    began = time.monotonic()
    if message:
        with pytest.raises(UserError, match=message):
            images(tmp_path)
    else:
        assert images(tmp_path).count == 6
    assert time.monotonic() - began < 2


def test_a_pipe_instead_of_a_pack_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pack.npz")
    with pytest.raises(UserError, match="no ordinary file"):
        images(tmp_path / "pack.npz")


SMALL = {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 1000}


def test_more_pictures_than_memory_are_refused_by_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path)
    monkeypatch.setattr(os, "sysconf", SMALL.__getitem__)
    with pytest.raises(
        UserError,
        match=r"0.png and 5 more of 6x5 pixels: 540 bytes, more than half of this machine's 1 kB",
    ):
        images(tmp_path)


# packs that announce what they do not hold


def announcing(path: Path, shape: tuple[int, ...], data: bytes) -> Path:
    """A pack whose train_images announce a shape and hold these bytes."""
    saved(path.parent, {**plain()})
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    header = BytesIO()
    npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, header.getvalue() + data if name == "train_images.npy" else content)
    return path


def test_an_array_that_announces_petabytes_is_refused_unread(tmp_path: Path) -> None:
    path = announcing(tmp_path / "mine.npz", (10**9, 1000, 1000), b"")
    with pytest.raises(UserError, match=r"train_images announces uint8 .*, but holds 0"):
        images(path)


def test_an_array_that_grows_a_thousandfold_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = announcing(tmp_path / "mine.npz", (300, 1000, 1000), bytes(300_000_000))
    monkeypatch.setattr("sgdtheory.data.npz._read", lambda *given: pytest.fail("it was read"))
    with pytest.raises(
        UserError, match=r"train_images grows from .* to 300,000,000 bytes unpacked"
    ):
        images(path)


def test_a_pack_larger_than_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, plain())
    monkeypatch.setattr(os, "sysconf", SMALL.__getitem__)
    with pytest.raises(UserError, match="more than half of this machine's 1 kB of memory"):
        images(path)


def test_what_else_lies_in_a_pack_is_not_read(tmp_path: Path) -> None:
    assert images(saved(tmp_path, {**plain(), "notes": np.array([{}], object)})).count == 8
