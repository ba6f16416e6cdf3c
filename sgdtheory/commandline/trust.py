"""`--trust PACKAGE`: that package, and what it imports beside itself, are found in the working
directory too.

Behind everything that is installed: a `torch.py` that lies there is never taken for torch.

"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from sgdtheory.errors import UserError

PLUGINS = "hydra_plugins"  # Hydra imports everything in a package of this name


class Here(MetaPathFinder):
    """Finds in one folder what nobody before has found. It is no entry of sys.path: what looks for
    plug-ins there, as torch and pydantic do by the metadata of packages, finds none."""

    folder: str | None = None  # the working directory at the last command

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if path is not None or fullname == PLUGINS or self.folder is None:
            return None
        return PathFinder.find_spec(fullname, [self.folder])


HERE = Here()


def trust_working_directory(trust: tuple[str, ...]) -> None:
    """Have packages of the user's that are trusted found in the working directory; refuse what is
    no package, and a name that two packages have."""
    if not trust:
        return
    HERE.folder = None
    here = str(Path.cwd())
    for name in trust:
        if not name.isidentifier():
            raise UserError(
                f"--trust {name}: not the name of a package; give the outermost one, as in "
                f"--trust mypackage"
            )
        _refuse_two(name, here)
    HERE.folder = here
    if HERE not in sys.meta_path:
        sys.meta_path.append(HERE)
    for name in trust:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            raise UserError(
                f"--trust {name}: there is no such package; is it installed, or in the "
                f"working directory?"
            )


def _refuse_two(name: str, here: str) -> None:
    """Raise UserError where a package is installed and another one of its name lies in the working
    directory."""
    own = PathFinder.find_spec(name, [here])
    if own is None or own.origin is None:  # nothing, or a mere folder
        return
    other = PathFinder.find_spec(name)
    if other is None or other.origin is None or other.origin == own.origin:
        return
    if not Path(other.origin).exists() or not Path(other.origin).samefile(own.origin):
        raise UserError(
            f"--trust {name}: there are two, {own.origin} and {other.origin}; rename yours"
        )
