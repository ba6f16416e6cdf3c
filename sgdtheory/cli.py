"""The command line: Typer in front, Hydra behind. Importing this costs neither torch nor Hydra."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sgdtheory import __version__
from sgdtheory.commandline import exits
from sgdtheory.commandline.commands import Commands
from sgdtheory.commandline.options import (
    DryRun,
    From,
    Overrides,
    Quiet,
    Retry,
    Trace,
    Trust,
    Verbose,
    complete_group,
)
from sgdtheory.commandline.running import Request, run_pipeline, show_choices
from sgdtheory.commandline.texts import LISTING, PIPELINES, Text
from sgdtheory.report.stdio import all_said, ready, say

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


def _add(name: str, text: Text) -> None:
    """A command that runs a pipeline: they differ in their name and their configuration alone."""

    def command(
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
        words, packages = overrides or [], tuple(trust or ())
        request = Request(name, words, packages, from_file, dry_run, retry_failed, loudness)
        exits.guarded(lambda: run_pipeline(request), trace)

    app.command(name, context_settings=RUNNER, help=text.help())(command)


for _name, _text in PIPELINES.items():
    _add(_name, _text)


@app.command("list", help=LISTING.help())
def list_choices(
    group: Annotated[
        str | None,
        typer.Argument(
            metavar="[GROUP]",
            help="one group, such as model or study; default: all",
            autocompletion=complete_group,
            show_default=False,
        ),
    ] = None,
) -> None:
    exits.guarded(lambda: show_choices(group), trace=False)


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
    as_json: Annotated[
        bool, typer.Option("--json", help="for programs, one list of objects")
    ] = False,
) -> None:
    """What is done, running, failed, missing, of which seed and overrides."""
    from sgdtheory.report.status import show_status

    exits.guarded(lambda: show_status(runs or [], Path("runs"), as_json), trace=False)


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
            "--out", metavar="FILE", help="where the page or table goes", show_default=False
        ),
    ] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="print one table instead, a row for each run")
    ] = False,
) -> None:
    """Draw report.html again, unless it is up to date; several runs: one page that compares them,
    with means over seeds."""
    from sgdtheory.report.drawing import show_report

    exits.guarded(lambda: show_report(runs, out, csv), trace=False)


def main() -> None:
    ready()
    if sys.platform == "win32":
        say("sgdtheory runs on Linux and macOS: it locks its files with flock; on Windows use WSL")
        sys.exit(1)
    try:
        code = app(standalone_mode=False)
        if (
            code == exits.INTERRUPTED and not exits.told
        ):  # Typer ends so of itself, and says nothing
            exits.tell(KeyboardInterrupt())
    except SystemExit as stop:
        code = stop.code
    except (KeyboardInterrupt, typer.Abort):  # while the words were read
        code = exits.tell(KeyboardInterrupt())
    except Exception as fault:
        told = getattr(fault, "format_message", None)  # what Typer's own complaints have in common
        if told is None:
            raise
        say(told())
        code = 2
    unsaid = all_said()
    sys.exit(code if unsaid is None else code or exits.tell(unsaid))


if __name__ == "__main__":
    main()
