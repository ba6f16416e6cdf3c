"""What a run was made of: its facts, its files, and the command that repeats it. No torch."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.table import percent
from sgdtheory.report.stdio import paste
from sgdtheory.statistics.numbers import duration
from sgdtheory.statistics.rows import Row

FILES = {
    "results.json": "every number",
    "table.csv": "the first table",
    "config.yaml": "the configuration",
    "manifest.json": "versions, times, where it was run",
    "units.json": "the units of work",
    "metrics.jsonl": "losses and rates, step by step",
    "log.txt": "what was said",
    "minima.safetensors": "the minima [P, n]",
}
FOLDERS = {"paths": "the paths", "trajectories": "records of the clouds", "snapshots": "snapshots"}
MOST_LISTED = 60  # files of a folder
NUMBERED = re.compile(r"\d+")


class File(NamedTuple):
    """A file of a run, as a page links it."""

    name: str
    link: str
    words: str


def link_to(file: Path, page_folder: Path) -> str:
    """The address of a file as a page in this folder has it."""
    return quote(os.path.relpath(file, page_folder))


def files_of(path: Path, page_folder: Path) -> list[File]:
    """What a run has left behind, with what it is."""
    known = [(path / name, words) for name, words in FILES.items()]
    for folder, words in FOLDERS.items():
        held = sorted((path / folder).glob("[!.]*.safetensors"), key=_by_number)
        known += [(file, words) for file in held[:MOST_LISTED]]
    return [
        File(str(file.relative_to(path)), link_to(file, page_folder), words)
        for file, words in known
        if file.is_file()
    ]


def _by_number(file: Path) -> tuple[list[int], str]:
    numbers = [int(digits) for digits in NUMBERED.findall(file.name)]
    return numbers, file.name


def again(run: RunData) -> str:
    """The command that repeats the run from its own configuration."""
    words = ["sgdtheory", *run.command.split(), "--from", str(run.path / "config.yaml")]
    for package in run.manifest.get("trust", []):
        words += ["--trust", str(package)]
    return paste(words)


def facts_of(run: RunData) -> dict[str, str]:
    """What the run was made of, by name."""
    manifest = run.manifest
    results = run.results
    versions: dict[str, object] = manifest.get("versions", {})
    dimension = ""
    if results.get("dim") is not None:
        dimension = f"{results['dim']:,}"
    time = ""
    if results.get("seconds") is not None:
        time = duration(results["seconds"])
    facts = {
        "landscape": results.get("landscape"),
        "to be known": " · ".join(results.get("warnings", [])),
        "minima": _origin(results.get("minima_from")),
        "dimension": dimension,
        "device": _device(manifest),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "git commit": manifest.get("git"),
        "begun": moment(manifest.get("started")),
        "time": time,
        "cost": _cost(manifest.get("cost", {})),
        "seed": results.get("seed"),
        "self-check": " · ".join(manifest.get("self_check", [])),
        "configuration": results.get("config_hash"),
        "directory": run.path,
    }
    return {name: str(fact) for name, fact in facts.items() if fact not in (None, "")}


def _device(manifest: Row) -> str:
    """cuda · NVIDIA H200 · 16 cores"""
    words = []
    for key in ("device", "device_name"):
        if manifest.get(key):
            words.append(str(manifest[key]))
    if manifest.get("cores"):
        words.append(f"{manifest['cores']} cores")
    return " · ".join(words)


def _cost(cost: Row) -> str:
    """The seconds that the units of a run took together."""
    told = []
    for name, what in (("seconds", "in its units"), ("cpu_seconds", "of CPU time")):
        if name in cost:
            told.append(f"{duration(cost[name])} {what}")
    return ", ".join(told)


def _origin(found: Row | None) -> str | None:
    """Where the minima of a run came from."""
    if not found:
        return None
    if "run" not in found:
        if "files" in found:
            return f"of {', '.join(found['files'])}"
        if "given" in found:
            return f"given {found['given']}"
        return str(found["landscape"])
    error = ""
    if found["train_error"] is not None:
        error = f", training {found['error']} {percent(found['train_error'])}"
    finished_at = moment(found["finished"]) or "at an unknown time"
    return f"of {found['run']}, finished {finished_at}{error}"


def moment(seconds: float | None) -> str | None:
    """2026-11-29 20:41 UTC"""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
