"""The loss in the plane through three minima."""

from typing import Any

from sgdtheory.report.figures.edges import quantity, tree_edges
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import INK, log_axis, svg_of, wants_log

LEVELS = 13
WITHOUT = (
    " They are minima of the objective with its L2 term: without it, as drawn, the "
    "loss may go on falling further out."
)
SPLITS = {"train_loss": "training", "test_loss": "test"}


def plane(run: RunData) -> Figure | None:
    """Contours of training and test loss on the run's grid, where it has evaluated one; see
    `sgdtheory.paths.plane`."""
    found = run.results.get("plane")
    if not found:
        return None
    splits = [split for split in SPLITS if found.get(split) is not None]
    names = [str(row["name"]) for row in run.results.get("minima", [])[:3]]
    paths = _paths(run) if run.results.get("dim") == 2 else []
    log = wants_log([loss for split in splits for row in found[split] for loss in row])

    def paint(canvas: Any) -> None:
        import numpy as np
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.ticker import MaxNLocator

        values = np.array([found[split] for split in splits])  # [splits, y, x]
        low, high = float(values.min()), float(values.max())
        high = high if high > low else low + 1
        if not log:  # a formula may climb without end outside the triangle
            high = min(
                [
                    high,
                    *(
                        low + 1.5 * (edge["linear"]["train_loss"] - low)
                        for edge in tree_edges(run)[:1]
                        if edge["linear"]
                    ),
                ]
            )
        levels = (
            np.geomspace(low, high, LEVELS) if log else MaxNLocator(LEVELS).tick_values(low, high)
        )
        norm = (LogNorm if log else Normalize)(levels[0], levels[-1])
        panels = canvas.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
        for axes, split, losses in zip(panels, splits, values, strict=True):
            losses = losses.clip(levels[0], levels[-1])  # no holes where it is higher
            drawn = axes.contourf(
                found["x"], found["y"], losses, levels=levels, norm=norm, cmap="viridis"
            )
            axes.contour(
                found["x"],
                found["y"],
                losses,
                levels=levels[1:-1],
                colors="#ffffff",
                linewidths=0.4,
                alpha=0.6,
            )
            for path in paths:
                axes.plot(*path.T, color="#ffffff", linewidth=1.3)
            axes.set(xlim=(found["x"][0], found["x"][-1]), ylim=(found["y"][0], found["y"][-1]))
            _corners(axes, found["corners"], names)
            axes.set(aspect="equal", xlabel="x", title=SPLITS[split] if len(splits) > 1 else "")
        panels[0].set_ylabel("y")
        label = quantity(run).replace("training ", "") if len(splits) > 1 else quantity(run)
        bar = canvas.colorbar(drawn, ax=list(panels), label=label, aspect=18, shrink=0.85)
        bar.outline.set_visible(False)
        if log:
            log_axis(bar.ax.yaxis)

    two = len(splits) > 1
    wide, high = (axis[-1] - axis[0] for axis in (found["x"], found["y"]))
    width = 7.2 if two or high < 0.6 * wide else 5.0
    svg = svg_of(
        "plane",
        max(1.8, min(5.0, 0.7 + high / wide * (2.6 if two else width - 1.6))),
        paint,
        width=width,
    )
    return Figure(
        "plane",
        "The plane through three minima",
        _caption(run, names, log),
        svg,
        _numbers(found, splits),
    )


def _caption(run: RunData, names: list[str], log: bool) -> str:
    what = "energy" if run.is_formula else "loss"
    steps = "ratios" if log else "differences"
    cut = "" if log else "; what is far above the straight lines has the colour of the highest"
    hidden = (
        "Straight lines between the minima (broken) lie in this plane and cross what stands "
        "between them; the paths leave "
        f"it. That minima look isolated in a plane says nothing about whether they "
        f"are.{'' if run.is_formula else WITHOUT}"
        if run.results.get("dim") != 2
        else "The landscape has two dimensions: this is the landscape itself. White lines "
        "are the paths of the spanning "
        "tree, broken ones the straight lines between the minima."
    )
    return (
        f"The {what} in the plane through the minima {', '.join(names)}; x and y are "
        f"distances in parameter space, from "
        f"contour to contour there are equal {steps}{cut}. {hidden}"
    )


def _paths(run: RunData) -> list[Any]:
    """The paths of the spanning tree in the plane's own axes, each [P, 2]; for landscapes of two
    dimensions."""
    import numpy as np

    corners = run.tensors("minima.safetensors")["minima"][:3].astype(np.float64)
    x = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    y = np.array([-x[1], x[0]])
    y *= np.sign(y @ (corners[2] - corners[0]))
    files = [f"paths/{edge['pair'][0]}-{edge['pair'][1]}.safetensors" for edge in tree_edges(run)]
    return [(run.tensors(name)["path"] - corners[0]) @ np.stack([x, y], axis=1) for name in files]


def _corners(axes: Any, corners: list[list[float]], names: list[str]) -> None:
    around = [*corners, corners[0]]
    axes.plot(
        [x for x, _ in around],
        [y for _, y in around],
        color="#ffffff",
        linewidth=0.8,
        linestyle=(0, (4, 3)),
    )
    for at, name in zip(corners, names, strict=True):
        axes.plot(
            *at, "o", color="#ffffff", markeredgecolor=INK, markeredgewidth=0.7, markersize=13
        )
        axes.annotate(name, at, ha="center", va="center", fontsize=8, color="#111111")


def _numbers(found: dict[str, Any], splits: list[str]) -> list[dict[str, Any]]:
    return [
        {"x": x, "y": y, **{split: found[split][j][i] for split in splits}}
        for j, y in enumerate(found["y"])
        for i, x in enumerate(found["x"])
    ]
