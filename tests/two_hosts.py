"""What a process does that works through units on a disk which another host has too, and whose locks do not lock there.

It is forked (tests/forks.py) and killed at any moment. That no unit is done twice at once is seen by the kernel: whoever
works has a real flock of the unit's witness, outside of the run.
"""

import fcntl
import os
import sys
import time
from functools import partial
from pathlib import Path

from sgdtheory.execution.units import work_through
from sgdtheory.runs import leases, locks, processes
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder

STEPS = 15
FLOCK = fcntl.flock


def fails(descriptor: int, how: int) -> None:
    raise OSError(37, "No locks available")


def holds_on_one_host(descriptor: int, how: int) -> None:
    """As of a network file system that is mounted with locks of its own: each host has another file."""
    file = os.fstat(descriptor)
    folder = Path(os.environ["SHADOWS"], os.environ["SGDTHEORY_HOST"])
    folder.mkdir(parents=True, exist_ok=True)
    shadow = os.open(folder / str(file.st_ino), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        FLOCK(shadow, how)
    except OSError:
        os.close(shadow)
        raise
    os.dup2(shadow, descriptor, inheritable=False)  # it ends with the descriptor, or the process
    os.close(shadow)


KINDS = {"fails": fails, "holds on one host": holds_on_one_host}


def said_of(witness: int, folder: UnitFolder) -> str:
    """Who has the witness, and what the leases say: for whoever looks into a fault."""
    other = int(os.pread(witness, 10, 0) or b"0")
    try:
        stat = Path(f"/proc/{other}/stat").read_text(encoding="utf-8")
    except OSError:
        stat = "gone"
    chain = [repr(lease) for lease in leases._chain(folder.path)]
    return "\n".join([f"{os.getpid()} met {other}: {stat}", str(time.time()), *chain])


def work_of(name: str, where: Path, folder: UnitFolder) -> None:
    """Count to `STEPS`, from where it was left; what is counted is logged."""
    witness = os.open(where / "witness" / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        FLOCK(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(witness, f"{os.getpid():10d}".encode(), 0)
    except BlockingIOError:
        (where / "faults" / f"{name}-{os.getpid()}").write_text(
            said_of(witness, folder), encoding="utf-8"
        )
    begun = folder.read_object("count.json").get("count", 0)
    for count in range(begun, STEPS):
        time.sleep(0.01)
        folder.tell(count / STEPS)
        folder.write_json("count.json", {"count": count + 1})
    folder.finish({"count": STEPS}, {})
    with (where / "witness" / "finished").open("a", encoding="utf-8") as log:
        log.write(f"{name}\n")
    os.close(witness)


def run_of(where: Path, units: int) -> tuple[Run, list[Unit]]:
    names = [f"unit-{number}" for number in range(units)]
    found = [Unit(name, {"name": name}, partial(work_of, name, where)) for name in names]
    return Run(where / "run", where, where / "units", {}), found


def main(
    where: Path, host: str, kind: str, units: int, impatient: bool = False, **settings: float
) -> None:
    """Work on one host until all is done; ends the process. `impatient`: every other holder
    counts as dead at once, and does not notice."""
    os.environ |= {"SGDTHEORY_HOST": host, "SHADOWS": str(where / "shadows")}
    for cached in (processes.machine, processes.kernel_tag):
        cached.cache_clear()
    for name, value in settings.items():
        setattr(leases, name, value)
    fcntl.flock = KINDS[kind]
    locks.is_own_disk = lambda folder: False
    if impatient:
        leases.Lease.is_alive = lambda lease, has_flock=False: False  # type: ignore[method-assign]
        leases.Claim.holds = lambda claim: True  # type: ignore[method-assign]
    work_through(*run_of(where, units))
    sys.exit(0)
