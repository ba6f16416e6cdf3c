"""A worker: `python -m sgdtheory.commandline.worker`, which does the units of the runs that it is
told of on its standard input, one run after the other.

It begins bare, and imports torch when there is something left to do for it.
"""

import json
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from sgdtheory.runs.garbage import look_again, not_looked_for

if TYPE_CHECKING:
    from sgdtheory.runs.plain import Json
    from sgdtheory.runs.run import Run
    from sgdtheory.runs.task import Task

HEAD_START = 0.5  # seconds in which its parent may have done all by itself
IDLE = 60.0  # seconds without an order after which it leaves: it holds memory


def main() -> int:
    """What a worker does: the runs' units, as their directories describe them; what it says is the
    run's log. A fault that nobody else meets ends it with status 1."""
    orders = Connection(sys.stdin.fileno(), writable=False)
    known, loaded = b"", None
    while (order := _next_order(orders, known)) is not None:
        if loaded is None or order != known:
            with not_looked_for():
                known, loaded = order, _loaded(json.loads(order))
                look_again()
        if not _worked(*loaded):
            break
    return 0


def _next_order(orders: Connection, known: bytes) -> bytes | None:
    """The newest order, None when nobody gives orders any more. Another run than that which is
    `known` takes long to load: whether it is done meanwhile is waited for first."""
    while orders.poll(IDLE):
        try:
            order = orders.recv_bytes()
        except EOFError:
            return None
        if order and not orders.poll(0.0 if order == known else HEAD_START):
            return order
    return None


def _loaded(facts: "Json") -> "tuple[Task, Run]":
    """The run of an order, with the process as it asks for."""
    from sgdtheory.commandline.load import load
    from sgdtheory.execution.executors.local import Local
    from sgdtheory.execution.machine import prepare_process
    from sgdtheory.report.stdio import ready
    from sgdtheory.runs.task import Settings

    with Path(facts["log"]).open("ab") as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    ready(encoding="utf-8")
    task, run = load(Path(facts["run"]), tuple(facts["trust"]), facts["device"])
    prepare_process(Settings(Local(), facts["device"], facts["threads"]), facts["workers"])
    return task, run


def _worked(task: "Task", run: "Run") -> bool:
    """Do what there is to do in a run; False where the worker was asked to leave, or its parent
    will meet the same fault, and says so."""
    from sgdtheory.execution.units import work_through
    from sgdtheory.runs.folder import CorruptFile
    from sgdtheory.runs.interrupt import Interrupted, stoppable

    with stoppable():
        try:
            work_through(run, task.pipeline.units(run))
        except (Interrupted, OSError, CorruptFile):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
