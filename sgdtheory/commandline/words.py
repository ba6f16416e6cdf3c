"""What was typed, as Hydra's grammar reads it."""

import re
from collections.abc import Iterator
from contextlib import suppress

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

# keys whose values are names of things outside
FILES = (
    "minima",
    "start",
    "checkpoint.key",
    "checkpoint.prefix",
)


def quoted(word: str) -> str:
    """`minima=epoch=3.ckpt` as Hydra reads it: names of files that its grammar has no room for
    stand in quotes."""
    key, equals, value = word.partition("=")
    if key.lstrip("+") not in FILES or not equals:
        return word
    with suppress(HydraException):
        OverridesParser.create().parse_override(word)
        return word
    listed = re.fullmatch(r"\[(.*)\]", value)
    names = [name.strip() for name in (listed[1].split(",") if listed else [value])]
    if any(not name or name[0] in "'\"[{(" or {'"', "'"} & set(name) for name in names):
        return word
    quoted = ",".join(f"'{name}'" for name in names)
    return f"{key}=[{quoted}]" if listed else f"{key}={quoted}"


def jobs_of(words: list[str]) -> Iterator[list[str]]:
    """Jobs of a sweep, as few as have every value in one of them."""
    values = [_values_of(word) for word in words]
    for k in range(max(map(len, values), default=1)):
        yield [each[min(k, len(each) - 1)] for each in values]


def _values_of(word: str) -> list[str]:
    """The override with each of the values that it sweeps over; itself where it is none."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return [word]
    if not override.is_sweep_override():
        return [word]
    key = word.split("=")[0]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def key_set_by(word: str) -> str:
    """`+landscape.learning_rate=0.1` → landscape.learning_rate; `model@x.y=…` → model"""
    found = re.match(r"[+~]*([\w.]+)", word)
    return found.group(1) if found else ""


def in_ascii(word: str) -> str:
    """`data.path=/home/jörg/pack.npz` with quotes round the value, which Hydra reads without them
    in ASCII alone."""
    key, equals, value = word.partition("=")
    if value.isascii() or re.search(r"""['"]|\$\{""", value):
        return word
    special = r"\s,=\[\]{}()"  # what has a meaning of its own between values
    return f"{key}{equals}" + re.sub(
        rf"[^{special}]*[^\x00-\x7f{special}][^{special}]*", lambda found: f"'{found[0]}'", value
    )


def is_below(key: str, whole: str) -> bool:
    """Whether a key is another one, or a part of it: `sgd.steps` is below `sgd`."""
    return f"{key}.".startswith(f"{whole}.")


def root_of(word: str) -> str:
    """`model@x.y=…`, `+model.width=…` → model."""
    found = re.match(r"[+~]*(\w+)", word)
    return found.group(1) if found else ""
