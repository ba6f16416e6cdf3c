"""The documentation site: built from what lies here alone, without a warning, and complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sgdtheory.commandline.composer import groups
from tests.pages import HERE

pytestmark = pytest.mark.slow

pytest.importorskip("material", reason="needs pip install .[docs]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "built"
    words = ["build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=HERE,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0 and done.stdout + done.stderr == ""
    return folder


def test_every_page_is_there_and_listed(site: Path) -> None:
    lines = (site / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", lines, re.MULTILINE)
    sources = [file.relative_to(HERE / "docs") for file in (HERE / "docs").rglob("*.md")]
    made = [f"reference/keys/{group}.md" for group in groups()]
    assert set(map(str, sources)) | set(made) <= set(listed)
    for place in listed:
        assert (site / place).is_file()
        assert (site / place).with_suffix(".html").is_file()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="?([^"\s>]+)', text)
        loaded += re.findall(r'<link[^>]*rel="?stylesheet"?[^>]*href="?([^"\s>]+)', text)
        loaded += re.findall(r'<link[^>]*href="?([^"\s>]+)"?[^>]*rel="?stylesheet', text)
        assert loaded and not [place for place in loaded if "//" in place], page
        assert 'class="mermaid"' not in text


def test_links_between_pages_lead_somewhere(site: Path) -> None:
    """Of mkdocs' own pages it checks itself; here is what its hooks and HTML add."""
    for page in site.rglob("*.html"):
        links = re.findall(r'\shref="?([^"\s>]+)', page.read_text(encoding="utf-8"))
        for link in links:
            place = link.partition("#")[0].partition("?")[0]
            if place and ":" not in place and page.name != "404.html":
                assert (page.parent / place).exists(), f"{page}: {link}"


def test_search_knows_the_pages(site: Path) -> None:
    """Material's offline plug-in keeps the index in a script, which opens from files too."""
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    for words in ("ultrametric", "top_eigenvalue", "sgd.sampling", "weight_decay"):
        assert words in index


def test_every_key_has_a_row(site: Path) -> None:
    page = (site / "reference/keys/sgd.md").read_text(encoding="utf-8")
    assert "| `steps` | `auto` | integer ≥ 0 or `auto` | 400: ResNet-8 on digits" in page
    assert "| `batch_size` | `128` | integer ≥ 1 or null |" in page
    connect = (site / "reference/keys/commands.md").read_text(encoding="utf-8")
    assert "| `method` | `autoneb` | `autoneb`, `string_sampling` |" in connect
    assert "| `strings.alpha` | `0.5` |" in connect
