"""Many runs read for one table: what each says, and by which settings they fall into groups. No
torch."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sgdtheory.errors import UserError
from sgdtheory.report.copies import once
from sgdtheory.report.figures.table import flatten
from sgdtheory.report.stdio import pasted
from sgdtheory.runs.configuration import refuse_edited
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.runs.foreign import MOST_YAML, held, refuse_strange_yaml
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import RunState, results_of
from sgdtheory.statistics.rows import Row, Rows

# parts of a configuration that tell runs of one group apart: a seed, where a run is kept, and which
# points it began with
SAMPLES = ("seed", "run", "minima", "start")
# words of a command line besides: how it was done
MANNER = ("executor", "device", "threads", "experiment", "study")
SEED = re.compile(r"^seed:.*\n", re.MULTILINE)
KEY = re.compile(r"[+~]*(\w+)")
MOST_NAMED = 4  # settings in the name of a group
NO_SETTINGS = "as by default"
Settings = Mapping[str, object]  # of a configuration, nested keys with dots


class Brief(NamedTuple):
    """A finished run in short."""

    path: Path
    command: str  # with the name of its study
    seed: str
    overrides: tuple[str, ...]
    settings: Settings  # but for SAMPLES
    results: Json

    @property
    def claims(self) -> dict[str, Row]:
        """By name, the headline first."""
        return {str(claim["name"]): claim for claim in self.results.get("claims", [])}

    @property
    def headline(self) -> Row | None:
        return next(iter(self.claims.values()), None)


class Group(NamedTuple):
    """Runs that differ in nothing but their seeds."""

    name: str
    runs: list[Brief]  # no two of them the same
    remarks: Sequence[str] = ()  # on copies that are left out

    @property
    def seeds(self) -> str:
        """0, 1, 2; 0 … 9 where they are many in a row."""
        seeds = sorted({run.seed for run in self.runs}, key=_by_number)
        numbers = [int(seed) for seed in seeds if seed.isdigit()]
        are_numbers = len(numbers) == len(seeds)
        if len(seeds) > MOST_NAMED and are_numbers and _are_in_a_row(numbers):
            return f"{seeds[0]} … {seeds[-1]}"
        return ", ".join(seeds)


def _are_in_a_row(numbers: Sequence[int]) -> bool:
    first = numbers[0]
    return list(numbers) == list(range(first, first + len(numbers)))


def _by_number(text: str) -> tuple[int, str]:
    if text.isdigit():
        return int(text), text
    return 0, text


def row_of(path: Path, state: RunState) -> Row:
    """A run that may not be finished, or is damaged: seed, overrides, its headline number, and why
    there is none."""
    status, manifest, units = state
    why = manifest.get("why") or ""
    results: Json = {}
    if status == "done":
        try:
            results = results_of(path, manifest)
        except (CorruptFile, UserError) as fault:
            status = "damaged"
            why = str(fault)
    claims = results.get("claims") or [{}]
    headline = claims[0]
    return {
        "run": str(path),
        "command": manifest.get("command"),
        "study": _study(results),
        "status": status,
        "why": why,
        "seed": manifest.get("seed"),
        "overrides": " ".join(map(str, manifest.get("overrides", []))),
        "landscape": results.get("landscape"),
        "claim": headline.get("name"),
        "value": headline.get("value"),
        "stderr": headline.get("stderr"),
        "holds": headline.get("holds"),
        "seconds": results.get("seconds"),
        "units": len(units),
        "units_done": sum(unit["status"] == "done" for unit in units),
    }


def brief(path: Path) -> Brief:
    """A finished run; a UserError where there is none."""
    manifest = Folder(path).read_object("manifest.json")
    results = results_of(path, manifest)
    if not results:
        raise UserError(unfinished(path, manifest))
    refuse_edited(path, manifest)
    overrides = []
    for word in map(str, manifest.get("overrides", [])):
        value = word.partition("=")[2]
        if not _is_sample(word, value):
            overrides.append(word)
    return Brief(
        path,
        _command(manifest, results),
        str(results.get("seed", "–")),
        tuple(overrides),
        _settings(_config(path), str(path / "config.yaml")),
        results,
    )


def _command(manifest: Json, results: Json) -> str:
    """What was run: of two studies one claim's name may be of two quantities."""
    command = str(results.get("command", manifest.get("command", "")))
    return f"{command} {_study(results) or ''}".strip()


def _study(results: Json) -> str | None:
    name = (results.get("study") or {}).get("name")
    return name and str(name)


