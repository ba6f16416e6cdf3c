"""The lowest versions that pyproject.toml allows, as constraints for pip: `name==version`, a line a
dependency.

Nothing is written down twice: `make test-lowest` installs what this prints and runs the tests
there.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
# stubs for mypy follow what they describe; no test reads them
UNBOUNDED = (
    "types-networkx",
    "types-PyYAML",
)


def lowest(requirement: str) -> str | None:
    """`torch>=2.6,<3` → `torch==2.6`; None for a requirement that may be of any version."""
    name, bounds = re.fullmatch(r"([\w.-]+)\s*(.*)", requirement).groups()  # type: ignore[union-attr]
    found = re.search(r">=\s*([\w.]+)", bounds)
    if found is None and name not in UNBOUNDED:
        raise SystemExit(
            f"{requirement}: a requirement states the lowest version it was tested with, {name}>=…"
        )
    return f"{name}=={found[1]}" if found else None


def constraints(text: str) -> list[str]:
    """One line for every direct requirement of the package and its developers."""
    project = tomllib.loads(text)["project"]
    named = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    return [line for requirement in named if (line := lowest(requirement))]


if __name__ == "__main__":
    sys.stdout.write("\n".join(constraints(PYPROJECT.read_text(encoding="utf-8"))) + "\n")
