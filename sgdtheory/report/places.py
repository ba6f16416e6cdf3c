"""Where a page of several runs is kept: under their run.root. No torch."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from sgdtheory.report.many_runs import Brief
from sgdtheory.runs.folder import beside


def home_of(runs: Sequence[Brief]) -> Path:
    """<root>/compare-<hash>.html: the same runs, in whatever order, have the same page."""
    hashes = sorted(str(run.results.get("config_hash")) for run in runs)
    own = hashlib.sha256("".join(hashes).encode()).hexdigest()
    root = _root_of(runs)
    if root.is_relative_to(Path.cwd()):  # as short as it can be said from here
        root = root.relative_to(Path.cwd())
    return root / f"compare-{own[:8]}.html"


def _root_of(runs: Sequence[Brief]) -> Path:
    """The run.root that runs share; of others the nearest folder that holds them all, and the
    working directory where that lies in it."""
    roots = {_known_root(run) for run in runs}
    known = roots.pop()
    if known is not None and not roots:
        return known
    folders = [_place_of(run).parent for run in runs]
    common = Path(os.path.commonpath(folders))
    here = Path.cwd()
    return here if here.is_relative_to(common) else common


def _known_root(run: Brief) -> Path | None:
    """The run.root of a run, as its manifest has it, else as runs lie in theirs.

    None where it cannot be believed, because the run was moved: it is neither in the working
    directory, nor does it hold the run as <root>/<command>/<name>.
    """
    place = _place_of(run)
    usual = place.parent.parent
    root = beside(place, run.root) if run.root else usual
    if root == usual and place.parent.name == run.command.partition(" ")[0]:
        return root
    return root if run.root and root.is_relative_to(Path.cwd()) else None


def _place_of(run: Brief) -> Path:
    """By the names that lead there, one of which may be a link."""
    return Path(os.path.abspath(run.path))  # noqa: PTH100
