"""Locks on directories: a flock where it excludes others, else a lease, a file that its holder
keeps fresh.

Some network file systems have no flock, or one that always succeeds: it is tried out whenever it is
taken.
"""

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.runs.foreign import MOST_SIGN, bytes_of
from sgdtheory.runs.plain import Json
from sgdtheory.runs.processes import Process, this

LOCK, LEASE = ".lock", ".lease"
# for a lock, 10 ms apart: whoever merely looks whether it is held holds it for an instant
LOCK_ATTEMPTS = 5
BEAT = 0.5  # seconds between two signs of life in a lease
PATIENCE = 4.0  # seconds without one until a holder that cannot be seen from here counts as dead
# directories that this process holds: whether it still does
_HELD: dict[str, Callable[[], bool]] = {}


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[bool]:
    """Hold a directory for one process while in the block; yields False when another one has it.

    A flock on a file descriptor that is closed on exec dies with its process, whatever kills it;
    the holder of a lease is known by its number and start time, or where it cannot be seen by signs
    of life.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        mine = _flocked(descriptor, folder / LOCK)
        if mine is False:
            yield False
        elif mine:
            with _noted(folder, lambda: _is_same(descriptor, folder / LOCK)):
                yield True
        else:
            with _leasing(folder) as mine:
                yield mine
    finally:
        os.close(descriptor)


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
    return _is_leased(folder / LEASE)


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


# leases


@contextlib.contextmanager
def _leasing(folder: Path) -> Iterator[bool]:
    path, token, over = folder / LEASE, os.urandom(16).hex(), threading.Event()
    if not _taken(path, token):
        yield False
        return
    beating = threading.Thread(target=_beat, args=(path, token, over), daemon=True)
    beating.start()
    try:
        with _noted(folder, lambda: _token(path) == token):
            yield True
    finally:
        over.set()
        beating.join()
        if _token(path) == token:
            path.unlink(missing_ok=True)


def _taken(path: Path, token: str) -> bool:
    """Make the lease, which only one can; one whose holder is dead is put away first."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            if not _is_abandoned(path):
                return False
            continue
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_content(token, 0))
        return True
    return False


def _content(token: str, beat: int) -> bytes:
    return json.dumps({"holder": this(), "token": token, "beat": beat}).encode()


def _beat(path: Path, token: str, over: threading.Event) -> None:
    """Signs of life, until it is over or another one has the lease."""
    beat = 0
    while not over.wait(BEAT):
        beat += 1
        with contextlib.suppress(OSError):
            if _token(path) != token:
                return
            # longer each time, never shorter: no rest of an older one stays
            with path.open("r+b") as stream:
                stream.write(_content(token, beat))


def _read(path: Path) -> Json:
    try:
        found = json.loads(bytes_of(path.parent, path.name, MOST_SIGN))
    except (OSError, UserError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _token(path: Path) -> str:
    return str(_read(path).get("token", ""))


def _holder(path: Path) -> Process | None:
    try:
        return Process(*_read(path)["holder"])
    except (KeyError, TypeError):
        return None


def _is_abandoned(path: Path) -> bool:
    """Whether the holder of a lease is dead; the lease is then gone. Looks on for `PATIENCE` where
    that cannot be seen."""
    holder = _holder(path)
    alive = None if holder is None else holder.is_alive
    if alive:
        return False
    before = _bytes(path)
    until = time.monotonic() + (0.0 if alive is False else PATIENCE)
    while time.monotonic() < until:
        time.sleep(0.05)
        if _bytes(path) != before:
            return False
    return _put_away(path, before)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _put_away(path: Path, content: bytes | None) -> bool:
    """Take a dead holder's lease away, unless another process was faster and has made its own: that
    one is put back."""
    aside = path.with_name(f"{LEASE}-{os.urandom(16).hex()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    try:
        if _bytes(aside) == content:
            return True
        with contextlib.suppress(OSError):
            os.link(aside, path)
        return False
    finally:
        aside.unlink(missing_ok=True)


def _is_leased(path: Path) -> bool:
    """Whether the holder of a lease seems to be alive, at one look."""
    holder = _holder(path)
    alive = None if holder is None else holder.is_alive
    if alive is not None:
        return alive
    try:
        return abs(time.time() - path.stat().st_mtime) < PATIENCE
    except OSError:
        return False
