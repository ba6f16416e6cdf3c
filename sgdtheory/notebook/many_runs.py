"""Many runs as one table, from Python."""

from collections.abc import Hashable, Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from sgdtheory.errors import UserError
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.report.copies import once
from sgdtheory.report.many_runs import row_of
from sgdtheory.report.stdio import say
from sgdtheory.runs.run import RunState, status_of

if TYPE_CHECKING:
    from polars import DataFrame


@left_alone()
def table_of(runs: Sequence[str | Path]) -> "DataFrame":
    """A row for each run; see `sgdtheory.table`. Raises UserError where no run is found."""
    from polars import DataFrame

    read = {path: status_of(path) for path in _found(runs)}
    paths, remarks = once((path, _identity(path, state)) for path, state in read.items())
    for remark in remarks:
        say(remark)
    rows = [row_of(path, read[path]) for path in paths]
    if not rows:
        raise UserError(f"{', '.join(map(str, runs))}: no run is there")
    return DataFrame(rows, infer_schema_length=None)


def _identity(path: Path, state: RunState) -> Hashable:
    """What a run and its copies have in common: what was computed, and where; of damaged runs their
    place."""
    status, manifest, _ = state
    computed = manifest.get("config_hash")
    if status == "damaged" or computed is None:
        return path.resolve()
    return manifest.get("command"), computed, manifest.get("device"), status


def _found(runs: Sequence[str | Path]) -> Iterator[Path]:
    """The run directories that names and globs lead to, in order."""
    for name in runs:
        for place in sorted(glob(str(name))):  # noqa: PTH207  (a Path globs below itself alone)
            if (Path(place) / "manifest.json").exists():
                yield Path(place)
