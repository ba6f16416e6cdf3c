"""What makes two things the same: SHA-256 of data, of texts and of files, in hexadecimal."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def digest(thing: object) -> str:
    """SHA-256 of the canonical JSON of plain data: equal things have equal digests on every
    machine."""
    return hashlib.sha256(canonical(thing)).hexdigest()


def canonical(thing: object) -> bytes:
    """The canonical JSON of plain data."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return text.encode()


def sha256_of(text: str) -> str:
    """SHA-256 of the file that a text becomes."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def digest_of_content(path: Path, files: Iterable[Path] | None = None) -> str:
    """SHA-256 of what a file holds; of a folder, of the names and contents of `files` in it, by
    default of all.

    Links are followed: the content is that of the file behind the link.

    """
    is_file = path.is_file()
    below = [path] if is_file else sorted(_files_below(path) if files is None else files)
    total = hashlib.sha256()
    for file in below:
        if file != path:
            total.update(os.fsencode(file.relative_to(path)))
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256")
        total.update(content.digest())
    return total.hexdigest()


def _files_below(path: Path) -> Iterator[Path]:
    """All ordinary files below a folder, through links too, each folder once."""
    seen = set()
    for here, folders, names in os.walk(path, followlinks=True):
        place = os.path.realpath(here)
        if place in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(place)
        files = (Path(here, name) for name in names)
        yield from (file for file in files if file.is_file())
