"""Jobs of Slurm that do a run's units: which unit has which, and what Slurm says of them.

Slurm is asked by `squeue`, which every login node has; its accounts (`sacct`) need not be kept.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sgdtheory.runs.folder import Folder
from sgdtheory.runs.plain import Json

JOBS = "jobs.json"  # of a run: the job of each unit that was given one
LOGS = "jobs"  # of a run: the folder of what jobs say, and of what they were told
ID = re.compile(r"\d{1,12}(?:_\d{1,9})?")  # of a job, or of one of an array
PATIENCE = 60.0  # seconds for an answer
# the states of a job that is going to do something, or about to end
LIVING: tuple[str, ...] = (
    "PENDING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "CONFIGURING",
    "STOPPED",
    "SIGNALING",
)
LIVING += ("RESIZING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "STAGE_OUT")


class Job(NamedTuple):
    """The job that a unit was given."""

    id: str
    newest: int = 0  # when the unit's newest state was kept before that, ns; 0: it had none


class Seen(NamedTuple):
    """What Slurm says of a job."""

    state: str
    host: str = ""
    reason: str = ""

    @property
    def is_living(self) -> bool:
        return self.state in LIVING

    @property
    def is_begun(self) -> bool:
        return self.is_living and self.state != "PENDING"


GONE = Seen("GONE")  # it ended so long ago that Slurm has forgotten it


def jobs_of(run: Folder) -> dict[str, Job]:
    """The newest job of each unit, by the unit's hash; what is no job is left out."""
    found = run.read_object(JOBS)
    return {unit: Job(**said) for unit, said in found.items() if _is_job(said)}


def _is_job(said: Json) -> bool:
    if not isinstance(said, dict) or said.keys() != {"id", "newest"}:
        return False
    return bool(ID.fullmatch(str(said["id"]))) and isinstance(said["newest"], int)


def note_jobs(run: Folder, jobs: dict[str, Job]) -> None:
    """Have these jobs be those of their units, before anybody waits for them."""
    run.write_json(JOBS, {unit: job._asdict() for unit, job in jobs.items()})


def log_of(job: str) -> str:
    """Where a job writes what it says, as seen from its run."""
    return f"{LOGS}/{job}_0_log.out"


def last_words(run: Path, job: str) -> str:
    """The last line that a job wrote; empty where it wrote none."""
    try:
        with (run / log_of(job)).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - 4096))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:200]


def arrays_of(jobs: Iterable[str]) -> list[str]:
    """The arrays that jobs are of, by their numbers."""
    return sorted({job.partition("_")[0] for job in jobs}, key=int)


def states_of(jobs: Iterable[str]) -> dict[str, Seen] | None:
    """What Slurm says of these jobs; None where it is not there, or does not answer."""
    known = {job: GONE for job in jobs}
    if not known:
        return {}
    arrays = arrays_of(known)
    words = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%N|%r"]
    said = _said([*words, f"--jobs={','.join(arrays)}"])
    if said is None:
        return None
    for line in said.splitlines():
        job, _, rest = line.partition("|")
        if job in known:
            known[job] = Seen(*rest.split("|")[:3])
    return known


def _said(words: list[str]) -> str | None:
    """What a command of Slurm's says; empty where it knows none of the jobs."""
    if shutil.which(words[0]) is None:
        return None
    try:
        done = subprocess.run(
            words, capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode and "Invalid job id" not in done.stderr:
        return None
    return done.stdout
