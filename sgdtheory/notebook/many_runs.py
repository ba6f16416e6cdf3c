"""Many runs as one table, from Python."""

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtheory.errors import UserError
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.run import status_of

if TYPE_CHECKING:
    from polars import DataFrame


def table_of(runs: Sequence[str | Path]) -> "DataFrame":
    """A row for each run; see `sgdtheory.table`. Raises UserError where no run is found."""
    from polars import DataFrame

    rows = [_row(path) for path in _found(runs)]
    if not rows:
        raise UserError(f"{', '.join(map(str, runs))}: no run is there")
    return DataFrame(rows, infer_schema_length=None)


def _found(runs: Sequence[str | Path]) -> Iterator[Path]:
    """The run directories that names and globs lead to, in order."""
    for name in runs:
        for place in sorted(glob(str(name))):  # noqa: PTH207  (a Path globs below itself alone)
            if (Path(place) / "manifest.json").exists():
                yield Path(place)


def _row(path: Path) -> dict[str, Any]:
    status, manifest, _ = status_of(path)
    results = Folder(path).read_object("results.json") if status == "done" else {}
    claims = results.get("claims") or [{}]
    headline = claims[0]
    return {
        "run": str(path),
        "command": manifest.get("command"),
        "status": status,
        "seed": manifest.get("seed"),
        "overrides": " ".join(map(str, manifest.get("overrides", []))),
        "landscape": results.get("landscape"),
        "claim": headline.get("name"),
        "value": headline.get("value"),
        "stderr": headline.get("stderr"),
        "holds": headline.get("holds"),
        "seconds": results.get("seconds"),
    }
