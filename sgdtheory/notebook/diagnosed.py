"""What can be said of points, from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sgdtheory.notebook.joined import Point
from sgdtheory.notebook.own_landscape import point_of
from sgdtheory.notebook.running import done
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.protocol import Landscape

if TYPE_CHECKING:
    from polars import DataFrame


@left_alone()
def diagnosed(
    landscape: Landscape,
    points: Tensor | Sequence[Point],
    diagnostics: Sequence[str] = (),
    words: Sequence[str] = (),
    run: str | Path | None = None,
    quiet: bool | None = None,
) -> "DataFrame":
    """A row for each point, vectors [P, n], modules or state dicts: scores, gradient, and the
    columns of diagnostics; see `sgdtheory.diagnose`."""
    from polars import DataFrame

    cloud = torch.stack([point_of(landscape, point) for point in points])
    asked = [f"diagnostic=[{','.join(diagnostics)}]", *words]
    with done("diagnose", landscape, cloud, asked, run, quiet) as (_, results):
        rows = [_flat(row) for row in results["minima"]]
    return DataFrame(rows, infer_schema_length=None)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that a table can hold: numbers, words and truths."""
    return {key: value for key, value in row.items() if not isinstance(value, dict | list)}
