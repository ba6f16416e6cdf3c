"""The loss in the plane through three points: a picture of what lies between them, off the
paths."""

from collections.abc import Callable

import torch
from torch import Tensor

from sgdtheory.landscape import Landscape
from sgdtheory.paths.profile import profile
from sgdtheory.runs.folder import Json

MARGIN = 0.25  # of the triangle's extent, around it


def coordinates(corners: Tensor) -> tuple[Tensor, Tensor]:
    """(orthonormal axes [2, n], the corners in them [3, 2]); the first corner is the origin, the
    second on the first axis."""
    first, second = (corners[1:] - corners[0]).double()
    x = first / first.norm()
    rest = second - (second @ x) * x
    axes = torch.stack([x, rest / rest.norm()])
    return axes, (corners - corners[0]).double() @ axes.T


def plane(landscape: Landscape, corners: Tensor, side: int, tell: Callable[[float], None]) -> Json:
    """Training and test loss on a grid of side × side points of the plane through three minima [3,
    n].

    {"corners": [3, 2], "x": […], "y": […], "train_loss": [side][side], "test_loss": …}, rows along
    y; distances are those in parameter space.
    """
    axes, at = coordinates(corners)
    low = at.min(0).values
    high = at.max(0).values
    margin = MARGIN * (high - low).max()
    xs, ys = (
        torch.linspace(float(a), float(b), side, dtype=torch.float64)
        for a, b in zip(low - margin, high + margin, strict=True)
    )
    rows = []
    for k, y in enumerate(ys):
        points = corners[0].double() + torch.stack([xs.to(axes), y.to(axes).expand(side)], 1) @ axes
        rows.append(profile(landscape, points.to(corners.dtype), xs))
        tell((k + 1) / side)
    scored = [row.test_losses for row in rows if row.test_losses is not None]
    tests = [losses.mean(1).tolist() for losses in scored] or None
    return {
        "corners": at.tolist(),
        "x": xs.tolist(),
        "y": ys.tolist(),
        "train_loss": [row.train_losses.mean(1).tolist() for row in rows],
        "test_loss": tests,
    }
