"""What others wrote is data: ordinary files inside their own directory, of a size that was looked
at, and plain names."""

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgdtheory.errors import UserError

MOST_YAML = 1 << 18  # bytes of a configuration; the longest of ours has 6,000
MOST_JSON = 1 << 28  # bytes of one JSON file
MOST_ROWS = 1 << 31  # bytes of a log of rows
MOST_SIGN = 1 << 16  # bytes of a sign of life
HOLLOW = 1000  # times what lies on the disk: a file that grows so much when it is read
DEEPEST = 60  # nested lists and mappings
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")  # what becomes a part of a file's name
PLAIN = re.compile(r"\$\{\.*[A-Za-z_]\w*(?:\.\w+|\[\w+\])*\}")  # ${key.of.the.same.file}


def held(folder: Path, name: str, most: int | None = None) -> Path:
    """The path of a file in a directory that may be a stranger's, looked at before it is opened.

    Raises UserError where a link leads out of the directory, where it is a pipe, a socket or a
    device, and where it has more than `most` bytes; FileNotFoundError where there is none.
    """
    return Path(_looked_at(folder, name, most))


def bytes_of(folder: Path, name: str, most: int | None = None) -> bytes:
    """What such a file holds; raises as `held` does. A list of runs reads thousands of them."""
    place = _looked_at(folder, name, most)
    with open(place, "rb") as stream:  # noqa: PTH123  (a Path costs more than the file)
        return stream.read()


def _looked_at(folder: Path, name: str, most: int | None) -> str:
    place = f"{folder}/{name}"
    found = os.lstat(place)
    if "/" in name or stat.S_ISLNK(found.st_mode):
        refuse_leading_out(folder, name)
        found = os.stat(place)  # noqa: PTH116
    if not stat.S_ISREG(found.st_mode):
        raise _no_file(Path(place))
    if most is not None and found.st_size > most:
        raise UserError(
            f"{place} has {found.st_size:,} bytes, more than the {most:,} that are read of "
            f"such a file"
        )
    if found.st_size > HOLLOW * 512 * max(1, found.st_blocks) and found.st_size > MOST_JSON:
        raise UserError(
            f"{place} is hollow: it says {found.st_size:,} bytes and holds "
            f"{512 * found.st_blocks:,}"
        )
    return place


def refuse_leading_out(folder: Path, name: str) -> None:
    """Raise UserError where what is called so in a directory, there already or not, lies outside of
    it: a link leads there."""
    if not Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder)):
        raise UserError(
            f"{folder / name} leads out of {folder}: a run's own files are no links; take it away"
        )


def text_of(path: Path, most: int, what: str) -> str:
    """The text of an ordinary file of at most `most` bytes. Raises UserError for anything else."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise _no_file(path)
        if found.st_size > most:
            raise UserError(
                f"{path} is no {what}: it has {found.st_size:,} bytes, of at most {most:,}"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no {what}: it is no text in UTF-8") from None
    except OSError as fault:
        raise UserError(f"{path} cannot be read ({fault.strerror})") from None


def _no_file(path: Path) -> UserError:
    what = "a folder" if path.is_dir() else "a pipe, a socket or a device"
    return UserError(f"{path} is no ordinary file but {what}")


def refuse_strange_yaml(text: str, where: str) -> None:
    """Raise UserError for YAML that is more than plain data: aliases, which grow without end, and
    depths without end."""
    import yaml

    # The fast one refuses halves of code units, which stand for bytes of a file's name.
    loader = (
        yaml.SafeLoader if r"\ud" in text.lower() else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    depth = 0
    try:
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
                event, yaml.CollectionEndEvent
            )
            if isinstance(event, yaml.AliasEvent):
                raise UserError(
                    f"{where} is no configuration: it has aliases (*{event.anchor}); write "
                    f"out what they stand for"
                )
            if depth > DEEPEST:
                raise UserError(
                    f"{where} is no configuration: it is nested more than {DEEPEST} deep"
                )
    except yaml.YAMLError as fault:
        said = next((line.strip() for line in str(fault).splitlines() if line.strip()), "damaged")
        raise UserError(f"{where} is no configuration: {said}") from None


def refuse_resolvers(tree: object, where: str, key: str = "") -> None:
    """Raise UserError where a value of a configuration reads more than the configuration:
    `${oc.env:HOME}`, `${now:}`."""
    if isinstance(tree, Mapping | list):
        for name, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            refuse_resolvers(value, where, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, str) and reads_outside(tree):
        raise UserError(
            f"{where}: {key}: {tree!r} is not followed: only ${{key}} of the same file is"
        )


def reads_outside(text: str) -> bool:
    """Whether a value is an interpolation of another kind than `${key}`."""
    return "${" in PLAIN.sub("", text)


def parsed(text: str, name: str) -> Any:
    """What JSON says. Raises ValueError for what is none, for a nesting that Python cannot follow
    too."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deep") from None
