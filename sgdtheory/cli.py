"""The command line: Typer in front, Hydra behind. Importing this costs neither torch nor Hydra."""

import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sgdtheory import __version__
from sgdtheory.errors import RunError, UserError, nearest
from sgdtheory.report.stdio import all_said, ready, say

if TYPE_CHECKING:
    from sgdtheory.runs.run import Run


class NoCommand(UserError):
    """A word that is none of the commands."""

    def format_message(self) -> str:
        """What Typer's own complaints have."""
        return str(self)


class Commands(TyperGroup):
    """The commands, with a hint where a word is none of them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        from sgdtheory.commandline.habits import command_meant

        word, known = args[0], self.list_commands(ctx)
        if ctx.resilient_parsing or word in known or word.startswith("-"):
            return super().resolve_command(ctx, args)
        if "=" in word:
            raise NoCommand(
                f"{word}: a command comes first, as in sgdtheory train {word}; there are "
                f"{', '.join(known)}"
            )
        meant = command_meant(word, known)
        hint = (
            f"; did you mean {meant!r}?"
            if meant
            else nearest(word, known) or f"; there are {', '.join(known)}"
        )
        raise NoCommand(f"No such command {word!r}. {hint[2].upper()}{hint[3:]}")


app = typer.Typer(
    cls=Commands,
    help="The loss landscape and the noise of SGD: every experiment a command, every theorem "
    "a test.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
RUNNER = {
    "ignore_unknown_options": True,
    "allow_interspersed_args": True,
    "help_option_names": ["--help", "-h"],
}


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completion of overrides: Hydra's own answer to the words so far."""
    from sgdtheory.commandline.composer import completions

    found = completions(str(ctx.info_name), incomplete)
    if ctx.info_name == "study":
        from sgdtheory.commandline.studies import studies

        found = [*(name for name in studies() if name.startswith(incomplete)), *found]
    return found


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OVERRIDES]...",
        help="key=value, group=choice, +key=, ~key, and Hydra's own flags",
        autocompletion=complete,
        show_default=False,
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="_target_ may also name this importable package (repeatable)",
        show_default=False,
    ),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="start from a run's config.yaml instead of the defaults",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="print what would be done (units, time, memory, disk) and stop"),
]
Retry = Annotated[bool, typer.Option("--retry-failed", help="do failed units again as well")]
Quiet = Annotated[bool, typer.Option("--quiet", help="results only")]
Verbose = Annotated[bool, typer.Option("--verbose", help="more messages")]
Trace = Annotated[bool, typer.Option("--trace", help="full tracebacks")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sgdtheory {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="print the version and stop"
        ),
    ] = False,
) -> None:
    pass


COMMANDS = {
    "train": """Find minima.

    Keys of its own: minima=4 (how many), polish=auto|none|descent|lbfgs; landscape=, model=,
    data=, sgd.steps=, …
    `sgdtheory train --cfg job` prints them all.
    """,
    "connect": """Join minima by low-loss paths, build their graph.

    Keys of its own: minima= (runs, files of weights; nothing: the newest train run of this
    landscape), checkpoint.key=, pairs=tree|all|[[0,1]], method=autoneb|string_sampling,
    autoneb=fast|draxler.
    `sgdtheory connect --cfg job` prints them all.
    """,
    "diagnose": """Say what can be said of points that you have: scores, gradient, diagnostics.

    Nothing is trained. Keys of its own: minima= (runs, files of weights, a folder, a glob),
    checkpoint.key=, checkpoint.prefix=, checkpoint.strict=,
    diagnostic=[spectrum,noise,sharpness], products=, draws=.
    `sgdtheory diagnose --cfg job` prints them all.
    """,
    "sweep-temperature": """Measure the temperature of SGD's noise over rates and batch sizes.

    Keys of its own: sweep.learning_rate=[0.1,0.2], sweep.batch_size=[8,16], replicas=32,
    precision=0.02, sgd.momentum=, sgd.sampling=iid|without_replacement|epoch, sgd.steps=,
    minima=, estimator=[…].
    `sgdtheory sweep-temperature --cfg job` prints them all.
    """,
}


