"""The loop over units: each that nobody else does is done, with its status told at both ends."""

import contextlib
import os
import time
import traceback
from collections.abc import Callable

from sgdtheory.errors import RunError, UserError, in_a_line
from sgdtheory.execution.versions import versions
from sgdtheory.runs.folder import CorruptFile, DirectoryGone
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.plain import Facts
from sgdtheory.runs.processes import Process, this
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder

Killed = Callable[[Process | None], str]
TERMINAL_STATUSES = ("done", "failed")  # what a unit is when nobody has to do it any more


def work_through(run: Run, units: list[Unit], killed: Killed = lambda process: "") -> None:
    """Do every unit that nobody else does, in order; wait for those that another process holds.

    `killed(process)`: why a unit counts as failed that this process left behind; empty: it is gone
    on with.
    """
    left = units
    while left:
        held = []
        for unit in left:
            stop_if_asked()
            folder = run.folder(unit)
            with folder.lock(looks_on=False) as mine:
                if not mine:
                    held.append(unit)
                elif (now := folder.status)["status"] not in TERMINAL_STATUSES:
                    why = killed(_worker_of(now)) if now["status"] == "running" else ""
                    if why:
                        folder.write_json("status.json", {**now, "status": "failed", "why": why})
                    else:
                        do_unit(unit, folder)
        left = held
        if left:
            time.sleep(0.1)


def close(folder: UnitFolder, why: Callable[[], str]) -> bool:
    """Say of a unit that nobody does any more why it has failed; nothing where `why` is empty, or
    it is done. False where somebody still holds it.

    It is looked at while it is held: to make a lease has a network file system forget what it
    remembers of the directory.
    """
    with folder.lock(looks_on=False) as mine:
        if not mine:
            return False
        now = folder.status
        if now["status"] not in TERMINAL_STATUSES and (said := why()):
            folder.write_json("status.json", {**now, "status": "failed", "why": said})
    return True


def _worker_of(status: Facts) -> Process | None:
    """Who wrote that a unit is running: a number alone may be another process's by now."""
    try:
        return Process(*status["worker"])
    except (KeyError, TypeError):
        return None


def do_unit(unit: Unit, folder: UnitFolder) -> None:
    """One unit, from the newest state on disk to its result, with its status told at both ends."""
    began, cpu = time.monotonic(), time.process_time()
    before = folder.read_object("status.json")
    folder.write_json("unit.json", {"name": unit.name, "hash": unit.hash, "science": unit.config})
    # those that it was begun with
    made = {"versions": {**versions(), **before.get("versions", {})}}
    folder.write_json(
        "status.json", {**before, "status": "running", "pid": os.getpid(), "worker": this(), **made}
    )

    def close(status: str, **facts: object) -> None:
        seconds = before.get("seconds", 0.0) + time.monotonic() - began
        cpu_seconds = before.get("cpu_seconds", 0.0) + time.process_time() - cpu
        folder.write_json(
            "status.json",
            {"status": status, "seconds": seconds, "cpu_seconds": cpu_seconds, **made, **facts},
        )

    try:
        if folder.written() is None:  # else it was killed just before it could say so
            unit.work(folder)
        folder.forget_states()
    except (
        KeyboardInterrupt,
        OSError,
        CorruptFile,
    ):  # the user or the disk: the unit is not at fault, and what is kept stays
        with contextlib.suppress(OSError, DirectoryGone):
            close("unfinished")
        raise
    except UserError as fault:  # of what was asked for: to do it again gives the same
        folder.flush()
        close("failed", why=str(fault), refused=True)
    except RunError as fault:
        folder.flush()
        close("failed", why=str(fault))
    except Exception as fault:
        folder.write_text("traceback.txt", traceback.format_exc())
        close("failed", why=f"{in_a_line(fault)} (see {folder.path / 'traceback.txt'})")
    else:
        close("done")
