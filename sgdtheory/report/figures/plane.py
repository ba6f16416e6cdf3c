"""The loss in the plane through three minima."""

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.edges import path_file, quantity, tree_edges
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import INK, log_axis, wants_log
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure as Canvas

Array: TypeAlias = "np.ndarray"
LEVELS = 13
FINE = 61  # places a side at which what lies between evaluated points is drawn
MARKED = 20  # points a side, below which each is marked
WITHOUT = (
    " They are minima of the objective with its L2 term: without it, as drawn, the "
    "loss may go on falling further out."
)
LENGTH = "distance |Δθ|"  # what coordinates of a plane are
SPLITS = {"train_loss": "training", "test_loss": "test"}


class _Grid(NamedTuple):
    """What the run has evaluated in the plane."""

    x: list[float]
    y: list[float]
    corners: list[tuple[float, float]]  # where the minima are
    splits: list[str]
    losses: Array  # [splits, y, x]

    @classmethod
    def of(cls, results: Row) -> "_Grid":
        import numpy as np

        splits = [split for split in SPLITS if results.get(split) is not None]
        losses = np.array([results[split] for split in splits])
        corners = [(x, y) for x, y in results["corners"]]
        return cls(results["x"], results["y"], corners, splits, losses)

    @property
    def size(self) -> tuple[float, float]:
        """Inches: (width, height)."""
        is_pair = len(self.splits) > 1
        across = self.x[-1] - self.x[0]
        ratio = (self.y[-1] - self.y[0]) / across
        width = 7.2 if is_pair or ratio < 0.6 else 5.0
        panel = 2.6 if is_pair else width - 1.6
        height = 0.7 + ratio * panel
        return width, max(1.8, min(5.0, height))


def plane(run: RunData) -> Figure | None:
    """Contours of training and test loss on the run's grid, where it has evaluated one; see
    `sgdtheory.paths.plane`."""
    if not run.results.get("plane"):
        return None
    grid = _Grid.of(run.results["plane"])
    if len(grid.x) < 2:
        return None
    minima = run.results.get("minima", [])
    names = [str(row["name"]) for row in minima[:3]]
    paths = []
    if run.results.get("dim") == 2:
        paths = _paths(run)
    is_log = wants_log(grid.losses.ravel().tolist())
    label = quantity(run)
    titles = [""]
    if len(grid.splits) > 1:
        label = label.replace("training ", "")
        titles = [SPLITS[split] for split in grid.splits]

    def paint(canvas: "Canvas") -> None:
        levels = _levels(run, grid, is_log)
        panels = canvas.subplots(1, len(titles), sharex=True, sharey=True, squeeze=False)[0]
        for axes, title, losses in zip(panels, titles, grid.losses, strict=True):
            drawn = _contours(axes, grid, losses, levels, is_log)
            for path in paths:
                axes.plot(*path.T, color="#ffffff", linewidth=1.3)
            axes.set_xlim(grid.x[0], grid.x[-1])
            axes.set_ylim(grid.y[0], grid.y[-1])
            _corners(axes, grid.corners, names)
            axes.set(aspect="equal", xlabel=f"x, {LENGTH}", title=title)
        panels[0].set_ylabel(f"y, {LENGTH}")
        bar = canvas.colorbar(drawn, ax=list(panels), label=label, aspect=18, shrink=0.85)
        bar.outline.set_visible(False)
        if is_log:
            log_axis(bar.ax.yaxis)

    width, height = grid.size
    drawing = drawing_of("plane", height, paint, width=width)
    caption = _caption(run, names, is_log)
    numbers = _numbers(grid)
    return Figure("plane", "The plane through three minima", caption, drawing, numbers)


