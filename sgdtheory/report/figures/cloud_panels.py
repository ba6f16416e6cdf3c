"""The cloud at one moment, in the plane of two directions."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sgdtheory.report.figures.style import INK, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 4  # moments of the spreading cloud
Array = np.ndarray


class Panel(NamedTuple):
    """Positions of the replicas at one moment."""

    name: str
    x: Array
    y: Array


def panels_of(trajectory: dict[str, Array], i: int, j: int) -> list[Panel]:
    """A few moments, and last the cloud at rest, along two directions."""
    steps = trajectory["early_steps"]
    early = trajectory["early_positions"]  # [E, P, k]
    late = trajectory["positions"]  # [S, P, k]
    moments = np.linspace(0, len(steps) - 1, PANELS)
    panels = []
    for moment in np.unique(moments.round().astype(int)):
        name = f"step {int(steps[moment])}"
        positions = early[moment]
        panels.append(Panel(name, positions[:, i], positions[:, j]))
    steep = late[:, :, i]
    flat = late[:, :, j]
    panels.append(Panel("at rest", steep.ravel(), flat.ravel()))
    return panels


def draw_cloud(axes: "Axes", panel: Panel, rest: Panel) -> None:
    """A dot for each replica; the ellipse is twice the standard deviation at rest."""
    size = 4.0
    alpha = 0.8
    if panel.x.size > 100:
        size = 2.5
        alpha = 0.3
    axes.plot(
        panel.x,
        panel.y,
        ".",
        color=TRAIN,
        markersize=size,
        alpha=alpha,
        markeredgewidth=0,
    )
    angle = np.linspace(0, 2 * np.pi, 100)
    x = 2 * rest.x.std() * np.cos(angle)
    y = 2 * rest.y.std() * np.sin(angle)
    axes.plot(x, y, color=INK, linewidth=0.7)
    axes.set_title(panel.name)
    axes.tick_params(labelsize=7)
    axes.locator_params(nbins=4)
