"""Leases on directories: who holds one says so in a file, and goes on saying so.

They hold between machines that share a disk, where a flock may hold on each machine alone. All that
decides is link(2), of which a file server lets only one of two succeed:

    .lease           the first lease: holder, token, time, beat
    .lease-<token>   the next one, of whoever takes over from the holder of that token

The last of this chain counts. A lease whose holder is dead is never renamed or deleted by another:
it is followed. Whoever gives back follows itself first, after which nobody can take over from it,
and then takes the chain away, its head first. A lease that is not on the chain holds nothing.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.runs.foreign import MOST_SIGN, bytes_of
from sgdtheory.runs.plain import Json
from sgdtheory.runs.processes import Process, this
from sgdtheory.runs.writing import temporary_of

LEASE = ".lease"
BEAT = 2.0  # seconds between two signs of life
# seconds without one until a holder that cannot be seen from here counts as dead, by the clock of
# whoever looks on
PATIENCE = 30.0
# seconds by which the clocks of two machines may differ, and a file's time be an old one; it
# matters to what is said of a lease alone, never to who holds it
CLOCKS = 120.0
LONGEST_CHAIN = 1000
_SEEN: dict[str, tuple[bytes, float]] = {}  # a token, its lease, and since when it has been this


@dataclass(frozen=True)
class Lease:
    """A lease as it was read."""

    path: Path
    content: bytes
    said: Json

    @property
    def token(self) -> str:
        return str(self.said.get("token", ""))

    @property
    def holder(self) -> Process | None:
        try:
            return Process(*self.said["holder"])
        except (KeyError, TypeError):
            return None

    def is_alive(self, has_flock: bool = False) -> bool | None:
        """Whether its holder is; None where that cannot be seen from here."""
        holder = self.holder
        if holder is None:
            return None
        if has_flock and holder.is_under_this_kernel:
            return False
        alive = holder.is_alive
        # who has given back and could not take all away may live on, and say nothing
        return None if alive and self.said.get("over") is True else alive

    @property
    def next(self) -> Path:
        """Where the lease of whoever takes over is."""
        token = self.token
        return self.path.with_name(f"{LEASE}-{token if token.isalnum() else 'none'}")


@dataclass
class Claim:
    """A lease of this process's own."""

    folder: Path
    path: Path
    descriptor: int
    token: str
    is_over: threading.Event = field(default_factory=threading.Event)

    def holds(self) -> bool:
        """Whether it is the one that counts: it is there, and nobody has taken over."""
        last = holder_of(self.folder)
        return last is not None and last.token == self.token

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Signs of life while in the block."""
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            thread.join()

    def _beat(self) -> None:
        """Written through the file that was made: never into another's lease."""
        beat = 0
        while not self.is_over.wait(BEAT):
            beat += 1
            with contextlib.suppress(OSError):
                os.pwrite(self.descriptor, _content(self.token, beat), 0)
                os.fsync(self.descriptor)

    def sweep(self) -> None:
        """Delete leases that lead nowhere: of holders that were killed while they gave back."""
        found = list(self.folder.glob(f"{LEASE}-*"))
        if not found:
            return
        chain = _chain(self.folder)
        kept = {lease.path for lease in chain} | {lease.next for lease in chain}
        for path in found:
            if path not in kept:
                path.unlink(missing_ok=True)

    def give_back(self) -> None:
        """Leave the directory to the next one; where another has taken over, all is left to it."""
        chain = _chain(self.folder)
        if not chain or chain[-1].token != self.token:
            return
        paths = [lease.path for lease in chain]
        began = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk
            end = _made(self.folder, chain[-1].next, is_over=True)
            if end is None:
                return
            os.close(end.descriptor)
            paths.append(end.path)
        if time.monotonic() - began > PATIENCE / 2:
            return  # it slept meanwhile: somebody may be about to follow
        for path in paths:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def leasing(folder: Path, has_flock: bool, looks_on: bool) -> Iterator[Claim | None]:
    """Hold the lease of a directory while in the block; yields None when another one has it.

    A holder that cannot be seen is dead when it was looked on for `PATIENCE` and has said nothing:
    in one call where `looks_on`, else over several. `has_flock`: the caller has what every holder
    under this kernel would have.
    """
    claim = _taken(folder, has_flock, looks_on)
    if claim is None:
        yield None
        return
    try:
        with claim.beating():
            claim.sweep()
            yield claim
    finally:
        claim.give_back()
        os.close(claim.descriptor)


