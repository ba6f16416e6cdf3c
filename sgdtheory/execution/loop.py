"""A task from its beginning to its results; who does its units is an executor's choice."""

import os
import platform
import time
from dataclasses import replace

from sgdtheory.errors import RunError, UserError
from sgdtheory.execution.identity import refuse_another
from sgdtheory.execution.machine import cores, git_commit, processor
from sgdtheory.execution.planning import self_checks
from sgdtheory.execution.results import draw_report, finish, warnings_of
from sgdtheory.execution.units import TERMINAL_STATUSES
from sgdtheory.execution.versions import otherwise, strangers, versions
from sgdtheory.report.progress import Watcher
from sgdtheory.runs.digests import sha256_of
from sgdtheory.runs.folder import DirectoryGone
from sgdtheory.runs.interrupt import Interrupted, stoppable
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.run import Run, to_come
from sgdtheory.runs.task import Task


def execute(
    task: Task, watcher: Watcher, retry_failed: bool = False, command_line: str = ""
) -> Facts:
    """Do what is missing of a task, write its results, and give them; a finished run gives what it
    wrote before.

    Raises UserError when the directory holds another run, or where all that failed was refused for
    what was asked for; RunError when a unit failed otherwise, Interrupted when asked to stop.
    """
    run = task.open()
    refuse_another(run, task)
    if run.manifest.get("status") == "done" and run.is_whole():
        return given_again(run, watcher)
    checks = self_checks(task.pipeline)
    with run.lock() as mine, stoppable():
        if not mine:
            raise RunError(
                f"another process is working on {run.path}; wait for it, `sgdtheory status` "
                f"shows how far it is"
            )
        began, spent = time.monotonic(), run.manifest.get("seconds", 0.0)
        watcher = replace(watcher, log=run.own("log.txt"))
        facts = {**_facts(run, task), "self_check": checks, "config_sha256": sha256_of(task.yaml)}
        run.note(status="running", command_line=command_line, **facts)
        run.write_text("config.yaml", task.yaml)
        status, why, refused = "failed", "", False
        watcher.write_down(f"begun: {command_line}")
        for warning in warnings_of(task.pipeline):
            watcher.say(f"warning: {warning}")
        for line in getattr(task.pipeline, "said", ()):
            watcher.write_down(line)
        try:
            do_units(run, task, watcher, retry_failed)
            results = finish(run, task, spent + time.monotonic() - began)
            _refuse_failed(run, task)
            run.demand_presence()
            status = "done"
            return results
        except Interrupted:
            status = "interrupted"
            raise
        except (RunError, UserError, OSError) as fault:
            run.demand_presence()  # or that is what went wrong
            why, refused = str(fault), isinstance(fault, UserError)
            raise
        except Exception as fault:
            why = f"{type(fault).__name__}: {fault}"
            raise
        finally:
            watcher.write_down(f"{status}{': ' if why else ''}{why}")
            ended: Json = {"status": status, "why": why, "refused": refused}
            seconds = spent + time.monotonic() - began
            _note_if_possible(run, **ended, finished=time.time(), seconds=seconds)


def given_again(run: Run, watcher: Watcher) -> Facts:
    """The results of a finished run; what was drawn of them and is not there any more is drawn
    again."""
    watcher.say(f"already done: {run.path}")
    if other := otherwise(run.manifest.get("versions", {})):
        watcher.say(
            f"computed with {other}: the result stays; another run.dir= or run.root= has it "
            f"computed anew"
        )
    if not all((run.path / name).exists() for name in run.manifest.get("drawn", ["report.html"])):
        draw_report(run)
    return run.read_object("results.json")


def _refuse_failed(run: Run, task: Task) -> None:
    failed = [row for row in run.read_list("units.json") if row["status"] == "failed"]
    if failed:
        told = "; ".join(f"{row['name']}: {row['why']}" for row in failed[:2])
        units = task.pipeline.units(run)
        count = f"{len(failed)} of {len(units)} units failed"
        if all(row.get("refused") for row in failed):
            raise UserError(f"{count}: {told}")
        raise RunError(f"{count} ({told}); --retry-failed does them again")


def _note_if_possible(run: Run, **facts: object) -> None:
    """The end of a run, in its manifest; a full disk, which may be why it ended, must not hide the
    reason."""
    try:
        run.note(**facts)
    except (OSError, DirectoryGone):
        if facts["status"] == "done":
            raise


def do_units(run: Run, task: Task, watcher: Watcher, retry_failed: bool) -> None:
    """Ask the pipeline for units and have them done, until there are no new ones."""
    pipeline, tried = task.pipeline, set[str]()
    while True:
        units = pipeline.units(run)
        rows = run.status_of_units(units)
        run.write_json("units.json", rows)
        done = sum(row["status"] == "done" for row in rows)
        if done and not tried:
            watcher.say(f"{done} of {len(units)} units are done already")
            for line in strangers(rows):
                watcher.say(f"warning: {line}")
        pending = []
        for unit, row in zip(units, rows, strict=True):
            again = row["status"] == "failed" and retry_failed and unit.hash not in tried
            if again:
                run.folder(unit).reset_failed()
            if again or row["status"] not in TERMINAL_STATUSES:
                pending.append(unit)
        if not pending:
            return
        tried |= {unit.hash for unit in pending}
        watcher.clock.workers = task.settings.executor.count(task.settings)
        with watcher.watching(run, units, to_come(pipeline, run)):
            task.settings.executor.do(run, task.settings, pending)


def _device_name(device: str) -> str:
    """What a device is called; empty for a GPU that this machine has not."""
    import torch

    if not device.startswith("cuda"):
        return processor()
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else ""


def _facts(run: Run, task: Task) -> Json:
    """What the manifest says of a run besides how it went."""
    device = task.settings.units_device
    return {
        "command": task.command,
        "config_hash": run.hash,
        "root": os.path.relpath(run.root, run.path),
        "units_root": os.path.relpath(run.units_root, run.path),
        "trust": list(task.trust),
        "is_closed": task.is_closed,
        "overrides": list(task.overrides),
        "seed": run.science.get("seed"),
        "minima": run.science.get("minima"),  # digests of the points that were given
        "started": run.manifest.get("started", time.time()),
        "device": device,
        "device_name": _device_name(device),
        "cores": cores(),
        "threads": task.settings.threads,
        "versions": {**versions(), "python": platform.python_version()},
        "landscape": task.ground,
        "git": git_commit(),
    }
