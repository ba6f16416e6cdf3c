"""The unit that draws the plane through the first three minima."""

from functools import partial

from torch import Tensor

from sgdtheory.paths.plane import plane
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import is_scored
from sgdtheory.runs.folder import Json
from sgdtheory.runs.unit import Unit, UnitFolder

FORMULA = 41  # points a side of a landscape without examples, where they cost next to nothing


def plane_units(
    landscape: Landscape, minima: Tensor, digests: list[str], side: int, what: Json
) -> list[Unit]:
    """The unit that scores `side` × `side` points of the plane through the first three of minima
    [M, n], known by `what` besides, of a formula at least `FORMULA`; none where there are fewer
    minima, or no points."""
    if len(minima) < 3 or not side:
        return []
    if not is_scored(landscape):
        side = max(side, FORMULA)
    config = {**what, "plane": side, "corners": digests[:3]}
    return [Unit("plane", config, partial(_draw, landscape, minima[:3], side))]


def _draw(landscape: Landscape, corners: Tensor, side: int, folder: UnitFolder) -> None:
    grid = plane(landscape, corners, side, folder.tell)
    folder.finish({"plane": grid}, {"minima": corners})
