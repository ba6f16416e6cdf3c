"""The configurations of many runs: what each says with its references followed, and in which
settings they differ. No torch."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sgdtheory.report.figures.table import flatten
from sgdtheory.runs.foreign import MOST_YAML, held, refuse_strange_yaml

# parts of a configuration that tell runs of one group apart: a seed, where a run is kept, and which
# points it began with
SAMPLES = ("seed", "run", "minima", "start")
SEED = re.compile(r"^seed:.*\n", re.MULTILINE)
KEY = re.compile(r"[+~]*(\w+)")
REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}")
LONGEST_WAY = 10  # references that lead to one another


class Settings(NamedTuple):
    """What a configuration says, nested keys with dots, but for SAMPLES."""

    values: Mapping[str, object]  # of references, what they lead to
    referring: frozenset[str]  # the keys that only say what another one says
    parts: frozenset[str]  # the groups of keys that others refer to


def settings_of(path: Path) -> Settings:
    """Of a run's config.yaml, of none where there is none; those of other seeds are not read
    again."""
    try:
        config = held(path, "config.yaml", MOST_YAML).read_text(encoding="utf-8")
    except FileNotFoundError:
        config = ""
    refuse_strange_yaml(config, str(path / "config.yaml"))
    return _parsed(SEED.sub("", config))


@lru_cache(maxsize=64)
def _parsed(config: str) -> Settings:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is
    flat = flatten(yaml.load(config, loader) or {})
    values = {}
    referring = set()
    parts = set()
    for key, value in flat.items():
        if is_sample(key, value):
            continue
        values[key] = _followed(value, flat)
        other = _refers(value)
        if other:
            referring.add(key)
            parts.add(_group_of(other))
    return Settings(values, frozenset(referring), frozenset(parts))


def _group_of(key: str) -> str:
    return key.partition(".")[0]


def _refers(value: object) -> str:
    """The key that a value stands for; empty where it is none but its own."""
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else ""


def _followed(value: object, flat: Mapping[str, object]) -> object:
    """What a reference leads to; the last one on the way where it leads to no single value, or to
    one that tells no group from another."""
    for _ in range(LONGEST_WAY):
        key = _refers(value)
        if key not in flat or is_sample(key, flat[key]):
            break
        value = flat[key]
    return value


def is_sample(key: str, value: object) -> bool:
    """Whether a setting tells no group from another: a count of minima does, and a start that is
    numbers."""
    found = KEY.match(key)
    if found is None:
        return False
    name = found[1]
    if name not in SAMPLES:
        return False
    is_count = name == "minima" and str(value).isdigit()
    is_place = name == "start" and str(value).startswith("[")
    return not (is_count or is_place)


def differing(runs: Sequence[Settings]) -> list[str]:
    """The settings in which runs are not all equal, in the order in which they first appear; one
    that is not there is as null."""
    kinds = _kinds(runs)
    keys: dict[str, None] = {}
    for settings in kinds:
        keys |= dict.fromkeys(settings.values)
    found = []
    for key in keys:
        values = {written(settings.values.get(key)) for settings in kinds}
        if len(values) > 1:
            found.append(key)
    return found


def differing_themselves(runs: Sequence[Settings]) -> list[str]:
    """The same without settings that only say what others say."""
    kinds = _kinds(runs)
    found = []
    for key in differing(runs):
        having = [settings for settings in kinds if key in settings.values]
        if not all(key in settings.referring for settings in having):
            found.append(key)
    return found


def stated(runs: Sequence[Settings]) -> dict[str, list[str]]:
    """By key, the settings in which runs differ, a text for each run, which is empty where there is
    no such setting, or nothing of it is used: the model of a formula, which only networks refer to.
    """
    parts = frozenset[str]().union(*(settings.parts for settings in runs))
    found = {}
    for key in differing_themselves(runs):
        needed = parts & {_group_of(key)}
        using = [settings for settings in runs if needed <= settings.parts]
        values = set()
        for settings in using:
            values.add(written(settings.values.get(key)))
        if len(values) < 2:
            continue
        found[key] = [_cell(settings, key, needed) for settings in runs]
    return found


def _cell(settings: Settings, key: str, needed: frozenset[str]) -> str:
    is_used = key in settings.values and needed <= settings.parts
    return written(settings.values[key]) if is_used else ""


def _kinds(runs: Sequence[Settings]) -> list[Settings]:
    """Each once: runs of a group share theirs."""
    return list({id(settings): settings for settings in runs}.values())


def written(value: object) -> str:
    """A value as a command line says it: null, true, [1, 2], text without quotation marks."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return str(value)
