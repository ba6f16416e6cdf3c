"""Units of work as jobs of Slurm: an array, by submitit. This process submits, waits, and may be
stopped: the jobs go on, and the same command finds them again."""

import importlib.util
import shlex
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from sgdtheory.annotations import NonNegativeInt, Place, PositiveFloat, PositiveInt
from sgdtheory.errors import RunError, UserError
from sgdtheory.execution.units import TERMINAL_STATUSES, close
from sgdtheory.report.stdio import say
from sgdtheory.runs.interrupt import Interrupted, stop_if_asked
from sgdtheory.runs.jobs import (
    GONE,
    LOGS,
    Job,
    Seen,
    arrays_of,
    jobs_of,
    last_words,
    log_of,
    note_jobs,
    states_of,
)
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import JOB, Settings, Share
from sgdtheory.runs.unit import Unit

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

MOST_JOBS = 1000  # of an array: Slurm's own MaxArraySize is 1001
MOST_REQUEUES = 1000  # of a job by itself: submitit's three would be over in an afternoon
WARNING = 90  # seconds before its time is over in which a job saves
POLL = 1.0  # seconds between two looks at units, and more of more than a thousand
LOOKS = 1000  # at one unit, a second
SHORTEST, LONGEST = 2.0, 30.0  # seconds between two questions to Slurm
# ends of a job that are no fault of its unit's, which is given to another one
INNOCENT = ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "CANCELLED", GONE.state)
OUT_OF_TIME = ("TIMEOUT", "DEADLINE")


@dataclass(frozen=True)
class Slurm:
    """A job for each unit, `jobs` of them side by side; of more than a thousand units several to a
    job."""

    partition: Annotated[str | None, Place] = None
    time: Annotated[PositiveInt, Place] = 60
    cpus: Annotated[PositiveInt, Place] = 1
    gpus: Annotated[NonNegativeInt, Place] = 0
    memory: Annotated[PositiveFloat | None, Place] = None
    jobs: Annotated[PositiveInt, Place] = 16
    setup: Annotated[tuple[str, ...], Place] = ()

    def count(self, settings: Settings) -> int:
        return self.jobs

    def do(self, run: Run, settings: Settings, pending: list[Unit]) -> None:
        _refuse_without_slurm()
        jobs = jobs_of(run)
        known = {unit.hash: jobs[unit.hash].id for unit in pending if unit.hash in jobs}
        states = states_of(known.values())
        if states is None:
            raise RunError("Slurm does not answer (squeue); the same command asks again")
        living = {unit for unit, job in known.items() if states[job].is_living}
        fresh = [unit for unit in pending if unit.hash not in living]
        if fresh:
            jobs = {**jobs, **self._submitted(run, settings, fresh)}
            note_jobs(run, jobs)
        try:
            cancelled = _wait(run, pending, jobs)
        except Interrupted:
            arrays = " ".join(arrays_of(jobs[unit.hash].id for unit in pending))
            say(f"its jobs go on, and the same command waits for them; scancel {arrays} ends them")
            raise
        _forget(run, pending, jobs)
        if cancelled:
            say("; ".join(cancelled[:3]))
            raise Interrupted

    def _submitted(self, run: Run, settings: Settings, units: list[Unit]) -> dict[str, Job]:
        """The job of each of these units, newly submitted."""
        import submitit

        folder = (run.path / LOGS).absolute()
        # -P: no module of the working directory
        python = f"{shlex.quote(sys.executable)} -P"
        executor = submitit.SlurmExecutor(folder, max_num_timeout=MOST_REQUEUES, python=python)
        executor.update_parameters(**self._parameters(run))
        count = min(len(units), MOST_JOBS)
        shares = [units[first::count] for first in range(count)]
        works = [Work(Share.of(run, settings, self.cpus, share)) for share in shares]
        try:
            found = executor.submit_array(works)
        except submitit.core.utils.FailedJobError as fault:
            raise RunError(f"sbatch refuses: {_refusal(str(fault))}") from None
        jobs: dict[str, Job] = {}
        for job, share in zip(found, shares, strict=True):
            jobs |= {unit.hash: Job(job.job_id, _newest_state(run, unit)) for unit in share}
        return jobs

    def _parameters(self, run: Run) -> dict[str, object]:
        """What sbatch is told, by submitit's names."""
        told: dict[str, object] = {
            "job_name": run.path.name,
            "time": self.time,
            "cpus_per_task": self.cpus,
            "array_parallelism": self.jobs,
            "signal_delay_s": min(WARNING, 60 * self.time // 4),
            "stderr_to_stdout": True,
        }
        if self.partition is not None:
            told["partition"] = self.partition
        if self.gpus:
            told["gpus_per_node"] = self.gpus
        if self.memory is not None:
            told["mem"] = f"{max(1, round(1024 * self.memory))}MB"
        if self.setup:
            told["setup"] = list(self.setup)
        return told


@dataclass(frozen=True)
class Work:
    """What submitit keeps for a job and calls in it."""

    share: Share

    def __call__(self) -> None:
        """Do the share; what stops it has it saved first, then submitit queue the job again."""
        stopped_by: int | None = importlib.import_module(JOB).do_share(self.share)
        if stopped_by is None:
            raise SystemExit(0)  # or submitit would keep a result that nobody reads
        if stopped_by == signal.SIGTERM and _is_cancelled():
            raise SystemExit(128 + stopped_by)
        signal.raise_signal(signal.SIGUSR2)  # submitit's own handler

    def checkpoint(self) -> "DelayedSubmission":
        """What the job does when it comes again: the same, from the states on the disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _is_cancelled() -> bool:
    """Whether SIGTERM meant the end of this job, and not that it has to make room."""
    from submitit import JobEnvironment

    job = JobEnvironment().job_id
    seen = (states_of([job]) or {}).get(job, GONE)
    return seen.state in ("CANCELLED", "COMPLETING")


def _refuse_without_slurm() -> None:
    if shutil.which("sbatch") is None:
        raise UserError("executor=slurm: there is no sbatch here; run this on a login node")
    if importlib.util.find_spec("submitit") is None:
        raise UserError("executor=slurm needs submitit: pip install 'sgdtheory[slurm]'")


def _refusal(said: str) -> str:
    """What sbatch said, of what submitit makes of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("sbatch: error")]
    return "; ".join(own or lines[-1:]).replace("sbatch: error: ", "")


