"""Locks on directories: a flock, and where others may share the disk a lease besides.

Some network file systems have no flock, or one that always succeeds, or one that holds on each
machine alone: it is tried out whenever it is taken, and believed alone on this machine's own disks.
"""

import contextlib
import errno
import fcntl
import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sgdtheory.runs.leases import is_leased, leasing

LOCK = ".lock"
# for a lock, 10 ms apart: whoever merely looks whether it is held holds it for an instant
LOCK_ATTEMPTS = 5
# file systems of which a machine has its own
OWN_DISKS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay")
# directories that this process holds: whether it still does
_HELD: dict[str, Callable[[], bool]] = {}


@contextlib.contextmanager
def holding(folder: Path, looks_on: bool = True) -> Iterator[bool]:
    """Hold a directory for one process while in the block; yields False when another one has it.

    A flock on a file descriptor that is closed on exec dies with its process, whatever kills it;
    the holder of a lease is known by its number and start time, or where it cannot be seen by signs
    of life, which are waited for here where `looks_on`.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        mine = _flocked(descriptor, folder / LOCK)
        if mine is False:
            yield False
        elif mine and is_own_disk(folder):
            with _noted(folder, lambda: _is_same(descriptor, folder / LOCK)):
                yield True
        else:
            with leasing(folder, bool(mine), looks_on) as claim:
                if claim is None:
                    yield False
                else:
                    with _noted(folder, claim.holds):
                        yield True
    finally:
        os.close(descriptor)


def is_own_disk(folder: Path) -> bool:
    """Whether no other machine can see a directory, which Linux tells of its mounts."""
    return _kind_of_disk(folder.stat().st_dev) in OWN_DISKS


@functools.cache
def _kind_of_disk(device: int) -> str:
    """The file system of a device (proc(5), mountinfo); empty where it is not known."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == number:
            return after.split()[0]
    return ""


def still_held(folder: Path) -> bool:
    """False where this process held a directory that is not there any more, or whose lease another
    one has taken."""
    asked = _HELD.get(str(folder.absolute()))
    return asked is None or asked()


def is_held(folder: Path) -> bool:
    """Whether a living process holds a directory. Asks without writing, so read-only disks can be
    read."""
    try:
        # not waiting for a pipe
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return is_leased(folder)


@contextlib.contextmanager
def _noted(folder: Path, asked: Callable[[], bool]) -> Iterator[None]:
    name = str(folder.absolute())
    _HELD[name] = asked
    try:
        yield
    finally:
        del _HELD[name]


def _is_same(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _flocked(descriptor: int, path: Path) -> bool | None:
    """Whether this process got the lock, asking a few times; None where locks are of no use."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError as fault:
            if fault.errno == errno.EINTR:
                continue
            return None
        else:
            return True if _excludes(path) else None
    return False


def _excludes(path: Path) -> bool:
    """Whether a lock that is held keeps a second descriptor of the same file out, as it must."""
    second = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(second)
    return False
