"""Units of work side by side on this machine: this process and others, each doing the next unit
that is free."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from sgdtheory.annotations import Place, PositiveInt
from sgdtheory.execution.machine import cards, cores, devices_of, prepare_process
from sgdtheory.execution.units import work_through
from sgdtheory.execution.workers import helpers, why_killed
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Settings
from sgdtheory.runs.unit import Unit


@dataclass(frozen=True)
class Local:
    """`workers` processes, this one included; None: one a core on the CPU, one a GPU on `cuda`.

    On several GPUs each of them does its units on one.
    """

    workers: Annotated[PositiveInt | None, Place] = None

    def count(self, settings: Settings) -> int:
        if self.workers is not None:
            return self.workers
        if settings.device == "cuda":
            return max(1, cards())
        return 1 if settings.device.startswith("cuda") else cores()

    def do(self, run: Run, settings: Settings, pending: list[Unit]) -> None:
        count = self.count(settings)
        prepare_process(settings, count)
        devices = devices_of(settings.device, min(count, len(pending)), cards())
        with helpers(devices[1:], run, settings, count) as others:
            work_through(run, pending, partial(why_killed, others))
