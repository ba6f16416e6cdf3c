"""The command `report`: a page drawn again, or one page that compares several runs."""

from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.report.readable import as_written
from sgdtheory.report.stdio import tell
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.garbage import not_looked_for

MARK = b'name="generator" content="sgdtheory"'  # in the head of every page of ours
HEAD = 4096  # bytes of a page in which the mark stands


def show_report(paths: list[Path], out: Path | None) -> None:
    """Draw a report again, or compare several; prints where the page is."""
    from sgdtheory.report.page import compare, draw

    paths = list(dict.fromkeys(paths))
    if out is not None:
        _demand_ours(out)
    if len(paths) > 1:
        with as_written(paths[0]):
            tell(compare(paths, out))
        return
    with as_written(paths[0]), not_looked_for():  # it imports what draws
        page = draw(paths[0])
    if out is not None:
        Folder(out.parent).write_bytes(out.name, page.read_bytes())
    tell(out or page)


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