def _add(name: str, text: str) -> None:
    """A command that runs a pipeline: they differ in their name and their configuration alone."""

    def run(
        overrides: Overrides = None,
        trust: Trust = None,
        from_file: From = None,
        dry_run: DryRun = False,
        retry_failed: Retry = False,
        quiet: Quiet = False,
        verbose: Verbose = False,
        trace: Trace = False,
    ) -> None:
        loudness = 0 if quiet else 2 if verbose else 1
        _run(
            name,
            overrides or [],
            tuple(trust or ()),
            from_file,
            dry_run,
            retry_failed,
            loudness,
            trace,
        )

    app.command(name, context_settings=RUNNER, help=text)(run)


for _name, _text in COMMANDS.items():
    _add(_name, _text)


@app.command("study", context_settings=RUNNER)
def study(
    overrides: Overrides = None,
    trust: Trust = None,
    from_file: From = None,
    dry_run: DryRun = False,
    retry_failed: Retry = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    trace: Trace = False,
) -> None:
    """Put one claim of the field to the test: study NAME; without NAME, the list.

    Keys of its own differ from study to study: `sgdtheory study NAME --cfg job` prints them all.
    """

    def work() -> None:
        from sgdtheory.commandline.studies import listing, with_study

        vet("study", overrides or [])
        if not overrides and from_file is None:
            print(listing())
            return
        words = with_study(overrides or [], earlier=from_file is not None)
        loudness = 0 if quiet else 2 if verbose else 1
        _run("study", words, tuple(trust or ()), from_file, dry_run, retry_failed, loudness, trace)

    _guarded(work, trace)


@app.command("status")
def status(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="run directories; default: all under ./runs",
            show_default=False,
        ),
    ] = None,
) -> None:
    """What is done, running, failed, missing."""
    from sgdtheory.report.terminal import show_status

    _guarded(lambda: show_status(runs or [], Path("runs")), trace=False)


@app.command("report")
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="one run: its report.html again; several: one page that compares them",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="where the page that compares goes", show_default=False
        ),
    ] = None,
) -> None:
    """Draw report.html again; several runs: one page that compares them."""
    from sgdtheory.report.terminal import show_report

    _guarded(lambda: show_report(runs, out), trace=False)


def _run(
    command: str,
    words: list[str],
    trust: tuple[str, ...],
    from_file: Path | None,
    dry_run: bool,
    retry_failed: bool,
    loudness: int,
    trace: bool,
) -> None:
    """What the pipelines and every study share: check the words, then execute each task Hydra makes
    of them."""
    began = time.monotonic()

    def job(task: Any) -> None:
        from sgdtheory.execution.loop import execute
        from sgdtheory.execution.planning import plan
        from sgdtheory.report.progress import Watcher
        from sgdtheory.report.terminal import show_plan

        watcher = Watcher(loudness)
        for line in (*task.notes, *getattr(task.pipeline, "said", ())):
            watcher.say(line)
        if dry_run:
            show_plan(plan(task))
            return
        found = execute(task, watcher, retry_failed, command_line(command, words, trust, from_file))
        finish(task.open().path, found)

    def again(run: "Run") -> None:
        from sgdtheory.execution.loop import given_again
        from sgdtheory.report.progress import Watcher

        finish(run.path, given_again(run, Watcher(loudness)))

    def finish(path: Path, found: Mapping[str, Any]) -> None:
        from sgdtheory.report.terminal import show_results

        show_results(path, dict(found))
        if loudness > 1:
            say(f"{time.monotonic() - began:.1f} s")

    def all_jobs() -> None:
        vet(command, words)
        from sgdtheory.commandline.front import launch

        raised = launch(command, words, trust, from_file, job, None if dry_run else again)
        for fault in raised[:-1]:
            _tell(fault, trace)
        if raised:
            raise raised[-1] if len(raised) == 1 else RunError(str(raised[-1]))

    _guarded(all_jobs, trace)