def unfinished(path: Path, manifest: Json) -> str:
    """What is said of a directory that has no results."""
    if not manifest:
        return (
            f"{path}: no run is here (no manifest.json); `sgdtheory status` lists the runs "
            f"under ./runs"
        )
    command = pasted(manifest.get("command_line")) or "the command that began it"
    return (
        f"{path}: this run is not finished, there is nothing to report yet; go on with\n  {command}"
    )


def _config(path: Path) -> str:
    try:
        return held(path, "config.yaml", MOST_YAML).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _settings(config: str, name: str) -> Settings:
    """What a configuration says besides SAMPLES; those of other seeds are not read again."""
    refuse_strange_yaml(config, name)
    return _parsed(SEED.sub("", config))


@lru_cache(maxsize=64)
def _parsed(config: str) -> Settings:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is
    read = yaml.load(config, loader)
    whole = flatten(read or {})
    return {key: value for key, value in whole.items() if not _is_sample(key, value)}


def _is_sample(key: str, value: object) -> bool:
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


def differing(runs: Sequence[Brief]) -> list[str]:
    """The settings in which runs are not all equal, in the order in which they first appear."""
    kinds = {id(run.settings): run.settings for run in runs}  # runs of a group share theirs
    keys: dict[str, None] = {}
    for settings in kinds.values():
        keys |= dict.fromkeys(settings)
    found = []
    for key in keys:
        values = {str(settings.get(key)) for settings in kinds.values()}
        if len(values) > 1:
            found.append(key)
    return found


def groups_of(runs: Sequence[Brief]) -> list[Group]:
    """Runs of equal command and settings together, in the order in which they come, each group by
    its seeds, copies of a run once; named by the overrides in which they differ, or by their
    settings where two groups would be called the same."""
    keys = differing(runs)
    groups: dict[tuple[str, ...], list[Brief]] = {}
    for run in runs:
        values = [str(run.settings.get(key)) for key in keys]
        groups.setdefault((run.command, *values), []).append(run)
    firsts = [members[0] for members in groups.values()]
    names = _names(firsts, keys)
    found = []
    for name, members in zip(names, groups.values(), strict=True):
        found.append(_group(name, members))
    return found


def _group(name: str, runs: Sequence[Brief]) -> Group:
    places = {run.path: run for run in runs}
    kept, remarks = once((run.path, run.results.get("config_hash") or run.path) for run in runs)
    samples = [places[path] for path in kept]
    return Group(name, sorted(samples, key=lambda run: _by_number(run.seed)), remarks)


def _names(runs: Sequence[Brief], keys: Sequence[str]) -> list[str]:
    """What groups are called, of each of which there is a run."""
    asked = [_words(run) for run in runs]
    shared = set(shared_words(runs)) if len(runs) > 1 else set()
    names = [_without(words, shared) for words in asked]
    if len(set(names)) < len(names):
        names = [_by_settings(run, keys) for run in runs]
    if len({run.command for run in runs}) > 1:
        names = [f"{run.command} {name}" for run, name in zip(runs, names, strict=True)]
    return [name.strip() or NO_SETTINGS for name in names]


def shared_words(runs: Sequence[Brief]) -> list[str]:
    """The overrides that all runs have."""
    first, *others = [_words(run) for run in runs]
    common = set(first).intersection(*others)
    return [word for word in first if word in common]


def _without(words: Sequence[str], shared: set[str]) -> str:
    return " ".join(word for word in words if word not in shared)


def _words(run: Brief) -> list[str]:
    """The overrides that say what was done."""
    return [word for word in run.overrides if not word.startswith(MANNER)]


def _by_settings(run: Brief, keys: Sequence[str]) -> str:
    told = [f"{key}={run.settings[key]}" for key in keys if key in run.settings]
    more = len(told) - MOST_NAMED
    shown = told[:MOST_NAMED]
    if more > 0:
        shown.append(f"… {more} more")
    return " ".join(shown)


def edges_connected(group: Group) -> tuple[int, int]:
    """(edges that are connected, those of which it can be said) of the connect runs of a group."""
    edges: Rows = []
    for run in group.runs:
        edges += run.results.get("edges", [])
    verdicts = [str(edge.get("verdict", "")) for edge in edges]
    connected = sum(verdict.startswith("connected") for verdict in verdicts)
    apart = sum(verdict.startswith("not connected") for verdict in verdicts)
    return connected, connected + apart
