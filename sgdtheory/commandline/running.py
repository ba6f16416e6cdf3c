"""A command that runs a pipeline: its words are checked, then every task Hydra makes of them is
executed."""

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sgdtheory.commandline import exits
from sgdtheory.commandline.vetting import vet
from sgdtheory.errors import RunError
from sgdtheory.report.stdio import say
from sgdtheory.runs.garbage import look_again, not_looked_for
from sgdtheory.runs.plain import Facts

if TYPE_CHECKING:
    from sgdtheory.runs.run import Run
    from sgdtheory.runs.task import Task

Show: TypeAlias = Callable[[Path, Facts], None]
PAGE = 0.7  # what results and page take at the end, of what a command takes until it can begin


class Request(NamedTuple):
    """One command as it was typed."""

    command: str
    words: list[str]  # overrides and Hydra's flags
    trust: tuple[str, ...]
    from_file: Path | None
    dry_run: bool
    retry_failed: bool
    loudness: int  # 0 quiet, 1 normal, 2 verbose

    def as_typed(self) -> str:
        """The words of the command as a shell reads them: all that decides what is computed and
        where it is kept."""
        words = self.words
        if self.command == "study":
            words = [word.removeprefix("study=") for word in words]
        typed = ["sgdtheory", self.command, *words]
        if self.from_file is not None:
            typed += ["--from", str(self.from_file)]
        for package in self.trust:
            typed += ["--trust", package]
        return shlex.join(typed)


def run_pipeline(request: Request) -> None:
    """Check the words of a command, then execute each task Hydra makes of them."""
    began = time.monotonic()
    vet(request.command, request.words)
    if request.command == "study":
        from sgdtheory.commandline.studies import with_study

        if not request.words and request.from_file is None:
            show_choices("study")
            return
        words = with_study(request.words, earlier=request.from_file is not None)
        request = request._replace(words=words)
    with not_looked_for():
        _launch(request, began)


def show_choices(group: str | None) -> None:
    """`sgdtheory list`: what can be chosen, a line each; folded where people read it."""
    from sgdtheory.commandline.choices import listing

    width = get_terminal_size().columns if sys.stdout.isatty() else None
    print(listing(group, width))


def _launch(request: Request, began: float) -> None:
    from sgdtheory.commandline.front import launch, sweeps

    finished_runs: list[Path] = []
    show = _shows(request, sweeps(request.words), finished_runs, began)

    ready: list[float] = []  # seconds until each job could begin; the first one's imports count

    def job(task: "Task") -> None:
        ready.append(time.monotonic() - began)
        _do(task, request, show, PAGE * ready[0])

    def again(run: "Run") -> None:
        from sgdtheory.execution.loop import given_again
        from sgdtheory.report.progress import Watcher

        results = given_again(run, Watcher(request.loudness))
        show(run.path, results)

    finished = None if request.dry_run else again
    raised = launch(request.command, request.words, request.trust, request.from_file, job, finished)
    if len(finished_runs) > 1:
        from sgdtheory.report.compared import show_compared

        show_compared(finished_runs)
    if len(raised) == 1:
        raise raised[0]
    for fault in raised[:-1]:
        exits.tell(fault)
    if raised:
        raise RunError(str(raised[-1]))


def _do(task: "Task", request: Request, show: Show, page_seconds: float) -> None:
    """Execute a task, or say what it would do: all that it needs is imported."""
    look_again()
    from sgdtheory.execution.loop import execute
    from sgdtheory.execution.planning import plan
    from sgdtheory.report.plans import show_plan
    from sgdtheory.report.progress import Watcher
    from sgdtheory.report.time_left import TimeLeft

    watcher = Watcher(request.loudness, clock=TimeLeft(after=page_seconds))
    for line in (*task.notes, *getattr(task.pipeline, "said", ())):
        watcher.say(line)
    if request.dry_run:
        show_plan(plan(task))
        return
    results = execute(task, watcher, request.retry_failed, request.as_typed())
    show(task.open().path, results)


def _shows(request: Request, several: bool, finished: list[Path], began: float) -> Show:
    """What shows the results of a run: all there is of one, in a line each of several, which are
    told together at the end."""

    def show(path: Path, results: Facts) -> None:
        from sgdtheory.report.results import show_in_short, show_results

        if several:
            finished.append(path)
            show_in_short(path, dict(results))
        else:
            show_results(path, dict(results))
        if request.loudness > 1:
            say(f"{time.monotonic() - began:.1f} s")

    return show
