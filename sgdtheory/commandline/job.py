"""What a job of a batch system does: some units of a run, as its directory describes them."""

import functools
import os
import time
from dataclasses import replace
from pathlib import Path

from sgdtheory.commandline.load import load
from sgdtheory.errors import RunError
from sgdtheory.execution.machine import prepare_process
from sgdtheory.execution.units import work_through
from sgdtheory.report.stdio import ready
from sgdtheory.runs.interrupt import (
    Interrupted,
    signal_that_asked,
    stop_if_asked,
    stoppable,
)
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Share, Task
from sgdtheory.runs.unit import Unit

PATIENCE = 90.0  # seconds until a file that another machine has written must be seen here


def do_share(share: Share) -> int | None:
    """Do some units; gives the number of the signal that it was stopped by, None where it was not.

    Everything so far is then kept, and whoever has the units next goes on from there.
    """
    ready(encoding="utf-8")
    with stoppable():
        try:
            os.chdir(share.where)
            task, run = _loaded(share.path, share.device, share.trust)
            prepare_process(replace(task.settings, threads=share.threads), 1)
            work_through(run, _units_of(share, task, run))
        except Interrupted:
            return signal_that_asked()
    return None


def _units_of(share: Share, task: Task, run: Run) -> list[Unit]:
    """The units of a share. A run's later units follow from the results of earlier ones, which a
    network file system may show to other machines a minute late."""
    until = time.monotonic() + PATIENCE
    while True:
        units = [unit for unit in task.pipeline.units(run) if unit.hash in share.units]
        if len(units) == len({*share.units}):
            return units
        stop_if_asked()
        if time.monotonic() > until:
            raise RunError(f"{share.path}: what it was to do is no unit of this run as seen here")
        time.sleep(1.0)


@functools.lru_cache(maxsize=1)
def _loaded(path: str, device: str, trust: tuple[str, ...]) -> tuple[Task, Run]:
    """A run, for all of its units that this process does."""
    return load(Path(path), trust, device)
