"""What a page was drawn from, kept beside it: where all of that is as it was, so is the page. No
torch, nor what draws."""

from collections.abc import Mapping
from pathlib import Path

from sgdtheory.errors import RunError, UserError
from sgdtheory.report.facts import files_of
from sgdtheory.report.sources import code_is_as_imported, drawing_code, source
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.plain import Json

NAME = "drawn.json"
PAGE = "report.html"


def seal(run: Path, read: Mapping[str, str], written: Mapping[str, str]) -> None:
    """Keep the SHA-256, by name, of the files that a page was drawn from and of those that were
    written."""
    if code_is_as_imported():
        Folder(run).write_json(NAME, {**_circumstances(run), "read": read, "written": written})


def is_up_to_date(run: Path) -> bool:
    """Whether drawing a run would write the files that are there.

    What a stranger sealed is never believed: no copy of a page has the inode and the time of the
    one that was drawn here.

    """
    try:
        kept = Folder(run).read_object(NAME)
        if any(kept.get(key) != now for key, now in _circumstances(run).items()):
            return False
        files = {**kept["read"], **kept["written"]}
        return all(source(run, name) == sha256 for name, sha256 in files.items())
    except (UserError, RunError, OSError, LookupError, TypeError, AttributeError):
        return False  # drawing says what is wrong, where anything is


def _circumstances(run: Path) -> Json:
    """What decides what a page looks like besides the files of which it shows the content."""
    page = (run / PAGE).stat()
    return {
        "run": str(run),  # a page says it as it was typed
        "code": drawing_code(),
        "listed": [file.name for file in files_of(run, run)],
        "page": [page.st_dev, page.st_ino, page.st_ctime_ns],
    }