def _newest_state(run: Run, unit: Unit) -> int:
    """When the newest state of a unit was kept, ns; 0 where there is none."""
    states = run.folder(unit).path.glob("*.safetensors")
    return max((state.stat().st_mtime_ns for state in states), default=0)


def _wait(run: Run, units: list[Unit], jobs: dict[str, Job]) -> list[str]:
    """Until each unit is done or has failed, or its job is over and another one must go on; gives
    what is to be said of jobs that somebody ended."""
    cancelled: list[str] = []
    left, asked, pause = units, time.monotonic(), SHORTEST
    while left := [unit for unit in left if not _is_terminal(run, unit)]:
        stop_if_asked()
        time.sleep(max(POLL, len(left) / LOOKS))
        if time.monotonic() - asked < pause:
            continue
        states = states_of({jobs[unit.hash].id for unit in left})
        asked, pause = time.monotonic(), min(LONGEST, 1.5 * pause)
        if states is None:
            continue
        for unit in left:
            job = jobs[unit.hash]
            seen = states[job.id]
            why = partial(_why_failed, run, unit, job, seen)
            if not seen.is_living and close(run.folder(unit), why):
                left = [other for other in left if other is not unit]
                if seen.state == "CANCELLED":
                    cancelled.append(f"{unit.name}: job {job.id} was cancelled")
    return cancelled


def _is_terminal(run: Run, unit: Unit) -> bool:
    return run.folder(unit).status["status"] in TERMINAL_STATUSES


def _why_failed(run: Run, unit: Unit, job: Job, seen: Seen) -> str:
    """Why a unit has failed whose job ended as Slurm says; empty where it is to be gone on with."""
    log = run.path / log_of(job.id)
    where = f"its job {job.id} ended as {seen.state} (see {log})"
    if seen.state in OUT_OF_TIME and _newest_state(run, unit) == job.newest:
        return f"{where} before it had kept anything; give it a longer executor.time"
    if seen.state in (*INNOCENT, *OUT_OF_TIME):
        return ""
    words = last_words(run.path, job.id)
    return f"{where}: {words}" if words else where


def _forget(run: Run, units: list[Unit], jobs: dict[str, Job]) -> None:
    """Delete what submitit kept for jobs that nobody waits for any more: of two files the log
    stays."""
    for job in {jobs[unit.hash].id for unit in units}:
        (run.path / LOGS / f"{job}_submitted.pkl").unlink(missing_ok=True)
