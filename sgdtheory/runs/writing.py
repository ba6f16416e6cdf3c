"""How a file is replaced in one step: it is written beside its place, and then moved there."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from sgdtheory.runs.processes import kernel_tag, started

UNFINISHED = ".sgdtheory.tmp"  # how the name of a file ends while it is written
# whose it is: number, start, and the machine, which names of before 1.1 do not say
OURS = re.compile(r"\..+\.(\d+)-([^.@]*)(?:@([0-9a-f]{8}))?\.sgdtheory\.tmp")
LONG_AGO = 86400.0  # seconds after which nobody is still writing, on whichever machine


def replace_file(target: Path, content: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the directory. An OSError names the file, which is
    then as it was before."""
    temporary = temporary_of(target)
    try:
        with naming(target):
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def temporary_of(target: Path) -> Path:
    """Where a file is written before it is moved to its place: known as ours, and whose, by its
    name."""
    writer = f"{os.getpid()}-{started(os.getpid())}@{kernel_tag()}"
    return target.with_name(f".{target.name}.{writer}{UNFINISHED}")


def sweep(folder: Path) -> None:
    """Delete the temporary files of processes that were killed on this machine; those of other
    machines, which may be alive, when they are a day old."""
    pattern = f".*{UNFINISHED}"
    for temporary in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")):
        writer = OURS.fullmatch(temporary.name)
        if writer is not None and _is_left(temporary, *writer.groups()):
            temporary.unlink(missing_ok=True)


def _is_left(temporary: Path, pid: str, start: str, tag: str | None) -> bool:
    """Whether nobody writes a temporary file any more."""
    if tag in (None, kernel_tag()):
        return started(int(pid)) != start
    try:
        return time.time() - temporary.stat().st_mtime > LONG_AGO
    except OSError:
        return False


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError in this block says which file it is about."""
    try:
        yield
    except OSError as fault:
        raise OSError(fault.errno, fault.strerror, str(path)) from None


def append_lines(path: Path, lines: str) -> None:
    """Append whole lines; a torn last line, which a killed process has left, is cut off first."""
    with naming(path), path.open("ab+") as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(lines.encode())
        stream.flush()
        os.fsync(stream.fileno())
