"""The loss in the plane through three points: a picture of what lies between them, off the
paths."""

from collections.abc import Callable

import torch
from torch import Tensor

from sgdtheory.paths.profile import profile
from sgdtheory.protocol import Landscape
from sgdtheory.runs.folder import Json

MARGIN = 0.25  # of the triangle's extent, around it
WHOLE = 0.5  # the same of a landscape of two dimensions, which holds the paths as well


def coordinates(corners: Tensor) -> tuple[Tensor, Tensor]:
    """(orthonormal axes [2, n], the corners in them [3, 2]); the first corner is the origin, the
    second on the first axis."""
    from_first = (corners - corners[0]).double()
    _, first, second = from_first
    x = first / first.norm()
    rest = second - (second @ x) * x
    y = rest / rest.norm()
    axes = torch.stack([x, y])
    return axes, from_first @ axes.T


def plane(landscape: Landscape, corners: Tensor, side: int, tell: Callable[[float], None]) -> Json:
    """Training and test loss on a grid of side × side points of the plane through three minima [3,
    n].

    {"corners": [3, 2], "x": […], "y": […], "train_loss": [side][side], "test_loss": …}, rows along
    y; distances are those in parameter space.
    """
    axes, at = coordinates(corners)
    low = at.min(0).values
    high = at.max(0).values
    extent = (high - low).max()
    margin = MARGIN * extent
    if landscape.dim == 2:
        margin = WHOLE * extent
    left, bottom = (low - margin).tolist()
    right, top = (high + margin).tolist()
    xs = torch.linspace(left, right, side, dtype=torch.float64)
    ys = torch.linspace(bottom, top, side, dtype=torch.float64)
    origin = corners[0].double()
    train_losses = []
    test_losses = []
    for k, y in enumerate(ys):
        line = [xs.to(axes), y.to(axes).expand(side)]
        points = origin + torch.stack(line, 1) @ axes
        along = profile(landscape, points.to(corners.dtype), xs)
        train_losses.append(along.train_losses.mean(1).tolist())
        if along.test_losses is not None:
            test_losses.append(along.test_losses.mean(1).tolist())
        tell((k + 1) / side)
    return {
        "corners": at.tolist(),
        "x": xs.tolist(),
        "y": ys.tolist(),
        "train_loss": train_losses,
        "test_loss": test_losses or None,
    }
