"""Units of work as tasks of Ray, on a cluster of this machine or on one that runs already.

They last as long as this process does; a worker that dies is replaced, and goes on from what was
kept.
"""

import importlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from sgdtheory.annotations import NonNegative, Place, PositiveFloat
from sgdtheory.errors import RunError, UserError
from sgdtheory.execution.machine import cores
from sgdtheory.execution.units import close
from sgdtheory.runs.interrupt import handlers_kept, stop_if_asked
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import JOB, Settings, Share
from sgdtheory.runs.unit import Unit

if TYPE_CHECKING:
    from ray import ObjectRef

DEATHS = 3  # of workers at one unit, after which it has failed
ANSWER = 10.0  # seconds until a cluster elsewhere must have been reached
POLL = 1.0  # seconds in which a wish to stop is heard
PATIENCE = 60.0  # seconds that tasks may take for a step, when they are to stop


@dataclass(frozen=True)
class Ray:
    """A task for each unit; `cpus` and `gpus` of one say how many go side by side."""

    address: Annotated[str | None, Place] = None
    cpus: Annotated[PositiveFloat, Place] = 1
    gpus: Annotated[NonNegative, Place] = 0

    def count(self, settings: Settings) -> int:
        """Of this machine; what a cluster elsewhere has is not known before it is asked."""
        return max(1, int(cores() // self.cpus))

    def do(self, run: Run, settings: Settings, pending: list[Unit]) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UserError("executor=ray needs Ray: pip install 'sgdtheory[ray]'")
        with self._cluster():
            import ray

            task = ray.remote(do_share).options(
                num_cpus=self.cpus, num_gpus=self.gpus, max_retries=DEATHS
            )
            cpus = max(1, int(self.cpus))
            left = {}
            for unit in pending:
                left[task.remote(Share.of(run, settings, cpus, [unit]))] = unit
            try:
                while left:
                    stop_if_asked()
                    ended, _ = ray.wait(list(left), num_returns=1, timeout=POLL)
                    for reference in ended:
                        _close(run, left.pop(reference), reference)
            finally:
                _send_home(list(left))

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """Connected to the cluster while in the block; one of this machine's own ends with it."""
        import ray

        if self.address:
            _refuse_silent(self.address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        own = None if self.address else False
        address = self.address or "local"
        try:
            with handlers_kept():  # Ray would end this process at SIGTERM
                ray.init(
                    address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=own,
                )
        except (ConnectionError, RuntimeError, ValueError) as fault:
            first = str(fault).strip().splitlines()[0]
            raise RunError(f"executor.address={self.address}: {first}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _refuse_silent(address: str) -> None:
    """Raise RunError where nobody answers: Ray itself would ask for minutes, and hear no Ctrl-C."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except OSError as fault:
        why = fault.strerror or fault
        raise RunError(f"executor.address={address}: nobody answers there ({why})") from None


def do_share(share: Share) -> None:
    """What a task does."""
    importlib.import_module(JOB).do_share(share)


def _close(run: Run, unit: Unit, reference: "ObjectRef[None]") -> None:
    """Say of a unit whose task is over why it is not done."""
    import ray

    why = "its task ended before it was done"
    try:
        ray.get(reference)
    except ray.exceptions.RayError as fault:
        why = f"its task ended: {_in_a_line(str(fault))}"
    close(run.folder(unit), lambda: why)


def _in_a_line(said: str) -> str:
    """What Ray says last: of a task that raised, what it raised."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines or [""])[-1][:200]


def _send_home(tasks: "list[ObjectRef[None]]") -> None:
    """Have tasks save and leave: Ray interrupts them as Ctrl-C would."""
    import ray

    for task in tasks:
        ray.cancel(task)
    if tasks:
        ray.wait(tasks, num_returns=len(tasks), timeout=PATIENCE)
