"""Many runs read for one table: what each says, and by which settings they fall into groups. No
torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from sgdtheory.errors import UserError
from sgdtheory.report.configurations import Settings, differing, is_sample, settings_of, written
from sgdtheory.report.copies import once
from sgdtheory.report.stdio import pasted
from sgdtheory.runs.configuration import refuse_edited
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import RunState, results_of
from sgdtheory.statistics.rows import Row, Rows

# words of a command line besides: how it was done
MANNER = ("executor", "device", "threads", "experiment", "study")
MOST_NAMED = 4  # settings in the name of a group
CLASS = "._target_"  # ends the key that says what a part of a configuration is
NO_SETTINGS = "as by default"


class Unfinished(UserError):
    """A run has no results yet."""


class Brief(NamedTuple):
    """A finished run in short."""

    path: Path
    command: str  # with the name of its study
    seed: str
    overrides: tuple[str, ...]
    settings: Settings
    results: Json
    root: str = ""  # run.root as seen from the run, where its manifest has it

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
    def command(self) -> str:
        return self.runs[0].command

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
        kind = Unfinished if manifest else UserError
        raise kind(unfinished(path, manifest))
    refuse_edited(path, manifest)
    overrides = []
    for word in map(str, manifest.get("overrides", [])):
        value = word.partition("=")[2]
        if not is_sample(word, value):
            overrides.append(word)
    return Brief(
        path,
        _command(manifest, results),
        str(results.get("seed", "–")),
        tuple(overrides),
        settings_of(path),
        results,
        str(manifest.get("root") or ""),
    )


def briefs_of(paths: Sequence[Path]) -> tuple[list[Brief], list[str]]:
    """(the runs that are finished, a remark that names the others); a UserError where none is, or
    where there is no run."""
    found = []
    going = []
    named = []
    for path in dict.fromkeys(paths):
        try:
            found.append(brief(path))
        except Unfinished as fault:
            going.append(fault)
            named.append(str(path))
    if not found:
        raise going[0]
    if not going:
        return found, []
    are = "it is" if len(going) == 1 else "they are"
    others = ", ".join(named)
    return found, [f"left out, {are} not finished yet: {others}"]


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


def groups_of(runs: Sequence[Brief]) -> list[Group]:
    """Runs of equal command and settings together, in the order in which they come, each group by
    its seeds, copies of a run once; named by the overrides in which they differ, or by their
    settings where two groups would be called the same."""
    keys = differing([run.settings for run in runs])
    groups: dict[tuple[str, ...], list[Brief]] = {}
    for run in runs:
        settings = run.settings.values
        values = [written(settings.get(key)) for key in keys]
        groups.setdefault((run.command, *values), []).append(run)
    firsts = [members[0] for members in groups.values()]
    names = _names(firsts)
    found = []
    for name, members in zip(names, groups.values(), strict=True):
        found.append(_group(name, members))
    return found


def _group(name: str, runs: Sequence[Brief]) -> Group:
    places = {run.path: run for run in runs}
    kept, remarks = once((run.path, run.results.get("config_hash") or run.path) for run in runs)
    samples = [places[path] for path in kept]
    return Group(name, sorted(samples, key=lambda run: _by_number(run.seed)), remarks)


OfCommand = TypeVar("OfCommand", Brief, Group)


def by_command(runs: Sequence[OfCommand]) -> dict[str, list[OfCommand]]:
    """Runs, or groups of them, by what was run, in the order in which they come."""
    found: dict[str, list[OfCommand]] = {}
    for run in runs:
        found.setdefault(run.command, []).append(run)
    return found


def _names(runs: Sequence[Brief]) -> list[str]:
    """What groups are called, of each of which there is a run: by what tells it from others of its
    command."""
    commands = by_command(runs)
    names = {}
    for command, alike in commands.items():
        told = _names_of(alike, len(commands) > 1)
        for run, name in zip(alike, told, strict=True):
            whole = f"{command} {name}" if len(commands) > 1 else name
            names[run.path] = whole.strip() or NO_SETTINGS
    return [names[run.path] for run in runs]


def _names_of(runs: Sequence[Brief], has_others: bool) -> list[str]:
    """The same of groups of one command, without the command."""
    is_one_of_many = len(runs) > 1 or has_others
    shared = set(shared_words(runs)) if is_one_of_many else set()
    names = [_without(_words(run), shared) for run in runs]
    if len(set(names)) < len(names):
        names = _by_settings(runs)
    return names


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


def _by_settings(runs: Sequence[Brief]) -> list[str]:
    """By the first settings in which runs differ, as many as it takes to tell them apart."""
    keys = differing([run.settings for run in runs])
    names: list[str] = []
    for most in range(MOST_NAMED, max(MOST_NAMED, len(keys)) + 1):
        names = [_in_short(run, keys, most) for run in runs]
        if len(set(names)) == len(names):
            break
    return names


def _in_short(run: Brief, keys: Sequence[str], most: int) -> str:
    """landscape=DoubleWell landscape.height=0.25 … 3 more"""
    told = []
    for key in keys:
        if key in run.settings.values:
            value = written(run.settings.values[key])
            if key.endswith(CLASS):
                value = value.rpartition(".")[2]
            told.append(f"{key.removesuffix(CLASS)}={value}")
    more = len(told) - most
    shown = told[:most]
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
