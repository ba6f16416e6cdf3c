"""Packs of images: read as they are, or refused with what is wrong."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sgdtheory.data.pack import images
from sgdtheory.faults import Mistake

Arrays = dict[str, Any]


def pictures(count: int, *shape: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(count)).integers(0, 256, (count, *shape), dtype=np.uint8)


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
    assert np.array_equal(found.train_images.permute(0, 2, 3, 1).numpy(), arrays["train_images"])
    assert found.train_images.is_contiguous()
    assert found.test_labels.tolist() == [0, 1, 2, 3]


def test_plain_grey(tmp_path: Path) -> None:
    arrays = {**plain(), "train_images": pictures(8, 6, 5), "test_images": pictures(4, 6, 5)}
    found = images(saved(tmp_path, arrays))
    assert found.shape == (1, 6, 5)
    assert np.array_equal(found.test_images[:, 0].numpy(), arrays["test_images"])


@pytest.mark.parametrize("classes", [np.array(["cat", "dog"]), np.int64(2)], ids=["names", "count"])
def test_jpeg(tmp_path: Path, classes: Any) -> None:
    found = images(saved(tmp_path, packed(FILES, classes=classes)))
    assert (found.count, len(found.test_labels), found.classes, found.shape) == (4, 2, 2, (3, 8, 9))
    for image, file in zip([*found.train_images, *found.test_images], FILES, strict=True):
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
    "misspelt": ({**without("test_labels", plain()), "test_lables": np.arange(4)}, "did you mean 'test_lables'"),
    "empty pack": ({}, r"'train_images' is missing \(there are: none\)"),
    "float images": ({**plain(), "train_images": np.zeros((8, 6, 5))}, "train_images must be uint8 .* not float64"),
    "flat images": ({**plain(), "test_images": pictures(4, 30)}, r"test_images must be .* not uint8 \[4, 30\]"),
    "channels first": ({**plain(), "train_images": pictures(8, 3, 6, 5)}, "channels second"),
    "float labels": ({**plain(), "train_labels": np.zeros(8)}, "train_labels must be integers"),
    "2-d labels": ({**plain(), "test_labels": np.zeros((4, 1), int)}, "test_labels must be integers"),
    "lengths": ({**plain(), "train_labels": np.arange(7) % 4}, "8 images but 7 labels"),
    "labels from one": ({**plain(), "train_labels": np.arange(8) % 4 + 1}, "they are 1, 2, 3, 4"),
    "label gap": ({**plain(), "train_labels": np.array([0, 1, 2, 4] * 2)}, "they are 0, 1, 2, 4"),
    "negative label": ({**plain(), "test_labels": np.array([0, -1, 2, 3])}, "lie in -1"),
    "unknown test label": ({**plain(), "test_labels": np.array([0, 1, 2, 4])}, "there are 4 classes"),
    "no training images": (
        {**plain(), "train_images": pictures(0, 6, 5, 3), "train_labels": np.arange(0)},
        "train has no",
    ),
    "no test images": ({**plain(), "test_images": pictures(0, 6, 5, 3), "test_labels": np.arange(0)}, "test has no"),
    "sizes": ({**plain(), "test_images": pictures(4, 5, 5, 3)}, "in the test set"),
    "pickled": ({**plain(), "train_labels": np.array([{}] * 8, object)}, "pickled"),
    "jpeg: missing": (without("train_count", packed(FILES)), "'train_count' is missing"),
    "jpeg: bytes": (packed(FILES, jpeg=np.zeros(9)), "jpeg must be uint8"),
    "jpeg: offsets float": (packed(FILES, offsets=OFFSETS * 1.0), "offsets must be int64"),
    "jpeg: offsets count": (packed(FILES, offsets=OFFSETS[:-1]), "6 labels need 7 offsets, but there are 6"),
    "jpeg: offsets order": (packed(FILES, offsets=SWAPPED), "do not increase after image 1"),
    "jpeg: empty file": (packed(FILES, offsets=OFFSETS[[0, 1, 2, 2, 4, 5, 6]]), "do not increase after image 2"),
    "jpeg: offsets end": (packed(FILES, offsets=OFFSETS + 1), "beyond the .* bytes"),
    "jpeg: offsets start": (packed(FILES, offsets=OFFSETS - 1), "from -1 to"),
    "jpeg: labels": (packed(FILES, labels=np.arange(6)), "lie in 0 … 3, but there are 2 classes"),
    "jpeg: no training": (packed(FILES, train_count=np.int64(0)), "train_count=0 of 6 images"),
    "jpeg: no test": (packed(FILES, train_count=np.int64(6)), "train_count=6 of 6 images"),
    "jpeg: train_count": (packed(FILES, train_count=np.arange(2)), "train_count must be one integer"),
    "jpeg: classes": (packed(FILES, classes=np.zeros(2)), "classes must be one integer"),
    "jpeg: not a picture": (packed(BROKEN), "image 2 cannot be decoded as JPEG"),
    "jpeg: cut off": (packed(CUT), "image 5 cannot be decoded"),
    "jpeg: a png": (packed([jpeg(x, "PNG") for x in pictures(6, 8, 9, 3)]), "image 0 cannot be decoded as JPEG"),
    "jpeg: sizes": (packed([*FILES[:5], jpeg(pictures(1, 9, 8, 3)[0])]), "image 5 is 9x8 .* image 0 is 8x9"),
    "jpeg: colours": (packed([*FILES[:5], jpeg(pictures(1, 8, 9)[0])]), "of 1 channel, but .* 3 channels"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_bad_pack_is_refused_with_what_is_wrong(tmp_path: Path, defect: str) -> None:
    arrays, message = DEFECTS[defect]
    with pytest.raises(Mistake, match=message) as caught:
        images(saved(tmp_path, arrays))
    assert "mine" in str(caught.value)
    assert str(caught.value).count("\n") < 3


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_pack_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, plain())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(Mistake, match="truncated"):
        images(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY"], ids=["empty", "text", "torn npy"])
def test_what_is_no_pack_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(Mistake, match=r"not an \.npz pack"):
        images(path)


def test_a_damaged_pack_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, plain())
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # a pixel: only the zip's checksum knows
    path.write_bytes(content)
    with pytest.raises(Mistake, match=r"not an \.npz pack"):
        images(path)


def test_a_bare_array_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", pictures(3, 4, 4))
    with pytest.raises(Mistake, match="one bare array"):
        images(tmp_path / "bare.npy")
    with pytest.raises(Mistake, match="no such file"):
        images(tmp_path / "nothing.npz")


def folder(tmp_path: Path, suffix: str = "png") -> Path:
    for split, count in (("train", 3), ("test", 2)):
        for shift, name in enumerate(("zebra", "ant")):
            (tmp_path / split / name).mkdir(parents=True)
            for i, pixels in enumerate(pictures(count, 6, 5, 3)):
                Image.fromarray(pixels // 2 + 100 * shift).save(tmp_path / split / name / f"{i}.{suffix}")
    return tmp_path


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG"])
def test_folder(tmp_path: Path, suffix: str) -> None:
    (folder(tmp_path, suffix) / "train" / "ant" / "notes.txt").write_text("not a picture", encoding="utf-8")
    (tmp_path / "train" / ".cache").mkdir()
    found = images(tmp_path)
    assert (found.classes, found.shape) == (2, (3, 6, 5))
    assert (found.train_labels.tolist(), found.test_labels.tolist()) == ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1])
    if suffix == "png":  # ant comes first, and is the brighter one
        assert np.array_equal(found.test_images[0].permute(1, 2, 0).numpy(), pictures(2, 6, 5, 3)[0] // 2 + 100)


def empty(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


FOLDER_DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no train": (lambda p: (p / "train").rename(p / "training"), "has no folder train/"),
    "no test": (lambda p: (p / "test").rename(p / "val"), "has no folder test/"),
    "class missing": (lambda p: (p / "test" / "ant").rename(p / "ant"), "class 'ant' is in train/ but not in test/"),
    "class unknown": (lambda p: (p / "test" / "bee").mkdir(), "class 'bee' is in test/ but not in train/"),
    "class empty": (lambda p: empty(p / "train" / "zebra"), "train/zebra/ has no pictures"),
    "no classes": (
        lambda p: [(p / "train" / x).rename(p / x) for x in ("ant", "zebra")],
        "train/ has no class folders",
    ),
    "broken": (
        lambda p: (p / "test" / "ant" / "1.png").write_bytes(b"\x89PNG"),
        "1.png cannot be decoded as PNG or JPEG",
    ),
    "size": (lambda p: Image.new("RGB", (7, 7)).save(p / "train" / "zebra" / "9.png"), "9.png is 7x7 pixels"),
    "kind": (lambda p: Image.new("I;16", (5, 6)).save(p / "train" / "zebra" / "9.png"), "pixels of kind I;16"),
}


@pytest.mark.parametrize("defect", FOLDER_DEFECTS)
def test_a_bad_folder_is_refused_with_what_is_wrong(tmp_path: Path, defect: str) -> None:
    spoil, message = FOLDER_DEFECTS[defect]
    spoil(folder(tmp_path))
    with pytest.raises(Mistake, match=message):
        images(tmp_path)


def test_a_limit_keeps_the_first_of_both_splits(tmp_path: Path) -> None:
    path = saved(tmp_path, plain())
    whole, few = images(path), images(path, limit=1)
    assert len(few.train_images) == len(few.test_images) == 1
    assert few.train_images.equal(whole.train_images[:1]) and few.test_labels.equal(whole.test_labels[:1])
