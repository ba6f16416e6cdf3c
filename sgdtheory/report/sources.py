"""What a page is drawn from, each by its SHA-256: the files of a run, and the code that draws."""

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import sgdtheory
from sgdtheory.report.documentation import site
from sgdtheory.runs.digests import digest, digest_of_content
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.foreign import held
from sgdtheory.runs.plain import Json

MANIFEST = "manifest.json"
LATER = ("status", "why", "finished", "seconds", "drawn")  # in a manifest, once a page is drawn
PACKAGE = Path(__file__).parents[1]
ROOMS = ("report", "runs", "statistics")  # where all that draws is, as a test sees
LIBRARIES = ("jinja2", "matplotlib", "numpy", "safetensors")
LATEST = 1.0  # seconds before this process imports code at which a change is surely in it


def manifest_for_page(folder: Folder) -> Json:
    """A manifest but for what is written into it when the page is there: no page may show that, or
    it would be out of date at once."""
    manifest = folder.read_object(MANIFEST)
    return {key: value for key, value in manifest.items() if key not in LATER}


def source(run: Path, name: str) -> str:
    """SHA-256 of what a page can see of a file of a run; empty where there is none."""
    if name == MANIFEST:
        return digest(manifest_for_page(Folder(run)))
    try:
        with held(run, name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


@cache
def drawing_code() -> str:
    """SHA-256 of the code and the templates that draw, and of the versions of what they use."""
    return digest([digest_of_content(PACKAGE, _code()), *_versions()])


def _versions() -> Iterator[str]:
    yield from (sgdtheory.__version__, sys.version, str(site()))
    yield from (version(name) for name in LIBRARIES)


def code_is_as_imported() -> bool:
    """Whether no file of this code was changed since this process began to import it: else what
    draws here is not what lies there."""
    newest = max(file.stat().st_ctime for file in _code())
    return newest < sgdtheory.IMPORTED - LATEST


def _code() -> list[Path]:
    """The files of all that draws."""
    below = [file for room in ROOMS for file in (PACKAGE / room).rglob("*")]
    files = [file for file in below if file.is_file() and "__pycache__" not in file.parts]
    return sorted([*files, *PACKAGE.glob("*.py")])
