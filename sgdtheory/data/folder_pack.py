"""A folder of pictures: train/<class>/… and test/<class>/…, or val/<class>/…"""

import os
import stat
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgdtheory.data.decode import decoded
from sgdtheory.data.images import Split
from sgdtheory.errors import UserError

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
)
# that Pillow reads without another program
FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "PPM",
)
# of the folder that is tested on, the first there is
TEST_NAMES = (
    "test",
    "val",
    "valid",
    "validation",
)
MOST_NAMED = 3  # of the files that are not read


class Found(NamedTuple):
    """The files below a class folder: pictures, and what is none that is read; each in the order of
    its path."""

    pictures: list[Path]
    others: list[Path]


def read_folder(path: Path) -> tuple[Split, Split, int, tuple[str, ...]]:
    """The training split, the test split, the number of classes, and what the user should know of
    how they were read.

    Classes are numbered in the order of their names, pictures come in the order of theirs, those of
    sub-folders included.
    """
    test_name = _test_name(path)
    classes = _classes(path, "train")
    _refuse_others(path, classes, test_name)
    names = ("train", test_name)
    folders = [name for name in _subfolders(path) if name not in names]
    others: list[Path] = []
    for name in names:
        others += _loose(path / name)
    left_out: Counter[str] = Counter()
    splits = []
    for name in names:
        read, more, unused = _read_split(path / name, classes, path)
        splits.append(read)
        left_out += more
        others += unused
    told = []
    if test_name != "test":
        told.append(f"{test_name}/ is the test set, for there is no test/")
    if folders:
        unread = ", ".join(f"{name}/" for name in folders)
        told.append(f"not read: {unread}")
    if left_behind := _left_behind(others, path):
        told.append(left_behind)
    for what, count in left_out.items():
        if count:
            told.append(f"of {count:,} of the pictures {what}")
    train, test = splits
    return train, test, len(classes), tuple(told)


def _refuse_others(path: Path, classes: list[str], test_name: str) -> None:
    """UserError where the test set is not of the classes that are trained on."""
    of_test = _classes(path, test_name)
    odd = set(classes) ^ set(of_test)
    if odd:
        first = min(odd)
        has = "train"
        lacks = test_name
        if first in of_test:
            has = test_name
            lacks = "train"
        raise UserError(f"data.path={path}: class {first!r} is in {has}/ but not in {lacks}/")


def pictures_of(path: Path) -> list[Path]:
    """The files below a folder that `read_folder` reads: all that such a data set is made of."""
    folders = [
        path / split / name
        for split in ("train", _test_name(path))
        for name in _subfolders(path / split)
    ]
    return [picture for folder in folders for picture in _found(folder, path).pictures]


def _test_name(path: Path) -> str:
    for name in TEST_NAMES:
        folder = path / name
        if folder.is_dir():
            return name
    return "test"


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _loose(folder: Path) -> list[Path]:
    """Files that lie beside the class folders."""
    return sorted(
        entry for entry in folder.iterdir() if not entry.is_dir() and not entry.name.startswith(".")
    )


def _classes(path: Path, split: str) -> list[str]:
    folder = path / split
    if not folder.is_dir():
        instead = " (or val/)" if split == "test" else ""
        raise UserError(
            f"data.path={path}: has no folder {split}/{instead}; pictures belong in "
            f"{split}/<class>/"
        )
    names = _subfolders(folder)
    if not names:
        raise UserError(
            f"data.path={path}: {split}/ has no class folders; pictures belong in {split}/<class>/"
        )
    return names


def _read_split(
    folder: Path, classes: list[str], path: Path
) -> tuple[Split, Counter[str], list[Path]]:
    """One split, of how many pictures something was left out, and the files that are no
    pictures."""
    files: list[Path] = []
    labels: list[int] = []
    others: list[Path] = []
    for label, name in enumerate(classes):
        found = _found(folder / name, path)
        if not found.pictures:
            kinds = {file.suffix or file.name for file in found.others}
            there = ", ".join(sorted(kinds)) or "nothing"
            raise UserError(
                f"data.path={path}: {folder.name}/{name}/ has no pictures that are read "
                f"({' '.join(SUFFIXES)}), but {there}"
            )
        files += found.pictures
        labels += [label] * len(found.pictures)
        others += found.others
    sources = ((_called(file, path), file) for file in files)
    pixels, left_out = decoded(sources, len(files), FORMATS)
    split = (pixels, np.array(labels, dtype=np.int64))
    return split, left_out, others


def _called(file: Path, path: Path) -> str:
    """A file below a folder, as messages begin."""
    return f"data.path={path}: {file.relative_to(path)}"


def _found(folder: Path, path: Path) -> Found:
    """All files below a folder; links are followed, hidden names left alone. Raises UserError for a
    picture that is no file."""
    pictures = []
    others = []
    seen = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = os.path.realpath(here)
        if place in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(place)
        for name in names:
            if name.startswith("."):
                continue
            file = Path(here, name)
            if file.suffix.lower() in SUFFIXES:
                pictures.append(file)
            else:
                others.append(file)
    for file in pictures:
        _demand_a_file(file, path)
    return Found(sorted(pictures), sorted(others))


def _demand_a_file(file: Path, path: Path) -> None:
    """A FIFO or a device would be waited for, or read, for ever."""
    name = _called(file, path)
    try:
        mode = file.stat().st_mode
    except OSError as fault:
        raise UserError(
            f"{name} leads nowhere ({fault.strerror}); mend the link or take it away"
        ) from None
    if not stat.S_ISREG(mode):
        raise UserError(
            f"{name} is no ordinary file but a pipe, a socket or a device; take it away"
        )


def _left_behind(others: list[Path], path: Path) -> str:
    if not others:
        return ""
    first = others[:MOST_NAMED]
    named = ", ".join(str(file.relative_to(path)) for file in first)
    more = " …" if len(others) > MOST_NAMED else ""
    count = "1 file is"
    if len(others) > 1:
        count = f"{len(others):,} files are"
    return (
        f"{count} not read, being no picture of a known kind ({' '.join(SUFFIXES)}): {named}{more}"
    )
