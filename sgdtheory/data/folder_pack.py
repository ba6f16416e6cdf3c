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
    names = {split: _classes(path, split) for split in ("train", test_name)}
    if names["train"] != names[test_name]:
        odd = min(set(names["train"]) ^ set(names[test_name]))
        has, lacks = ("train", test_name) if odd in names["train"] else (test_name, "train")
        raise UserError(f"data.path={path}: class {odd!r} is in {has}/ but not in {lacks}/")
    folders = [name for name in _subfolders(path) if name not in names]
    others = [file for split in names for file in _loose(path / split)]
    left_out: Counter[str] = Counter()
    splits = []
    for split in names:
        read, more, unused = _read_split(path / split, names[split], path)
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
    return splits[0], splits[1], len(names["train"]), tuple(told)


def pictures_of(path: Path) -> list[Path]:
    """The files below a folder that `read_folder` reads: all that such a data set is made of."""
    folders = [
        path / split / name
        for split in ("train", _test_name(path))
        for name in _subfolders(path / split)
    ]
    return [picture for folder in folders for picture in _found(folder, path).pictures]


def _test_name(path: Path) -> str:
    return next((name for name in TEST_NAMES if (path / name).is_dir()), "test")


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
            kinds = (
                ", ".join(sorted({file.suffix or file.name for file in found.others})) or "nothing"
            )
            raise UserError(
                f"data.path={path}: {folder.name}/{name}/ has no pictures that are read "
                f"({' '.join(SUFFIXES)}), but {kinds}"
            )
        files += found.pictures
        labels += [label] * len(found.pictures)
        others += found.others
    sources = ((f"data.path={path}: {file.relative_to(path)}", file) for file in files)
    pixels, left_out = decoded(sources, len(files), FORMATS)
    return (pixels, np.array(labels, dtype=np.int64)), left_out, others


def _found(folder: Path, path: Path) -> Found:
    """All files below a folder; links are followed, hidden names left alone. Raises UserError for a
    picture that is no file."""
    found, seen = Found([], []), set()
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (place := os.path.realpath(here)) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(place)
        for name in names:
            if not name.startswith("."):
                (found.pictures if Path(name).suffix.lower() in SUFFIXES else found.others).append(
                    Path(here, name)
                )
    for file in found.pictures:
        _demand_a_file(file, path)
    return Found(sorted(found.pictures), sorted(found.others))


def _demand_a_file(file: Path, path: Path) -> None:
    """A FIFO or a device would be waited for, or read, for ever."""
    name = f"data.path={path}: {file.relative_to(path)}"
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
    named = ", ".join(str(file.relative_to(path)) for file in others[:MOST_NAMED])
    more = " …" if len(others) > MOST_NAMED else ""
    count = f"{len(others):,} files are" if len(others) > 1 else "1 file is"
    return (
        f"{count} not read, being no picture of a known kind ({' '.join(SUFFIXES)}): {named}{more}"
    )
