"""Where the units of a run are now: queued, running on which machine, and by which job."""

from collections.abc import Iterable

from sgdtheory.runs.folder import Folder
from sgdtheory.runs.jobs import GONE, Job, Seen, jobs_of, log_of, states_of
from sgdtheory.runs.plain import Facts, Json

WAITING = ("missing", "unfinished")  # what a unit may be that somebody is still going to do


def units_now(runs: Iterable[tuple[Folder, str, list[Json]]]) -> list[list[Json]]:
    """The rows of each run's units, `where` beside them; Slurm is asked once for all runs.

    A run is (its directory, its status, its rows).
    """
    runs = list(runs)
    jobs = [_jobs_of_run(folder, status) for folder, status, _ in runs]
    open_jobs: set[str] = set()
    for (_, _, rows), known in zip(runs, jobs, strict=True):
        waiting = [row["hash"] for row in rows if row["status"] in WAITING]
        open_jobs |= {known[unit].id for unit in waiting if unit in known}
    states = states_of(open_jobs)
    found = []
    for (_, status, rows), known in zip(runs, jobs, strict=True):
        of_run = []
        for row in rows:
            job = known.get(row["hash"])
            of_run.append(_unit_now(row, status, job, states))
        found.append(of_run)
    return found


def _jobs_of_run(folder: Folder, status: str) -> dict[str, Job]:
    """The jobs of a run's units; a run that is done needs none."""
    if status == "done":
        return {}
    return jobs_of(folder)


def _unit_now(row: Json, run: str, job: Job | None, states: dict[str, Seen] | None) -> Json:
    """A unit's row with what its job, if it has one, and its run say of it."""
    status = row["status"]
    if status == "running":
        places = filter(None, (_host(row), _called(job)))
        return {**row, "where": ", ".join(places)}
    if job is None:
        if run == "running" and status == "missing":
            return {**row, "status": "queued"}
        return row
    if status == "failed":
        return {**row, "where": log_of(job.id)}
    if status not in WAITING:
        return row
    if states is None:
        return {**row, "where": f"{_called(job)}, Slurm does not answer here"}
    seen = states.get(job.id, GONE)
    if not seen.is_living:
        return {**row, "where": f"{_called(job)} is over ({seen.state})"}
    if seen.is_begun:
        return {**row, "status": "running", "where": f"{seen.host}, {_called(job)}"}
    return {**row, "status": "queued", "where": f"{_called(job)} ({seen.reason})"}


def _called(job: Job | None) -> str:
    if job is None:
        return ""
    return f"job {job.id}"


def _host(row: Facts) -> str:
    """The machine of the process that says it does a unit."""
    worker = row.get("worker")
    if not isinstance(worker, list) or not worker:
        return ""
    machine = worker[0]
    if not isinstance(machine, str):
        return ""
    return machine.partition(" ")[0]
