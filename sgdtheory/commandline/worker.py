"""A worker of a run: `python -m sgdtheory.commandline.worker RUN DEVICE WORKERS THREADS …`.

After these come the packages that are trusted.
"""

import sys
from pathlib import Path

from sgdtheory.commandline.load import load
from sgdtheory.execution.executors.local import Local
from sgdtheory.execution.machine import prepare_process
from sgdtheory.execution.units import work_through
from sgdtheory.report.stdio import ready
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.interrupt import Interrupted, stoppable
from sgdtheory.runs.task import Settings


def main(path: str, device: str, workers: str, threads: str, *trust: str) -> int:
    """What a worker does: the run's units, as its directory describes them; what it says is the
    run's log."""
    ready(encoding="utf-8")
    task, run = load(Path(path), trust, device)
    prepare_process(Settings(Local(), device, int(threads) or None), int(workers))
    with stoppable():
        try:
            work_through(run, task.pipeline.units(run))
        except (
            Interrupted,
            OSError,
            CorruptFile,
        ):  # its parent will meet the same fault, and says so
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
