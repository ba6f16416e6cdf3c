"""Everything that can be chosen, read off the yamls: `sgdtheory list`."""

from pathlib import Path
from textwrap import fill

import yaml

from sgdtheory.commandline.comments import headings
from sgdtheory.commandline.composer import groups
from sgdtheory.commandline.habits import MEANINGS
from sgdtheory.commandline.targets import CONFIGS
from sgdtheory.errors import UserError, fold, nearest

SEVERAL = ("diagnostic", "estimator")  # of which one run may take many
USAGE = "sgdtheory "  # how the heading begins that is a command


def listing(group: str | None = None, width: int | None = None) -> str:
    """What there is in a group, or in all of them: a line each, folded at a `width` below what it
    says; None: whole, for programs."""
    known = groups()
    if group is None:
        return "\n\n".join(_section(name, choices, width) for name, choices in known.items())
    name = _group_meant(group, list(known))
    if name not in known:
        hint = nearest(name, list(known)) or f"; there are {', '.join(known)}"
        raise UserError(f"list {group}: there is no such group{hint}")
    return _section(name, known[name], width)


def _group_meant(word: str, known: list[str]) -> str:
    """models, optimizers → model, sgd."""
    name = fold(word)
    for singular in (name, name.removesuffix("s"), name.removesuffix("es")):
        if singular in known:
            return singular
        for meaning in MEANINGS:
            if singular in meaning.names.split() and meaning.keys[0] in known:
                return meaning.keys[0]
    return word


def _section(group: str, choices: list[str], width: int | None) -> str:
    """How a group is written and which commands take it, then what can be chosen of it."""
    longest = max(map(len, choices), default=0)
    lines = [f"{written(group)}  ({', '.join(commands_with(group))})"]
    for name in choices:
        lines.append(f"  {name:{longest}}  {said_of(group, name)}")
    if width is not None:
        below = " " * (longest + 4)
        lines = [_folded(line, width, below) for line in lines]
    return "\n".join(lines)


def _folded(line: str, width: int, below: str) -> str:
    """A line broken between words at a width, with `below` before what goes on; no word of a
    command is parted."""
    return fill(
        line,
        width,
        subsequent_indent=below,
        break_long_words=False,
        break_on_hyphens=False,
    )


def written(group: str) -> str:
    """How a choice of a group is said on the command line."""
    if group == "study":
        return "study NAME"
    return f"{group}=[…]" if group in SEVERAL else f"{group}=…"


def said_of(group: str, name: str) -> str:
    """What the headings of a choice's yaml say, the command that it is for last."""
    found = headings((CONFIGS / group / f"{name}.yaml").read_text(encoding="utf-8"))
    uses = [heading for heading in found if heading.startswith(USAGE)]
    words = [heading for heading in found if heading not in uses]
    return "  ".join([" · ".join(words), *uses])


def commands_with(group: str) -> list[str]:
    """The commands that have a group among their defaults."""
    return [
        file.stem.replace("_", "-") for file in sorted(CONFIGS.glob("*.yaml")) if _has(file, group)
    ]


def _has(file: Path, group: str) -> bool:
    if file.stem == "base":
        return False
    defaults = yaml.safe_load(file.read_text(encoding="utf-8"))["defaults"]
    return any(group in entry for entry in defaults if isinstance(entry, dict))
