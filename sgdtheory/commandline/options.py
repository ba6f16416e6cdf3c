"""The options of every command that runs a pipeline, as Typer reads them."""

from pathlib import Path
from typing import Annotated

import typer


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completion of overrides: Hydra's own answer to the words so far."""
    from sgdtheory.commandline.composer import completions

    overrides = completions(str(ctx.info_name), incomplete)
    if ctx.info_name != "study":
        return overrides
    from sgdtheory.commandline.studies import studies

    return [*(name for name in studies() if name.startswith(incomplete)), *overrides]


def complete_group(incomplete: str) -> list[str]:
    """Completion of `sgdtheory list`."""
    from sgdtheory.commandline.composer import groups

    return [group for group in groups() if group.startswith(incomplete)]


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
