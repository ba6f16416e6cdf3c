"""Draw the floors of the house into docs/architecture.md, from what the modules really import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

HERE = Path(__file__).resolve().parents[1]
PACKAGE = HERE / "sgdtheory"
PAGE = HERE / "docs/architecture.md"
DRAWN = re.compile(r"(?<=<!-- floors -->\n).*?(?=<!-- /floors -->)", re.DOTALL)
# used everywhere, or a door that imports when it is called
LEFT_OUT = {"", "__init__", "__main__", "entry", "errors", "annotations", "rng"}


def room_of(name: str) -> str:
    """sgdtheory.paths.band → paths."""
    return [*name.split("."), ""][1]


def imported(file: Path) -> Iterator[str]:
    """The rooms that a module imports from, at any depth."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (room_of(name) for name in names if name.startswith("sgdtheory"))


def rooms() -> "nx.DiGraph[str]":
    """The rooms, with an arrow from each to those that it imports."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).with_suffix("").parts[0]
        for other in imported(file):
            if room != other and not LEFT_OUT & {room, other}:
                graph.add_edge(room, other)
    return graph


def drawing() -> str:
    """The floors in Mermaid: no arrow that others imply."""
    graph = rooms()
    arrows = sorted(nx.transitive_reduction(graph).edges)
    folders = sorted(room for room in graph if (PACKAGE / room).is_dir())
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"  {room}[{room}/]" for room in folders]
    lines += [f"  {room} --> {other}" for room, other in arrows]
    return "\n".join([*lines, "```", ""])


def page() -> str:
    """The page with the picture of today."""
    return DRAWN.sub(lambda _: drawing(), PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
