"""What stands in the pages is typed off: commands, Python and files, and what they print."""

import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from tests.pages import PAGES, Reader, blocks_of, name_of

FOLLOWED = [page for page in PAGES if page.parent.name in ("tutorials", "how-to")]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Somebody at an empty directory; what is imported from there is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield Reader()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_page_up_to_what_takes_its_time(page: Path, reader: Reader) -> None:
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    for block in takewhile(lambda block: not block.timed, blocks):
        reader.follow(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_page_whole(page: Path, reader: Reader) -> None:
    for block in blocks_of(page.read_text(encoding="utf-8")):
        reader.follow(block)
