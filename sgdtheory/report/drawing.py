"""The command `report`: a page drawn again, or one page or table that compares several runs."""

import sys
from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.report.readable import as_written
from sgdtheory.report.seal import PAGE, is_up_to_date
from sgdtheory.report.stdio import say, tell
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.garbage import not_looked_for

MARK = b'name="generator" content="sgdtheory"'  # in the head of every page of ours
HEAD = 4096  # bytes of a page in which the mark stands


def show_report(paths: list[Path], out: Path | None, csv: bool = False) -> None:
    """Draw a report again, or compare several runs, and print where the page is; or print them as
    one table."""
    paths = list(dict.fromkeys(paths))
    if csv:
        with as_written(paths[0]):
            _give_table(paths, out)
        return
    if out is not None:
        _demand_ours(out)
    elif len(paths) == 1 and is_up_to_date(paths[0]):
        say("up to date: not drawn again")
        tell(paths[0] / PAGE)
        return
    from sgdtheory.report.compared import compare
    from sgdtheory.report.page import draw

    with as_written(paths[0]), not_looked_for():  # it imports what draws
        tell(compare(paths, out) if len(paths) > 1 else draw(paths[0], out))


def _give_table(paths: list[Path], out: Path | None) -> None:
    """Print the table of one run, or a row for each of several, or write it."""
    from sgdtheory.report.compared import runs_csv
    from sgdtheory.report.page import finished, table_csv

    text = runs_csv(paths) if len(paths) > 1 else table_csv(finished(paths[0]).results)
    if out is None:
        sys.stdout.write(text)
        return
    if out.exists():
        raise UserError(f"--out {out}: is there already; give another name")
    Folder(out.parent).write_text(out.name, text)
    tell(out)


def _demand_ours(out: Path) -> None:
    """Raise UserError for a file that no report was written into."""
    if out.is_dir():
        raise UserError(f"--out {out}: is a directory; give the name of a page in it")
    if not out.exists():
        return
    with out.open("rb") as page:
        if MARK not in page.read(HEAD):
            raise UserError(
                f"--out {out}: there is a file of that name which is no report; give another name"
            )
