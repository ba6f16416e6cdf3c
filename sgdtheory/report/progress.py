"""What people see while a command runs: on stderr, a bar on a terminal, plain lines through a
pipe."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sgdtheory.report.stdio import harmless, say
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.numbers import duration

POLL_SECONDS = 0.25
LINE_SECONDS = 5.0  # through a pipe: one line in this time at most
Look = tuple[float, str]  # the fraction of all units that is done, what is going on


@dataclass
class Watcher:
    """Says what happens and how long the whole command will still take, from the progress that
    units write down."""

    loudness: int = 1  # 0 quiet, 1 normal, 2 verbose
    log: Path | None = None

    def say(self, message: str, loudness: int = 1) -> None:
        self.write_down(message)
        if self.loudness >= loudness:
            say(message)

    def write_down(self, message: str) -> None:
        """A line of the log, with the time; a full disk is for others to complain of."""
        if self.log is not None:
            with (
                suppress(OSError),
                self.log.open("a", encoding="utf-8", errors="backslashreplace") as log,
            ):
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {harmless(message)}\n")

    @contextmanager
    def watching(self, run: Run, units: list[Unit]) -> Iterator[None]:
        """Show the progress of these units while the block runs."""
        if self.loudness == 0:
            yield
            return
        over = threading.Event()
        show = self._bar if sys.stderr is not None and sys.stderr.isatty() else self._lines
        thread = threading.Thread(target=show, args=(run, units, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _bar(self, run: Run, units: list[Unit], over: threading.Event) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[left]}", markup=False),
            TimeElapsedColumn(),
        )
        known = set[str]()
        clock = Clock(progress_of(run, units, known)[0])
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=1.0, left="")
            while not over.wait(clock.pause):
                done, what = clock.timed(lambda: progress_of(run, units, known))
                bar.update(task, completed=done, description=harmless(what), left=clock.left(done))

    def _lines(self, run: Run, units: list[Unit], over: threading.Event) -> None:
        known = set[str]()
        clock, said = Clock(progress_of(run, units, known)[0]), time.monotonic()
        while not over.wait(clock.pause):
            if time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                done, what = clock.timed(lambda: progress_of(run, units, known))
                say(f"{100 * done:3.0f} %  {what}  {clock.left(done)}")


class Clock:
    """Time left, from what was done since it was started, when `first` of all was."""

    def __init__(self, first: float) -> None:
        self.began, self.first = time.monotonic(), first
        self.pause = POLL_SECONDS

    def timed(self, look: Callable[[], Look]) -> Look:
        """What a look at all units gives; of many units the next one is the later, so that looking
        takes a twentieth of a core at most."""
        began = time.monotonic()
        found = look()
        self.pause = max(POLL_SECONDS, 20 * (time.monotonic() - began))
        return found

    def left(self, done: float) -> str:
        gained, spent = done - self.first, time.monotonic() - self.began
        if gained < 0.005 or spent < 1:
            return "time left unknown"
        return f"{duration(spent * (1 - done) / gained)} left"


def progress_of(run: Run, units: list[Unit], known: set[str] | None = None) -> Look:
    """(fraction of all units done, what is going on). `known`: units that were done or had failed
    at an earlier look, which is added to."""
    known = set() if known is None else known
    total, finished, doing = float(len(known)), len(known), []
    for unit in units:
        if unit.hash in known:
            continue
        folder = run.folder(unit)
        try:
            status = folder.read_object("status.json").get("status", "missing")
        except CorruptFile:  # whoever does the unit says so
            status = "missing"
        if status in ("done", "failed"):
            total += 1
            finished += 1
            known.add(unit.hash)
        elif status == "running":
            fraction, what = folder.progress
            total += fraction
            doing.append(f"{unit.name} {what}".strip())
    return total / max(
        1, len(units)
    ), f"{finished}/{len(units)} done, {', '.join(doing[:2])}".rstrip(", ")