def _levels(run: RunData, grid: _Grid, is_log: bool) -> Array:
    """The losses of the contours. A formula may climb without end outside the triangle: its
    levels end somewhat above the straight line."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    low = float(grid.losses.min())
    high = float(grid.losses.max())
    if high <= low:
        high = low + 1
    if is_log:
        return np.geomspace(low, high, LEVELS)
    edges = tree_edges(run)
    if edges and edges[0]["linear"]:
        straight = edges[0]["linear"]["train_loss"]  # of the worst edge
        high = min(high, low + 1.5 * (straight - low))
    locator = MaxNLocator(LEVELS)
    return np.asarray(locator.tick_values(low, high))


def _contours(
    axes: "Axes", grid: _Grid, losses: Array, levels: Array, is_log: bool
) -> "QuadContourSet":
    from matplotlib.colors import LogNorm, Normalize

    lowest = levels[0]
    highest = levels[-1]
    norm = LogNorm if is_log else Normalize
    scale = norm(lowest, highest)
    x, y, fine = _between(grid, losses, is_log)
    clipped = fine.clip(lowest, highest)  # no holes where it is higher
    filled = axes.contourf(x, y, clipped, levels=levels, norm=scale, cmap="viridis")
    axes.contour(x, y, clipped, levels=levels[1:-1], colors="#ffffff", linewidths=0.4, alpha=0.6)
    if len(grid.x) < MARKED:
        xs = list(grid.x) * len(grid.y)
        ys = [place for place in grid.y for _ in grid.x]
        axes.plot(xs, ys, ".", color="#ffffff", markersize=1.2, alpha=0.6)
    return filled


def _between(grid: _Grid, losses: Array, is_log: bool) -> tuple[Array, Array, Array]:
    """A cubic spline through the losses that were evaluated, or their logarithms: (x, y, losses),
    at so many places that no grid is seen."""
    import numpy as np
    from scipy.interpolate import RectBivariateSpline

    order = min(3, len(grid.x) - 1, len(grid.y) - 1)
    heights = np.log(losses) if is_log else losses
    surface = RectBivariateSpline(grid.y, grid.x, heights, kx=order, ky=order)
    x = np.linspace(grid.x[0], grid.x[-1], FINE)
    y = np.linspace(grid.y[0], grid.y[-1], FINE)
    fine = surface(y, x)
    if is_log:
        fine = np.exp(fine)
    return x, y, fine


def _caption(run: RunData, names: list[str], is_log: bool) -> str:
    quantity_drawn = "energy" if run.is_formula else "loss"
    steps = "ratios"
    if not is_log:
        steps = "differences; what is far above the straight lines has the colour of the highest"
    without = "" if run.is_formula else WITHOUT
    side = len(run.results["plane"]["x"])
    points = ""
    if side < MARKED:
        points = (
            f" Dots are the {side} × {side} points that were evaluated, between them is a spline."
        )
    hidden = (
        f"Straight lines between the minima (broken) lie in this plane and cross what stands "
        f"between them; the paths leave it. That minima look isolated in a plane says nothing "
        f"about whether they are.{without}"
    )
    if run.results.get("dim") == 2:
        hidden = (
            "The landscape has two dimensions: this is the landscape itself. White lines are the "
            "paths of the spanning tree, broken ones the straight lines between the minima."
        )
    minima = ", ".join(names)
    return (
        f"The {quantity_drawn} in the plane through the minima {minima}; x and y are "
        f"distances |Δθ| in parameter space, from contour to contour there are equal "
        f"{steps}.{points} {hidden}"
    )


def _paths(run: RunData) -> list[Array]:
    """The paths of the spanning tree in the plane's own axes, each [P, 2]; for landscapes of two
    dimensions."""
    import numpy as np

    minima = run.tensors("minima.safetensors")["minima"]
    origin, second, third = minima[:3].astype(np.float64)
    side = second - origin
    x = side / np.linalg.norm(side)
    y = np.array([-x[1], x[0]])
    y *= np.sign(y @ (third - origin))
    axes = np.stack([x, y], axis=1)
    paths = []
    for edge in tree_edges(run):
        path = run.tensors(path_file(edge))["path"]
        paths.append((path - origin) @ axes)
    return paths


def _corners(axes: "Axes", corners: list[tuple[float, float]], names: list[str]) -> None:
    xs, ys = zip(*corners, corners[0], strict=True)
    axes.plot(xs, ys, color="#ffffff", linewidth=0.8, linestyle=(0, (4, 3)))
    for place, name in zip(corners, names, strict=True):
        axes.plot(
            *place, "o", color="#ffffff", markeredgecolor=INK, markeredgewidth=0.7, markersize=13
        )
        axes.annotate(name, place, ha="center", va="center", fontsize=8, color="#111111")


def _numbers(grid: _Grid) -> Rows:
    rows = []
    for j, y in enumerate(grid.y):
        for i, x in enumerate(grid.x):
            losses = grid.losses[:, j, i].tolist()
            of_splits = dict(zip(grid.splits, losses, strict=True))
            rows.append({"x": x, "y": y, **of_splits})
    return rows
