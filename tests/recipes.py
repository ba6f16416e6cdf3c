"""The example files of CONTRIBUTING.md: a path in backticks on a line of its own, and its text in
the block below it."""

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
EXAMPLE = re.compile(r"^`(\S+\.(?:py|yaml))`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def recipes() -> dict[str, str]:
    """The text of every example file by its path in the repository."""
    return dict(EXAMPLE.findall((HERE / "CONTRIBUTING.md").read_text(encoding="utf-8")))
