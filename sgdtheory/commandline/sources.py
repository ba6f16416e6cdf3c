"""The sources of a trusted package, as an identity: a network that was edited is another
network."""

import ast
import hashlib
import importlib.machinery
import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SOURCE = "source"  # beside a _target_ in an identity
INSTALLED = {
    Path(sysconfig.get_path(name)).resolve()
    for name in ("purelib", "platlib", "stdlib", "platstdlib")
}


def digest_of_sources(name: str) -> str | None:
    """SHA-256 of the sources of what a name begins with: all `.py` files of a package, or a module,
    and of whatever lies beside it and is imported there, by statement, at any depth; None where
    it has no sources.

    Packages that are installed are not followed beyond themselves: their versions are another
    matter.
    """
    found = hashlib.sha256()
    files = sources_of(name.replace(":", ".").split(".")[0])
    for said, file in sorted(files.items()):
        found.update(
            f"{said} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode(
                "utf-8", "backslashreplace"
            )
        )
    return found.hexdigest() if files else None


def sources_of(root: str) -> dict[str, Path]:
    """The source files of a package or module and of what it imports from beside it, by their names
    there."""
    base = _base(root)
    if base is None:
        return {}
    files: dict[str, Path] = {}
    left, seen = [root], {"sgdtheory"}
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        for file in _files(base, name):
            files[str(file.relative_to(base))] = file
            if base not in INSTALLED and base.name not in ("site-packages", "dist-packages"):
                left += _imported(file)
    return files


def _base(root: str) -> Path | None:
    """The folder that a package or module lies in."""
    spec = getattr(sys.modules.get(root), "__spec__", None) or _spec(root)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    if places:
        return Path(places[0]).resolve().parent
    return Path(spec.origin).resolve().parent if spec.origin and spec.has_location else None


def _spec(root: str) -> "importlib.machinery.ModuleSpec | None":
    try:
        return importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None


def _files(base: Path, name: str) -> list[Path]:
    folder, module = base / name, base / f"{name}.py"
    if folder.is_dir():
        hidden = {
            file for file in folder.rglob("*.py") if re.search(r"/\.", str(file.relative_to(base)))
        }
        return sorted(set(folder.rglob("*.py")) - hidden)
    return [module] if module.is_file() else []


def _imported(file: Path) -> Iterator[str]:
    """The first parts of the names that a file imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
