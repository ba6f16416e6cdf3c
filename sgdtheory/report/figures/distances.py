"""That the minima are different points: the distance between every two of them."""

from typing import Any

from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import svg_of

MOST_COMPARED = 40  # points in the matrix


def distances(run: RunData) -> Figure | None:
    """How far the minima are from one another."""
    import numpy as np

    points = run.tensors("minima.safetensors").get("minima")
    if points is None or not 2 <= len(points) <= MOST_COMPARED:
        return None
    norms = np.linalg.norm(points.astype(np.float64), axis=1)
    absolute = run.is_formula or not norms.all()
    scale = np.ones_like(norms) if absolute else np.sqrt(norms)
    count = range(len(points))
    matrix = np.array(
        [[np.linalg.norm((points[i] - points[j]).astype(np.float64)) for j in count] for i in count]
    )
    matrix /= scale[:, None] * scale[None, :]
    np.fill_diagonal(matrix, np.nan)
    highest = float(np.nanmax(matrix))
    names = [row["name"] for row in run.results.get("minima", [])]
    names = names if len(names) == len(points) else [str(i) for i in count]
    measure = "|θᵢ − θⱼ|" if absolute else "|θᵢ − θⱼ| / √(|θᵢ||θⱼ|)"

    def paint(canvas: Any) -> None:
        from matplotlib import colormaps

        axes = canvas.subplots()
        colours = colormaps["Blues"].resampled(40)  # more would be drawn as pixels
        drawn = axes.pcolormesh(matrix, cmap=colours, vmin=0, vmax=highest or 1)
        axes.set(aspect="equal", xlabel="minimum", ylabel="minimum", ylim=(len(points), 0))
        every = 1 if len(points) <= 16 else 5
        axes.set_xticks([i + 0.5 for i in count[::every]], names[::every])
        axes.set_yticks([i + 0.5 for i in count[::every]], names[::every])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = canvas.colorbar(drawn, ax=axes, label=measure, shrink=0.9, aspect=14)
        bar.outline.set_visible(False)
        bar.solids.set_edgecolor("face")
        for i, j in ((i, j) for i in count for j in count if i != j and len(points) <= 8):
            colour = "#111111" if matrix[i, j] < 0.55 * highest else "#ffffff"
            text = f"{matrix[i, j]:.3g}" if absolute else f"{matrix[i, j]:.2f}"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=colour)

    numbers = [
        {"i": names[i], "j": names[j], "distance": float(matrix[i, j])}
        for i in count
        for j in count
        if i < j
    ]
    size = min(5.0, 1.7 + 0.33 * len(points))
    svg = svg_of("distances", size, paint, width=1.3 * size)
    return Figure(
        "distances", "The distances between them", _about_distances(absolute), svg, numbers
    )


def _about_distances(absolute: bool) -> str:
    if absolute:
        return (
            "The distance |θᵢ − θⱼ| between every two minima, in the formula's own "
            "coordinates. 0 would be the same "
            "point found twice."
        )
    return (
        "The distance between every two minima in units of their own length, |θᵢ − θⱼ| / "
        "√(|θᵢ||θⱼ|). 0 would be the "
        "same point; √2 ≈ 1.41 is what two independent directions of equal length have. "
        "Networks with permuted neurons "
        "compute the same function at different points, and are far apart here."
    )
