"""Who a process is: its number comes again after it has ended, in a container at once; its number
with the moment it was started does not.

SGDTHEORY_HOST in the environment is the name that a machine goes by here, where its own is not
enough to tell it from others.
"""

import functools
import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

# among what follows a process's name in /proc/<pid>/stat, fields 20 and 22 of proc(5): how many
# threads it has, and its start time, in ticks since boot
THREADS, STARTED = 17, 19


class Process(NamedTuple):
    """A process on a machine; two of them are never equal."""

    machine: str  # host, boot and namespace of process numbers
    pid: int
    start: str

    @property
    def host(self) -> str:
        """The name of the machine it runs on."""
        return self.machine.partition(" ")[0]

    @property
    def is_under_this_kernel(self) -> bool:
        """Whether it runs, or ran, under this boot of this machine, in whatever container."""
        return self.machine.split()[:2] == machine().split()[:2]

    @property
    def is_alive(self) -> bool | None:
        """Whether it runs; None where it cannot be seen from here."""
        if self.machine != machine():
            return None
        return started(self.pid) == self.start


def this() -> Process:
    """The process that asks."""
    return Process(machine(), os.getpid(), started(os.getpid()))


def of(pid: int) -> Process:
    """The process that has this number now."""
    return Process(machine(), pid, started(pid))


def started(pid: int) -> str:
    """When the process that has this number was started; empty when there is none."""
    if sys.platform != "linux":
        return _asked(pid)
    name = "self" if pid == os.getpid() else str(pid)  # /proc may be that of another namespace
    try:
        stat = Path(f"/proc/{name}/stat").read_bytes()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()  # a name may hold brackets and spaces
    # a zombie does nothing any more, but for threads that are still ending and keep its files open
    is_over = fields[0] in (b"Z", b"X") and int(fields[THREADS]) <= 1
    return "" if is_over else fields[STARTED].decode()


def _asked(pid: int) -> str:
    """Of `ps`, where there is no /proc."""
    import subprocess

    words = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        found = subprocess.run(
            words, capture_output=True, encoding="utf-8", errors="replace", timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "-".join(found.stdout.split()).replace(":", "-")


@functools.cache
def machine() -> str:
    """Where process numbers mean what they do here: the host, this boot of it, the namespace."""
    parts = [os.environ.get("SGDTHEORY_HOST") or os.uname().nodename]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        pass
    return " ".join(parts)


@functools.cache
def kernel_tag() -> str:
    """Eight characters that stand for this boot of this machine in the names of files."""
    here = " ".join(machine().split()[:2])
    return hashlib.sha256(here.encode()).hexdigest()[:8]
