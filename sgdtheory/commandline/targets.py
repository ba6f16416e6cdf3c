"""What may be a `_target_` of this package: what the files of configs/ build, and nothing else."""

import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from sgdtheory.errors import nearest

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs" if (PACKAGE / "configs").exists() else PACKAGE.parent / "configs"
OURS = "sgdtheory"
# in a yaml; what is commented out does not count
TARGET = re.compile(r"^\s*(?:- )?_target_: *(\S+)", re.MULTILINE)


@cache
def targets() -> frozenset[str]:
    """The dotted names that the files of configs/ build."""
    return frozenset(
        name
        for file in CONFIGS.rglob("*.yaml")
        for name in TARGET.findall(file.read_text(encoding="utf-8"))
    )


def public_name(name: str) -> str:
    """What an identity calls a target: one of this package by its own name, which files may move
    under; one of a trusted package by its dotted name."""
    return name.rpartition(".")[2] if name.startswith(f"{OURS}.") else name


def nearest_target(name: str) -> str:
    """A hint with the target that comes closest, one of the same last name before others."""
    known, last = sorted(targets()), name.rpartition(".")[2]
    lasts = {target.rpartition(".")[2]: target for target in known}
    close = lasts.get(last) or lasts.get(
        next(iter(get_close_matches(last, list(lasts), n=1, cutoff=0.75)), "")
    )
    if close:
        return f"; did you mean {close!r}?"
    return (
        nearest(name, known)
        or f"; did you mean {get_close_matches(name, known, n=1, cutoff=0.0)[0]!r}?"
    )