def is_leased(folder: Path) -> bool:
    """Whether the holder of a directory's lease seems to be alive, at one look."""
    last = holder_of(folder)
    if last is None:
        return False
    alive = last.is_alive()
    if alive is not None:
        return alive
    try:
        return abs(time.time() - last.path.stat().st_mtime) < PATIENCE + CLOCKS
    except OSError:
        return False


def holder_of(folder: Path) -> Lease | None:
    """The lease that counts, of a living holder or a dead one."""
    chain = _chain(folder)
    return chain[-1] if chain else None


def _chain(folder: Path) -> list[Lease]:
    """All leases from the first to the one that counts."""
    chain: list[Lease] = []
    lease = _read(folder / LEASE)
    while lease is not None and len(chain) < LONGEST_CHAIN:
        chain.append(lease)
        lease = _read(lease.next)
    return chain


def _read(path: Path) -> Lease | None:
    """A lease as it is now; None where there is none."""
    try:
        content = bytes_of(path.parent, path.name, MOST_SIGN)
        said = json.loads(content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UserError, ValueError):  # whoever it is of, it is there
        return Lease(path, b"", {})
    return Lease(path, content, said if isinstance(said, dict) else {})


def _taken(folder: Path, has_flock: bool, looks_on: bool) -> Claim | None:
    """A lease of one's own, where there is none, or its holder is dead."""
    before = None
    while (last := holder_of(folder)) is not None:
        alive = last.is_alive(has_flock)
        if alive is None and _silence(last) >= PATIENCE:
            alive = False
        if alive is False:
            return _confirmed(_made(folder, last.next))
        has_spoken = before is not None and before != last.content
        if alive or has_spoken or not looks_on:
            return None
        before = last.content
        time.sleep(PATIENCE / 300)
    return _confirmed(_made(folder, folder / LEASE))


def _silence(lease: Lease) -> float:
    """For how many seconds a lease has said nothing new, as far as this process has looked on."""
    place, now = str(lease.path), time.monotonic()
    content, since = _SEEN.get(place, (b"", now))
    if content != lease.content:
        since = now
    _SEEN[place] = (lease.content, since)
    return now - since


def _confirmed(claim: Claim | None) -> Claim | None:
    """A claim that is on the chain; another was made where one had just been given back, and is
    none."""
    if claim is None or claim.holds():
        return claim
    if claim.path not in [lease.path for lease in _chain(claim.folder)]:
        claim.path.unlink(missing_ok=True)
    os.close(claim.descriptor)
    return None


def _made(folder: Path, path: Path, is_over: bool = False) -> Claim | None:
    """A lease of one's own at this place; None where there is one already."""
    token = os.urandom(16).hex()
    descriptor = _placed(path, token, _content(token, 0, is_over))
    return None if descriptor is None else Claim(folder, path, descriptor, token)


def _placed(path: Path, token: str, content: bytes) -> int | None:
    """A descriptor of a lease that is written whole and then linked to its place, which only one
    can; None where another one is there. Where there are no links it is made in place, and whole a
    moment later."""
    temporary = temporary_of(path)
    try:
        descriptor = _written(temporary, content, os.O_TRUNC)
        is_linked = _linked(temporary, path, token)
    finally:
        temporary.unlink(missing_ok=True)
    if is_linked:
        return descriptor
    os.close(descriptor)
    if is_linked is None:
        with contextlib.suppress(FileExistsError):
            return _written(path, content, os.O_EXCL)
    return None


def _linked(temporary: Path, path: Path, token: str) -> bool | None:
    """Whether this process made the link; None where there are none. A server may have made it at
    the first of two requests and refuse the second: what is there is asked."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        found = _read(path)
        return found is not None and found.token == token
    except OSError:
        return None
    return True


def _written(path: Path, content: bytes, how: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | how, 0o644)
    try:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _content(token: str, beat: int, is_over: bool = False) -> bytes:
    """Of one length for all beats, so that it is replaced whole."""
    said = {"holder": this(), "token": token, "over": is_over}
    text = json.dumps(said).removesuffix("}")
    return f'{text}, "time": {time.time():17.6f}, "beat": {beat:10d}}}\n'.encode()
