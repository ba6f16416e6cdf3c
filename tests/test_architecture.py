"""docs/architecture.md shows the house as it is."""

import re
import sys

from tests.recipes import HERE

sys.path.append(str(HERE / "scripts"))
import architecture

PAGE = architecture.PAGE.read_text(encoding="utf-8")


def test_the_picture_is_drawn_from_the_imports_of_today() -> None:
    assert architecture.page() == PAGE, "run python scripts/architecture.py"


def test_what_the_page_names_is_there() -> None:
    names = re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", PAGE)
    assert len(names) > 20
    for name in names:
        assert (architecture.PACKAGE / name).exists() or (HERE / name).exists(), name


def test_every_command_is_walked() -> None:
    for command in ("train", "connect", "sweep-temperature", "study NAME", "diagnose"):
        assert f"\n| `{command}` |" in PAGE


def test_readme_and_guide_lead_there() -> None:
    for file in ("README.md", "CONTRIBUTING.md"):
        assert "docs/architecture.md" in (HERE / file).read_text(encoding="utf-8")
