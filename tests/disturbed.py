"""Commands over one root of runs, killed between two file operations; and what an undisturbed run
leaves behind, to the bit."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.forks import WORDS, Ended, Server

FEW = ("sgd.steps=3", "sgd.batch_size=4")
SHORT = (
    "plane=0",
    "autoneb.steps=2",
    "autoneb.last_steps=2",
    "autoneb.retries=0",
    "baselines.gradients=4",
    "baselines.dense=3",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "two": (
        "train",
        "landscape=double_well",
        "minima=2",
        "polish=none",
        "run.name=two",
        *FEW,
        *WORDS,
    ),
    "three": (
        "train",
        "landscape=double_well",
        "minima=3",
        "polish=none",
        *FEW,
        *WORDS,
    ),  # shares units with the first
    "polished": (
        "train",
        "landscape=ring",
        "minima=1",
        "polish=descent",
        "polish_steps=3",
        *FEW,
        *WORDS,
    ),
    "joined": ("connect", "minima=runs/train/two-*", *SHORT, *WORDS, "run.name=joined"),
}
VOUCHED = ("results.json", "table.csv", "metrics.jsonl", "minima.safetensors")
# Hydra composes each command once; every file operation is one at which a process may be killed; a
# page is a line that tells which results it is of; a path has few steps, each of which is kept; and a
# killed process loses nothing that it has written, so that no disk is waited for.
PREPARE = """
import copy, os
from dataclasses import replace
from pathlib import Path
import sgdtheory.runs.run, sgdtheory.report.page, sgdtheory.execution.loop, sgdtheory.pipelines.connect
from sgdtheory.commandline import front as config, task as tasks
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.runs.digests import digest
from sgdtheory.runs.folder import Folder
os.fsync = lambda descriptor: None
sgdtheory.execution.loop.git_commit = lambda: None
def draw(path, out=None):
    Folder(path).write_text("report.html", digest(sgdtheory.report.page.finished(path).results))
    return path / "report.html"
sgdtheory.report.page.draw = draw
sgdtheory.runs.unit.CHECKPOINT_SECONDS = -1.0
exact = AutoNEB.on_formula
def on_formula(self):
    found = exact(self)
    return replace(found, cycles=tuple(replace(cycle, steps=4) for cycle in found.cycles))
AutoNEB.on_formula = on_formula
front, made, composed = config.launch, tasks.task, {}
def launch(command, words, trust, from_file, job, again=None):
    key = (command, *words)
    if key not in composed:
        def task(command, cfg, *rest):
            composed[key] = copy.deepcopy(cfg), rest
            raise sgdtheory.runs.interrupt.Interrupted
        tasks.task = task
        try:
            front(command, words, trust, from_file, lambda task: None)
        except KeyboardInterrupt:
            pass
        tasks.task = made
    try:
        cfg, rest = composed[key]
        done = None if again is None or trust else config._finished(command, cfg)
        if done is not None:
            again(done)
        else:
            job(made(command, copy.deepcopy(cfg), *rest))
    except Exception as fault:
        return [fault]
    return []
config.launch = launch
"""
COMPOSE = (
    "from sgdtheory.commandline import front as config\nconfig.launch({!r}, {!r}, (), None, "
    "lambda task: None)\n"
)
KILL = """
import os, sys
left, asking, events = [{left}], [], ("os.rename", "os.remove", "os.mkdir")
def hook(event, args):
    if asking or not (event in events or event == "open" and isinstance(args[1], str) and set(args[1]) & set("wa+")):
        return
    left[0] -= 1
    if left[0] == 0:
        asking.append(1)
        if {torn} and event == "open" and "a" in args[1]:  # half a line reached the disk
            with open(args[0], "ab") as stream:
                stream.write(b'{{"half": ')
        elif {torn} and event == "open" and "w" in args[1]:
            with open(args[0], "wb") as stream:
                stream.write(b"half")
        os._exit(9)
sys.addaudithook(hook)
"""


@functools.cache
def server() -> Server:
    found = Server()
    found.do(PREPARE)
    for name, (command, *words) in COMMANDS.items():
        if (
            name != "joined"
        ):  # whose points are looked for before anything else: each start composes it
            found.do(COMPOSE.format(command, words))
    return found


def do(home: Path, *words: str, kill_at: int | None = None, torn: bool = False) -> Ended:
    """A command in a process of its own, killed at one of its file operations or not at all."""
    before = "" if kill_at is None else KILL.format(left=kill_at, torn=torn)
    return server().run(home, *words, before=before)


def bits(run: Path) -> dict[str, Any]:
    """All that a finished run says, whatever the time; what is missing is None."""
    found: dict[str, Any] = {name: _bytes(run / name) for name in VOUCHED}
    if found["results.json"] is not None:
        found["results.json"] = {**json.loads(found["results.json"]), "seconds": None}
        if "minima_from" in found["results.json"]:
            del found["results.json"][
                "minima_from"
            ]  # what was still there of the run that the points are of
    return found | {
        path.name: path.read_bytes() for path in sorted(run.glob("paths/*.safetensors"))
    }


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@functools.cache
def undisturbed() -> dict[str, tuple[str, dict[str, Any]]]:
    """By command: where its run lies, and all that it says when nothing disturbs it."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, words in COMMANDS.items():
            before = set(home.glob("runs/*/*/manifest.json"))
            ended = do(home, *words)
            assert ended.code == 0, ended
            (manifest,) = set(home.glob("runs/*/*/manifest.json")) - before
            run = manifest.parent
            found[name] = str(run.relative_to(home)), bits(run)
    return found
