"""The loop over units: what is missing, what it would cost, what has come of it. Who does the work is an executor's choice."""

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sgdtheory import __version__
from sgdtheory.commandline.config import Settings, Task
from sgdtheory.commandline.earlier import changed_since
from sgdtheory.faults import Failure, Mistake
from sgdtheory.folder import OURS, Damaged, Gone, sha256_of
from sgdtheory.foreign import MOST_YAML, bytes_of
from sgdtheory.processes import Process, this
from sgdtheory.progress import Watcher
from sgdtheory.run import Estimate, Interrupted, Pipeline, Run, Unit, UnitFolder, stop_if_asked, stoppable
from sgdtheory.versions import otherwise, strangers, versions

Killed = Callable[[Process | None], str]
OVER = ("done", "failed")  # what a unit is when nobody has to do it any more


class Plan(NamedTuple):
    """What a task would do: units, wall-clock seconds, bytes of memory, bytes on disk."""

    path: Path
    units: int
    done: int
    seconds: float
    memory: float
    disk: float
    workers: int
    each: float
    names: list[str]
    checks: list[str]  # what landscapes say of themselves


def plan(task: Task) -> Plan:
    """What a task would do and cost, from short measurements; writes nothing.

    As many units as are known, each like the first of them; or those that a pipeline foresees, each with its own cost.
    """
    run, settings = task.open(), task.settings
    checks = self_checks(task.pipeline)
    units = task.pipeline.units(run)
    pending = [unit for unit in units if run.folder(unit).status["status"] != "done"]
    prepare_process(settings, settings.executor.count(settings))
    costs: list[tuple[str, Estimate]] = []
    if pending and hasattr(task.pipeline, "foresee"):
        costs = task.pipeline.foresee(run, pending)
    elif pending:
        each = task.pipeline.estimate(pending[0])
        costs = [(unit.name, each) for unit in pending]
    workers = max(1, min(settings.executor.count(settings), len(costs)))
    seconds = [cost.seconds for _, cost in costs]
    return Plan(
        path=run.path,
        units=len(units) - len(pending) + len(costs),
        done=len(units) - len(pending),
        seconds=max([sum(seconds) / workers, -(-len(costs) // workers) * min(seconds, default=0.0), *seconds], default=0.0),
        memory=workers * max((cost.memory for _, cost in costs), default=0.0),
        disk=sum(cost.disk for _, cost in costs),
        workers=workers,
        each=sum(seconds) / max(1, len(seconds)),
        names=[name for name, _ in costs],
        checks=checks,
    )


def self_checks(pipeline: Pipeline) -> list[str]:
    """What the self-check of each landscape found, a line each; Mistake where one is no function
    of its parameters alone."""
    from sgdtheory.roles import self_check_of

    several = getattr(pipeline, "landscapes", {})
    landscapes = [getattr(pipeline, "landscape", None), *several.values()]
    dtype = getattr(pipeline, "dtype", "float32")
    said = [self_check_of(landscape, dtype) for landscape in landscapes]
    return [line for line in said if line is not None]


def execute(task: Task, watcher: Watcher, retry_failed: bool = False, command_line: str = "") -> Mapping[str, Any]:
    """Do what is missing of a task, write its results, and give them; a finished run gives what it wrote before.

    Raises Mistake when the directory holds another run, Failure when a unit failed, Interrupted when asked to stop.
    """
    run = task.open()
    refuse_another(run, task)
    if run.manifest.get("status") == "done" and run.is_whole():
        return _already(run, watcher)
    checks = self_checks(task.pipeline)
    with run.lock() as mine, stoppable():
        if not mine:
            raise Failure(f"another process is working on {run.path}; wait for it, `sgdtheory status` shows how far it is")
        began, spent = time.monotonic(), run.manifest.get("seconds", 0.0)
        watcher = replace(watcher, log=run.path / "log.txt")
        facts = {**_facts(run, task), "self_check": checks, "config_sha256": sha256_of(task.yaml)}
        run.note(status="running", command_line=command_line, **facts)
        run.write_text("config.yaml", task.yaml)
        status, why = "failed", ""
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
        except (Failure, Mistake, OSError) as fault:
            run.demand_presence()  # or that is what went wrong
            why = str(fault)
            raise
        except Exception as fault:
            why = f"{type(fault).__name__}: {fault}"
            raise
        finally:
            watcher.write_down(f"{status}{': ' if why else ''}{why}")
            seconds = spent + time.monotonic() - began
            _note_if_possible(run, status=status, why=why, finished=time.time(), seconds=seconds)


def _already(run: Run, watcher: Watcher) -> Mapping[str, Any]:
    """The results of a finished run; what was drawn of them and is not there any more is drawn again."""
    watcher.say(f"already done: {run.path}")
    if other := otherwise(run.manifest.get("versions", {})):
        watcher.say(f"computed with {other}: the result stays; another run.dir= or run.root= has it computed anew")
    if not all((run.path / name).exists() for name in run.manifest.get("drawn", ["report.html"])):
        _draw(run)
    return run.read_object("results.json")


def _refuse_failed(run: Run, task: Task) -> None:
    failed = [row for row in run.read_list("units.json") if row["status"] == "failed"]
    if failed:
        told = "; ".join(f"{row['name']}: {row['why']}" for row in failed[:2])
        count = f"{len(failed)} of {len(task.pipeline.units(run))} units failed"
        raise Failure(f"{count} ({told}); --retry-failed does them again")


def _draw(run: Run) -> None:
    """The report with its pictures, and in the manifest what there is of them."""
    from sgdtheory.report import draw

    draw(run.path)
    drawn = ["report.html", *sorted(f"figures/{path.name}" for path in run.path.glob("figures/[!.]*"))]
    if drawn != run.manifest.get("drawn"):  # or an old run would count as the newest
        run.note(drawn=drawn)


def _note_if_possible(run: Run, **facts: Any) -> None:
    """The end of a run, in its manifest; a full disk, which may be why it ended, must not hide the reason."""
    try:
        run.note(**facts)
    except (OSError, Gone):
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
                run.folder(unit).pardon()
            if again or row["status"] not in OVER:
                pending.append(unit)
        if not pending:
            return
        tried |= {unit.hash for unit in pending}
        with watcher.watching(run, units):
            task.settings.executor.do(run, pipeline, task.settings, pending)


def work_through(run: Run, pipeline: Pipeline, units: list[Unit], killed: Killed = lambda process: "") -> None:
    """Do every unit that nobody else does, in order; wait for those that another process holds.

    `killed(process)`: why a unit counts as failed that this process left behind; empty: it is gone on with.
    """
    left = units
    while left:
        held = []
        for unit in left:
            stop_if_asked()
            folder = run.folder(unit)
            with folder.lock() as mine:
                if not mine:
                    held.append(unit)
                elif (now := folder.status)["status"] not in OVER:
                    why = killed(_worker_of(now)) if now["status"] == "running" else ""
                    if why:
                        folder.write_json("status.json", {**now, "status": "failed", "why": why})
                    else:
                        do_unit(pipeline, unit, folder)
        left = held
        if left:
            time.sleep(0.1)


def _worker_of(status: Mapping[str, Any]) -> Process | None:
    """Who wrote that a unit is running: a number alone may be another process's by now."""
    try:
        return Process(*status["worker"])
    except (KeyError, TypeError):
        return None


def do_unit(pipeline: Pipeline, unit: Unit, folder: UnitFolder) -> None:
    """One unit, from the newest state on disk to its result, with its status told at both ends."""
    began, cpu = time.monotonic(), time.process_time()
    before = folder.read_object("status.json")
    folder.write_json("unit.json", {"name": unit.name, "hash": unit.hash, "science": unit.science})
    made = {"versions": {**versions(), **before.get("versions", {})}}  # those that it was begun with
    folder.write_json("status.json", {**before, "status": "running", "pid": os.getpid(), "worker": this(), **made})

    def close(status: str, **facts: Any) -> None:
        seconds = before.get("seconds", 0.0) + time.monotonic() - began
        cpu_seconds = before.get("cpu_seconds", 0.0) + time.process_time() - cpu
        folder.write_json("status.json", {"status": status, "seconds": seconds, "cpu_seconds": cpu_seconds, **made, **facts})

    try:
        if folder.written() is None:  # else it was killed just before it could say so
            pipeline.do(unit, folder)
        folder.forget_states()
    except (KeyboardInterrupt, OSError, Damaged):  # the user or the disk: the unit is not at fault, and what is kept stays
        with contextlib.suppress(OSError, Gone):
            close("unfinished")
        raise
    except (Failure, Mistake) as fault:
        folder.flush()
        close("failed", why=str(fault))
    except Exception as fault:
        folder.write_text("traceback.txt", traceback.format_exc())
        first = str(fault).splitlines()[0] if str(fault) else ""
        close("failed", why=f"{type(fault).__name__}: {first} (see {folder.path / 'traceback.txt'})")
    else:
        close("done")


def finish(run: Run, task: Task, seconds: float) -> dict[str, Any]:
    """Write what a run has found: clouds, logs, units, numbers, table, report."""
    from sgdtheory.report import table_csv
    from sgdtheory.roles import title_of

    units = task.pipeline.units(run)
    results = task.pipeline.finish(run)
    rows = run.status_of_units(units)
    landscape = getattr(task.pipeline, "landscape", None)
    found = {
        "command": task.command,
        "seed": run.science.get("seed"),
        "landscape": title_of(landscape),
        "dim": getattr(landscape, "dim", None),
        "device": task.settings.device,
        "seconds": seconds,
        "version": __version__,
        "config_hash": run.hash,
        "warnings": [*warnings_of(task.pipeline), *strangers(rows)],
        "claims": [claim.as_dict() for claim in results.claims],
        **results.numbers,
        **results.tables,
    }
    files = {name: run.write_tensors(name, tensors) for name, tensors in results.clouds.items()}
    logged = [{"unit": unit.name, **row} for unit in units for row in run.folder(unit).logged()]
    files["metrics.jsonl"] = run.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in logged))
    run.write_json("units.json", rows)
    files["results.json"] = run.write_json("results.json", found)
    files["table.csv"] = run.write_text("table.csv", table_csv(found))
    run.note(files=files, cost={key: sum(row.get(key, 0.0) for row in rows) for key in ("seconds", "cpu_seconds")})
    _draw(run)
    return found


def warnings_of(pipeline: Pipeline) -> list[str]:
    """What the user should know of the data before believing the rest: one line, or none."""
    sources = (getattr(pipeline, name, None) for name in ("landscape", "network"))
    found: list[Any] = [getattr(source, "data", None) or getattr(source, "keywords", {}).get("data") for source in sources]
    return [f"data {data.name}: {'; '.join(data.remarks)}" for data in found if getattr(data, "remarks", ())]


def refuse_another(run: Run, task: Task) -> None:
    """A directory that holds another run, something else, or a configuration that was edited is left alone."""
    manifest = run.manifest
    if not manifest:
        if run.path.exists() and not _is_empty(run, task):
            raise Mistake(f"{run.path} holds something that is no run; give run.dir an empty or a new directory")
        return
    if "config_hash" not in manifest:
        raise Mistake(f"{run.path} holds something that is no run; give run.dir an empty or a new directory")
    if manifest["config_hash"] != run.hash:
        if manifest.get("landscape") not in (None, task.ground) and _is_same_but_for_sources(run, task):
            raise Mistake(f"{changed_since(run.path)}, in another run.dir")
        other = f"{manifest.get('command')} {str(manifest['config_hash'])[:8]}"
        raise Mistake(f"{run.path} holds another run ({other}); give another run.dir")
    _refuse_edited(run, manifest, task.yaml)


def _is_same_but_for_sources(run: Run, task: Task) -> bool:
    """Whether a run's configuration says the same as a task's: then it is what the words stand for that has changed."""
    try:
        return _config_digest(run) == sha256_of(task.yaml)
    except (Mistake, OSError):  # it is no file of ours
        return False


def _config_digest(run: Run) -> str:
    """SHA-256 of the configuration that is kept. It is compared, not built: it may be a stranger's."""
    return hashlib.sha256(bytes_of(run.path, "config.yaml", MOST_YAML)).hexdigest()


def _is_empty(run: Run, task: Task) -> bool:
    """Whether a directory holds nothing but what a run that was killed at once may have left."""
    if not run.path.is_dir():
        return False
    for path in run.path.iterdir():
        theirs = path.name == "config.yaml" and not _is_same_but_for_sources(run, task)
        if theirs or not (path.name in (".lock", ".lease", "config.yaml") or OURS.fullmatch(path.name)):
            return False
    return True


def _refuse_edited(run: Run, manifest: Mapping[str, Any], yaml: str) -> None:
    """Raise Mistake where config.yaml is neither what the run wrote nor what it is about to write."""
    try:
        kept = _config_digest(run)
    except FileNotFoundError:
        return  # it is about to be written again
    known = manifest.get("config_sha256")
    if known is not None and kept not in (known, sha256_of(yaml)):
        where = run.path / "config.yaml"
        raise Mistake(f"{where} was edited since the run began: put it back, or give it to --from for a new run")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_process(settings: Settings, workers: int) -> None:
    """A thread count that depends on nothing but the configuration, since sums depend on it in their last bits.

    For numpy's and scipy's BLAS too, which else takes all cores in every worker: L-BFGS spent half its time spinning there.
    """
    import scipy.linalg  # noqa: F401  (only a library that is loaded can be told)
    import torch
    from threadpoolctl import threadpool_limits

    threads = max(1, (settings.threads or cores()) // workers)
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    keep_memory()


def keep_memory() -> None:
    """Have glibc keep what tensors free instead of handing it back and faulting it in again.

    mallopt(3): M_TRIM_THRESHOLD at its largest and M_MMAP_MAX at 0, for M_MMAP_THRESHOLD ends at 32 MiB, and a convolution's
    output on a part of CIFAR is more. It saves 10 % of a ResNet's step; of ResNet-20 on 682 images 40 % of a gradient, for a
    tenth more memory at the peak, and 35 % of a Hessian-vector product, for half as much again. Only glibc has it.
    """
    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(-1, 2**31 - 1)
        libc.mallopt(-4, 0)


def _facts(run: Run, task: Task) -> dict[str, Any]:
    """What the manifest says of a run besides how it went."""
    import torch

    device = task.settings.device
    return {
        "command": task.command,
        "config_hash": run.hash,
        "root": os.path.relpath(run.root, run.path),
        "units_root": os.path.relpath(run.units_root, run.path),
        "trust": list(task.trust),
        "overrides": list(task.overrides),
        "seed": run.science.get("seed"),
        "minima": run.science.get("minima"),  # digests of the points that were given
        "started": run.manifest.get("started", time.time()),
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        "cores": cores(),
        "threads": task.settings.threads,
        "versions": {**versions(), "python": platform.python_version()},
        "landscape": task.ground,
        "git": _git(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git() -> str | None:
    """The commit of a checkout that the package is run from; None for an installed one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        words = ["git", "describe", "--always", "--dirty"]
        found = subprocess.run(words, cwd=here, capture_output=True, encoding="utf-8", errors="replace", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
