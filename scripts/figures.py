"""Run what docs/theory.yaml names, each a command, and write docs/theory.md from the run
directories: `make figures`.

What is finished under runs/ is not done again. A command that fails ends it; a claim that does not
hold stands on the page.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sgdtheory.commandline.studies import studies
from sgdtheory.report.documentation import anchor
from sgdtheory.report.figures.drawn import drawn
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.table import claimed
from sgdtheory.report.rendering import is_judged
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import duration
from sgdtheory.statistics.rows import Rows

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
TIME = re.compile(r"# .* of CPU time")
MARKS = {True: "yes", False: "**no**", None: "cannot be said"}


def run_of(words: str) -> RunData:
    """The finished run of a command, by the line in which it says where its report is."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("sgdtheory")), *words.split()],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    print(done.stdout)
    page = re.findall(r"^report: (.+)$", done.stdout, re.MULTILINE)[-1]
    return RunData.read(Path(page).parent)


def claim_of(entry: dict[str, Any]) -> str:
    """What is claimed: of a study as its class says, without the paper's name, which stands beside
    it."""
    name = entry["command"].removeprefix("study ")
    return (
        str(entry["claim"])
        if "claim" in entry
        else re.sub(r" \([^()]*\)$", "", studies()[name]) + "."
    )


def part_of(entry: dict[str, Any]) -> dict[str, Any]:
    """One section of the page: what is claimed, what was measured, the pictures beside it."""
    if "before" in entry:
        run_of(entry["before"])
    run = run_of(entry["command"])
    pictures = list(figures_of(run, entry))
    claims = run.results["claims"]
    device = run.manifest.get("device_name") or run.manifest["device"]
    facts = {
        "claims": claims,
        "headline": claims[0],
        "seed": run.results["seed"],
        "hash": run.results["config_hash"][:8],
    }
    spent = sum(
        unit.get("cpu_seconds") or 0.0
        for unit in json.loads((run.path / "units.json").read_text(encoding="utf-8"))
    )
    facts |= {"seconds": duration(spent), "device": device, "version": run.results["version"]}
    say_time(entry["command"], facts["seconds"])
    unsaid = {"before": None, "at_length": None, "claim": claim_of(entry)}
    return unsaid | entry | facts | {"figures": pictures}


def say_time(command: str, seconds: str) -> None:
    """Write what a study took into its yaml, where `sgdtheory list study` has it from."""
    kind, _, name = command.partition(" ")
    if kind != "study":
        return
    file = HERE.parent / "configs" / "study" / f"{name}.yaml"
    directive, claim, *rest = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in rest if not TIME.fullmatch(line)]
    lines = [directive, claim, f"# {seconds} of CPU time", *kept, ""]
    file.write_text("\n".join(lines), encoding="utf-8")


def figures_of(run: RunData, entry: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The pictures asked for, as files on a white ground beside the page."""
    for figure in drawn(run):
        if entry["figures"] == "all" or figure.name in entry["figures"]:
            file = f"figures/{entry['command'].split()[-1].replace('-', '_')}-{figure.name}.svg"
            (DOCS / file).parent.mkdir(exist_ok=True)
            text = figure.svg.replace("<svg ", '<svg style="background: white" ', 1)
            (DOCS / file).write_text(text, encoding="utf-8")
            yield {"file": file, "title": figure.title, "caption": figure.caption}


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def measured(claim: dict[str, Any]) -> str:
    if claim["value"] is not None and claim["name"] in ("training_error", "test_error"):
        return claimed(claim)  # in per cent, as its sentence has it
    return str(Measured(claim["value"], claim["stderr"], "", claim["why"]))


def unpublished(entries: Rows, names: Iterable[str]) -> list[str]:
    """The studies that no entry shows."""
    shown = {entry["command"] for entry in entries}
    return [name for name in names if f"study {name}" not in shown]


def main() -> None:
    entries = yaml.safe_load((DOCS / "theory.yaml").read_text(encoding="utf-8"))
    if missing := unpublished(entries, studies()):
        sys.exit(f"docs/theory.yaml has no entry for {', '.join(missing)}: add one, with its paper")
    parts = [part_of(entry) for entry in entries]
    house = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    house.filters |= {
        "cell": cell,
        "anchor": anchor,
        "measured": measured,
        "verdict": lambda claim: MARKS[claim["holds"]] if is_judged(claim) else "",
    }
    devices = ", ".join(dict.fromkeys(part["device"] for part in parts))
    page = house.get_template("theory.md.j2").render(
        parts=parts, version=parts[0]["version"], device=devices
    )
    (DOCS / "theory.md").write_text(page, encoding="utf-8")
    print(f"{DOCS / 'theory.md'}: {len(parts)} claims")


if __name__ == "__main__":
    main()
