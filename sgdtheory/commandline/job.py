"""What a job of a batch system does: some units of a run, as its directory describes them."""

import functools
import os
from dataclasses import replace
from pathlib import Path

from sgdtheory.commandline.load import load
from sgdtheory.execution.machine import prepare_process
from sgdtheory.execution.units import work_through
from sgdtheory.report.stdio import ready
from sgdtheory.runs.interrupt import Interrupted, signal_that_asked, stoppable
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Share, Task


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
            wanted = {*share.units}
            units = [unit for unit in task.pipeline.units(run) if unit.hash in wanted]
            work_through(run, units)
        except Interrupted:
            return signal_that_asked()
    return None


@functools.lru_cache(maxsize=1)
def _loaded(path: str, device: str, trust: tuple[str, ...]) -> tuple[Task, Run]:
    """A run, for all of its units that this process does."""
    return load(Path(path), trust, device)
