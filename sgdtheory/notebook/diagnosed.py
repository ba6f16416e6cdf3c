"""What can be said of points, from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtheory.notebook.points import Point, cloud_of
from sgdtheory.notebook.running import done
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.notebook.words import texts_of, words_of
from sgdtheory.protocol import Landscape

if TYPE_CHECKING:
    from polars import DataFrame


@left_alone()
def diagnosed(
    landscape: Landscape,
    points: Point | Sequence[Point],
    diagnostics: str | Sequence[str] = (),
    words: str | Sequence[str] = (),
    run: str | Path | None = None,
    quiet: bool | None = None,
) -> "DataFrame":
    """A row for each point, vectors [P, n], modules or state dicts: scores, gradient, and the
    columns of diagnostics; see `sgdtheory.diagnose`."""
    from polars import DataFrame

    columns = texts_of(diagnostics, "diagnostics")
    said = words_of(words, {"diagnostic": "diagnostics"} if columns else {})
    cloud = cloud_of(landscape, points)
    asked = [f"diagnostic=[{','.join(columns)}]", *said]
    with done("diagnose", landscape, cloud, asked, run, quiet) as (_, results):
        rows = [_flat(row) for row in results["minima"]]
    return DataFrame(rows, infer_schema_length=None)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that a table can hold: numbers, words and truths."""
    return {key: value for key, value in row.items() if not isinstance(value, dict | list)}
