"""A folder of pictures: train/<class>/*.png|jpg and test/<class>/…"""

from pathlib import Path

import numpy as np

from sgdtheory.data.decode import decoded
from sgdtheory.data.images import Split
from sgdtheory.faults import Mistake

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_folder(path: Path) -> tuple[Split, Split, int]:
    """The training split, the test split, and the number of classes.

    Classes are numbered in the order of their names, pictures come in the order of theirs.
    """
    names = {split: _classes(path, split) for split in ("train", "test")}
    if names["train"] != names["test"]:
        odd = min(set(names["train"]) ^ set(names["test"]))
        has, lacks = ("train", "test") if odd in names["train"] else ("test", "train")
        raise Mistake(f"data.path={path}: class {odd!r} is in {has}/ but not in {lacks}/")
    train, test = (_read_split(path / split, names[split], path) for split in ("train", "test"))
    return train, test, len(names["train"])


def _classes(path: Path, split: str) -> list[str]:
    folder = path / split
    if not folder.is_dir():
        raise Mistake(f"data.path={path}: has no folder {split}/; pictures belong in {split}/<class>/")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise Mistake(f"data.path={path}: {split}/ has no class folders; pictures belong in {split}/<class>/")
    return names


def _read_split(folder: Path, classes: list[str], path: Path) -> Split:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(file for file in (folder / name).iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise Mistake(f"data.path={path}: {folder.name}/{name}/ has no pictures ({', '.join(SUFFIXES)})")
        files += found
        labels += [label] * len(found)
    sources = ((f"data.path={path}: {file.relative_to(path)}", file) for file in files)
    return decoded(sources, len(files), ("PNG", "JPEG")), np.array(labels, dtype=np.int64)
