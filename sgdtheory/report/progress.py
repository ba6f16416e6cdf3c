"""What people see while a command runs: on stderr, a bar on a terminal, plain lines through a
pipe."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sgdtheory.report.stdio import harmless, say
from sgdtheory.report.time_left import ENDED, TimeLeft, UnitNow
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.numbers import duration

POLL_SECONDS = 0.25
WIDTH = 80  # of a line
BAR_WIDTH = 44  # of the words before a bar
LINE_SECONDS = 5.0  # through a pipe: one line in this time at most


@dataclass
class Watcher:
    """Says what happens and how long the whole command will still take, from the progress that
    units write down."""

    loudness: int = 1  # 0 quiet, 1 normal, 2 verbose
    log: Path | None = None
    clock: TimeLeft = field(default_factory=TimeLeft)
    began: float = field(default_factory=time.monotonic)

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
    def watching(self, run: Run, units: list[Unit], coming: Sequence[str] = ()) -> Iterator[None]:
        """Show the progress of these units while the block runs; `coming`: the names of others
        that will be asked for."""
        if self.loudness == 0:
            yield
            return
        over = threading.Event()
        seen = SeenUnits(run, units, coming, self.clock, self.began)
        show = self._bar if sys.stderr is not None and sys.stderr.isatty() else self._lines
        thread = threading.Thread(target=show, args=(seen, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _bar(self, seen: "SeenUnits", over: threading.Event) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[left]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=1.0, left="")
            while not over.wait(seen.pause):
                seen.look()
                what = harmless(in_words(seen.now, BAR_WIDTH))
                bar.update(task, completed=seen.fraction, description=what, left=seen.left)

    def _lines(self, seen: "SeenUnits", over: threading.Event) -> None:
        said = time.monotonic()
        while not over.wait(seen.pause):
            seen.look()
            if time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                before = f"{100 * seen.fraction:3.0f} %  "
                room = WIDTH - len(before) - len(seen.left) - 2
                say(f"{before}{in_words(seen.now, room)}  {seen.left}")


@dataclass
class SeenUnits:
    """What was last seen of a run's units, and what follows for the time that is left.

    Of many units the next look is the later, so that looking takes a twentieth of a core at most.
    """

    run: Run
    units: list[Unit]
    coming: Sequence[str]
    clock: TimeLeft
    began: float
    pause: float = POLL_SECONDS  # seconds until the next look
    now: list[UnitNow] = field(default_factory=list)
    _ended: dict[str, UnitNow] = field(default_factory=dict)  # by hash: they stay what they are

    def look(self) -> None:
        began = time.monotonic()
        self.now = [self._ended.get(unit.hash) or self._of(unit) for unit in self.units]
        self.clock.look(time.monotonic(), self.now, self.coming)
        self.pause = max(POLL_SECONDS, 20 * (time.monotonic() - began))

    def _of(self, unit: Unit) -> UnitNow:
        """How far a unit is, from what it writes down."""
        folder = self.run.folder(unit)
        try:
            status = folder.read_object("status.json").get("status", "missing")
        except CorruptFile:  # whoever does the unit says so
            status = "missing"
        fraction, activity = folder.progress if status == "running" else (0.0, "")
        found = UnitNow(unit.name, status, fraction, activity)
        if status in ENDED:
            self._ended[unit.hash] = found
        return found

    @property
    def fraction(self) -> float:
        """The part of the time that has passed; while that is not known, of the units."""
        left = self.clock.left
        if left is not None:
            spent = time.monotonic() - self.began
            return spent / (spent + left)
        total = sum(1.0 if unit.status in ENDED else unit.fraction for unit in self.now)
        return total / max(1, len(self.now) + len(self.coming))

    @property
    def left(self) -> str:
        left = self.clock.left
        if left is None:
            return "time left unknown"
        return f"{duration(left)} left"


def in_words(units: list[UnitNow], room: int) -> str:
    """How many units are done and what two of the others are at, in so many letters: what they are
    at is left out first."""
    ended = sum(unit.status in ENDED for unit in units)
    before = f"{ended}/{len(units)} done"
    running = [unit for unit in units if unit.status == "running"][:2]
    names = [unit.name for unit in running]
    whole = [f"{unit.name} {unit.activity}".strip() for unit in running]
    for told in (whole, [*whole[:1], *names[1:]], names, names[:1]):
        words = ", ".join([before, *told])
        if len(words) <= room:
            return words
    return before