def command_line(
    command: str, words: list[str], trust: tuple[str, ...], from_file: Path | None
) -> str:
    """The words of a command as a shell reads them: all that decides what is computed and where it
    is kept."""
    typed = [word.removeprefix("study=") if command == "study" else word for word in words]
    origin = [] if from_file is None else ["--from", str(from_file)]
    return shlex.join(
        [
            "sgdtheory",
            command,
            *typed,
            *origin,
            *(word for name in trust for word in ("--trust", name)),
        ]
    )


def vet(command: str, words: list[str]) -> None:
    """Refuse flags that neither we nor Hydra know, before Hydra prints its usage."""
    from sgdtheory.commandline.flags import OURS, is_known, known_flags, without_value

    faults = [
        f"{command} knows no flag {word}"
        + (_as_key(command, word, after) or nearest(word, [*known_flags(), *OURS]))
        for word, after in zip(words, [*words[1:], ""], strict=False)
        if word.startswith("-") and not is_known(word)
    ]
    faults += [f"{word} needs a value" for word in without_value(words)]
    if faults:
        raise UserError("\n".join(faults[:3]))


def _as_key(command: str, flag: str, after: str) -> str:
    """A hint for a flag that is a key in other tools: `--lr 0.1` → sgd.learning_rate=0.1; empty
    where it is none."""
    from sgdtheory.commandline.composer import keys_of
    from sgdtheory.commandline.habits import meant

    found = re.fullmatch(r"--?([A-Za-z][\w.-]*?)(?:=(.*)|(\d+))?", flag)
    if found is None:
        return ""
    key = found[1].replace("-", "_")
    value = found[2] or found[3] or ("" if after.startswith("-") or "=" in after else after)
    tree, keys = keys_of(command)
    same = (
        key if key in keys else next((path for path in keys if path.rpartition(".")[2] == key), "")
    )
    hint = f"; did you mean {same!r}?" if same else meant(key, keys, value, tree)
    hint = (
        re.sub(r"(?<=mean ')([\w.]+)'", rf"\1={value}'", hint)
        if re.fullmatch(r"[\w.,:-]+", value)
        else hint
    )
    if not hint or "that is a flag" in hint:
        return ""
    return f"; keys are written key=value{hint}"


def _guarded(work: Callable[[], None], trace: bool) -> None:
    """Run a command and turn what it raises into a line on stderr and an exit code."""
    try:
        work()
    except (typer.Exit, SystemExit):
        raise
    except BaseException as fault:
        if trace:
            raise
        raise SystemExit(_tell(fault, trace)) from None


INTERRUPTED = 130
_told: list[BaseException] = []  # what was said to have gone wrong


def _tell(fault: BaseException, trace: bool) -> int:
    """Say what went wrong in one to three lines; the exit code."""
    _told.append(fault)
    if isinstance(fault, KeyboardInterrupt):
        say("interrupted; everything so far is kept, the same command goes on from there")
        return INTERRUPTED
    if isinstance(fault, UserError | RunError):
        say("\n".join(str(fault).splitlines()[:3]))
        return 2 if isinstance(fault, UserError) else 1
    if isinstance(fault, BrokenPipeError):  # whoever read the output has seen enough
        all_said()
        return 1
    if isinstance(fault, OSError):
        say(
            f"{fault.strerror or fault}: {fault.filename or 'while writing'}; what is done "
            f"is kept, the same command goes on"
        )
        return 1
    say(
        f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''} "
        f"(--trace shows where)"
    )
    return 1


def main() -> None:
    ready()
    if sys.platform == "win32":
        say("sgdtheory runs on Linux and macOS: it locks its files with flock; on Windows use WSL")
        sys.exit(1)
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED and not _told:  # Typer ends so of itself, and says nothing
            _tell(KeyboardInterrupt(), trace=False)
    except SystemExit as stop:
        code = stop.code
    except (KeyboardInterrupt, typer.Abort):  # while the words were read
        code = _tell(KeyboardInterrupt(), trace=False)
    except Exception as fault:
        told = getattr(fault, "format_message", None)  # what Typer's own complaints have in common
        if told is None:
            raise
        say(told())
        code = 2
    unsaid = all_said()
    sys.exit(code if unsaid is None else code or _tell(unsaid, trace=False))


if __name__ == "__main__":
    main()
